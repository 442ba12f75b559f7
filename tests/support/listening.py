"""A daemon that listens to virtual microphones: what it said and when, and what it wrote down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from brokers import PATIENCE_S, Subscriber, eventually

from edge_asd.books.ledger_timeline import Account
from edge_asd.books.ledger_view import LedgerReader, summarise
from support.processes import QUICK, DaemonProcess
from support.pulse import VirtualMicrophone

RATE = 16_000
DETECTED_S, RECOVERED_S = 3.0, 10.0
"""What is promised: a fault is told, and audio flows again once its cause is gone."""

NOTIFY_S = 2.0
REACH_S = 2
"""Seconds that a window reaches into, and that rounding to whole seconds may move."""

_EVER_S = 2**40

logger = logging.getLogger(__name__)


class Sounds:
    """What a microphone hears at the enrolled machine, as whole loops of 16 bit of one length."""

    def __init__(self, plant) -> None:
        normal, _ = soundfile.read(plant.normal, dtype="float32", frames=24 * RATE)
        faulty, _ = soundfile.read(plant.faulty, dtype="float32", start=14 * RATE)
        rng = np.random.default_rng(7)
        self.normal = self.pcm(normal)
        self.faulty = self.pcm(np.resize(faulty, len(normal)))
        self.silence = np.zeros_like(self.normal)
        self.stuck = np.full_like(self.normal, 1234)
        self.converter = np.round(rng.normal(0.0, 1.0, len(normal))).astype(np.int16)
        self.clipped = self.pcm(np.clip(normal / np.abs(normal).mean(), -1.0, 1.0))
        """The normal machine, very much too loud."""

    @staticmethod
    def pcm(samples):
        """Samples (n,) of ±1 as 16 bit."""
        return np.clip(np.round(samples * 32_767.0), -32_768, 32_767).astype(np.int16)

    def microphone(self, name, channels=1):
        """One that hears the machine run on all of its channels."""
        return VirtualMicrophone(name, channels=channels, signal=self.on(*[self.normal] * channels))

    @staticmethod
    def on(*channels):
        """Sounds (n,), one a channel, as a microphone plays them (n, C)."""
        return np.ascontiguousarray(np.stack(channels, axis=1), "<i2")


def enrol_alike(state, *names):
    """Give monitors the profile of ``pump``: the same machine, heard by other microphones."""
    for name in names:
        folder = Path(shutil.copytree(state / "profiles" / "pump", state / "profiles" / name))
        fields = json.loads((folder / "profile.json").read_text())
        (folder / "profile.json").write_text(json.dumps(fields | {"monitor": name}))


def section(name, source, channel=0):
    """A quick monitor of the operator's file."""
    return {"name": name, "source": source, "channel": channel, "alert": QUICK}


class Said:
    """What a daemon called ``hall`` says over MQTT; times are those of the monotonic clock."""

    def __init__(self, subscriber) -> None:
        self._subscriber = subscriber

    def of(self, monitor, leaf):
        """Messages of a monitor's topic, in order."""
        return [json.loads(text) for text in self._subscriber.of(f"edge-asd/hall/{monitor}/{leaf}")]

    def states(self, monitor, since_s=0.0):
        """States since a moment, with the moment of each."""
        found = [(one["monotonic_ns"] / 1e9, one) for one in self.of(monitor, "state")]
        return [(at_s, one) for at_s, one in found if at_s >= since_s]

    def state(self, monitor, wanted, since_s=0.0, what=""):
        """The first state since a moment that is as wanted, and the moment of it."""

        def found():
            every = self.states(monitor, since_s)
            return next(((at_s, one) for at_s, one in every if wanted(one)), None)

        return eventually(found, 2 * PATIENCE_S, what or f"the state of {monitor}")

    def unknown(self, monitor, since_s):
        """When it was first said that nothing is known, and the reason."""
        at_s, state = self.state(monitor, _is("unknown"), since_s, f"{monitor} unknown")
        return at_s, state["reason"]

    def hears(self, monitor, since_s):
        """When it was first said that audio flows again."""
        what = f"{monitor} hears again"
        return self.state(monitor, _hears, since_s, what)[0]

    def normal(self, monitor, since_s=0.0):
        """When it first was normal."""
        return self.state(monitor, _is("normal"), since_s, f"{monitor} normal")[0]

    def alert(self, monitor, since_s=0.0):
        """The id of the alert that is shown first since a moment."""
        alerting = _is("warning", "alarm")
        return self.state(monitor, alerting, since_s, f"an alert of {monitor}")[1]["event_id"]

    def notices(self, monitor):
        """What was told of its microphone, in order."""
        return self.of(monitor, "microphone")


def _is(*states):
    return lambda message: message["state"] in states


def _hears(message):
    return message["state"] != "unknown" or message["reason"].startswith("listening again")


class Busy:
    """How late this machine wakes those up who wait for a moment; a context manager."""

    def __init__(self) -> None:
        self._late = []  # (when, how late)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="busy", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def late_s(self, begin_s, end_s):
        """What a busy machine added to a wait between two moments."""
        return sum(late_s for at_s, late_s in list(self._late) if begin_s <= at_s <= end_s + 0.1)

    def _watch(self):
        due_s = 0.02
        while not self._over.is_set():
            slept_s = time.monotonic()
            self._over.wait(due_s)
            now_s = time.monotonic()
            if (late_s := now_s - slept_s - due_s) > 0.005:
                self._late.append((now_s, late_s))


def children(daemon, device=None):
    """Processes that capture for a daemon, those of one device if it is named."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            named = [word for word in words if word.startswith("--device=")]
            if parent == daemon.process.pid and named:
                found += [int(entry.name)] * (device is None or named == [f"--device={device}"])
    return found


@contextlib.contextmanager
def stopped(pid):
    """A process that does not move; it does not stay so if the test fails."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Written:
    """What the ledger of a daemon that has ended says of one monitor."""

    def __init__(self, state, monitor) -> None:
        reader = LedgerReader(Path(state))
        try:
            self.passages = reader.passages(monitor, 0, _EVER_S)
        finally:
            reader.close()

    @property
    def summary(self):
        """All of it together."""
        return summarise(self.passages)

    def seconds(self, account, begin_s=0, end_s=_EVER_S):
        """Seconds of an account in a span of wall time."""
        account = Account(account)
        spans = [(p.begin_s, p.end_s) for p in self.passages if p.account is account]
        return sum(max(0, min(b, end_s) - max(a, begin_s)) for a, b in spans)

    def continuous(self):
        """Whether no second is missing or counted twice."""
        pairs = zip(self.passages, self.passages[1:], strict=False)
        return all(a.end_s == b.begin_s for a, b in pairs)

    def exact(self, began_s, ended_s):
        """Every second of a span of wall time is there once; the margins are those of a start."""
        assert self.continuous(), self.passages
        first_s, last_s = self.passages[0].begin_s, self.passages[-1].end_s
        assert first_s <= began_s + 1.0, self.passages
        assert last_s == pytest.approx(ended_s, abs=1.5)
        assert self.summary.accounted_s + self.summary.clock_steps_s == last_s - first_s
        assert abs(self.summary.clock_steps_s) <= 1


@dataclass
class Outage:
    """A time in which a microphone cannot be heard; moments of the monotonic clock."""

    monitor: str
    began_s: float
    told_s: float = 0.0
    reason: str = ""
    mending_s: float = 0.0
    """The cause is about to go away: audio may flow at any time from now on."""
    ended_s: float = 0.0
    """It is gone."""
    heard_s: float = 0.0

    def detected(self, said, busy):
        """It is told in time that nothing is known."""
        self.told_s, self.reason = said.unknown(self.monitor, self.began_s)
        took_s, late_s = self.told_s - self.began_s, busy.late_s(self.began_s, self.told_s)
        logger.info("outage=%s told_s=%.2f reason=%r", self.monitor, took_s, self.reason)
        assert took_s - late_s < DETECTED_S, self
        assert self.reason

    def recovered(self, said, busy):
        """Audio flows again, in time after the cause is gone."""
        self.heard_s = said.hears(self.monitor, max(self.told_s, self.mending_s))
        took_s, late_s = self.heard_s - self.ended_s, busy.late_s(self.ended_s, self.heard_s)
        logger.info("outage=%s heard_s=%.2f", self.monitor, took_s)
        assert took_s - late_s < RECOVERED_S, self

    def accounted_for(self, written):
        """The ledger has all of it, and none of it as scored."""
        ahead_s = time.time() - time.monotonic()
        began_s, heard_s = self.began_s + ahead_s, self.heard_s + ahead_s
        fault_s = written.seconds("microphone_fault", began_s - REACH_S, heard_s + REACH_S)
        assert fault_s == pytest.approx(heard_s - began_s, abs=2.0), (self, written.passages)
        inside = round(began_s) + REACH_S, round(heard_s) - REACH_S
        assert written.seconds("scored", *inside) == 0, (self, written.passages)


class Hall:
    """A daemon that listens to a sound server."""

    def __init__(self, daemon, said, busy) -> None:
        self.daemon, self.said, self.busy = daemon, said, busy

    @staticmethod
    def outage(monitor, cause, *arguments):
        """Make a microphone fail."""
        outage = Outage(monitor, time.monotonic())
        cause(*arguments)
        return outage

    @staticmethod
    def mend(outages, cause, *arguments):
        """Make the cause go away."""
        for outage in outages:
            outage.mending_s = time.monotonic()
        cause(*arguments)
        for outage in outages:
            outage.ended_s = time.monotonic()

    def detected(self, *outages):
        """All of them are told in time."""
        for outage in outages:
            outage.detected(self.said, self.busy)

    def recovered(self, *outages):
        """All of them are over in time, and then it is known again how the machine is."""
        for outage in outages:
            outage.recovered(self.said, self.busy)
        for outage in outages:
            self.said.state(outage.monitor, _is("normal", "warning", "alarm"), outage.heard_s)

    def notified(self, *outages, fault="no_audio"):
        """All of them last so long that there is a notice; checks and metrics say so too."""
        for outage in outages:
            self.daemon.until(lambda name=outage.monitor: self._is_open(name, fault))
            self.daemon.until(lambda name=outage.monitor: self._is_critical(name, fault))

    def settled(self, monitor, *faults):
        """Every notice of a monitor has its own end, they name these faults, and all is well."""
        self.daemon.until(lambda: len(self.said.notices(monitor)) >= 2 * len(faults))
        told = self.said.notices(monitor)
        assert [one["type"] for one in told] == ["new", "end"] * len(faults), told
        assert [one["id"] for one in told[::2]] == [one["id"] for one in told[1::2]]
        assert [one["fault"] for one in told[::2]] == list(faults)
        for new, end in zip(told[::2], told[1::2], strict=True):
            assert end["ended_at"] > new["started_at"]
            assert end["duration_s"] >= NOTIFY_S
        self.daemon.until(
            lambda: self.daemon.checks()[f"microphone/{monitor}"]["status"] == "healthy"
        )
        for fault in {"no_audio", *faults}:
            assert self.daemon.metric("microphone_fault", monitor=monitor, fault=fault) == 0

    def _is_open(self, monitor, fault):
        told = self.said.notices(monitor)
        return bool(told) and (told[-1]["type"], told[-1]["fault"]) == ("new", fault)

    def _is_critical(self, monitor, fault):
        code, text = self.daemon.get("/healthz")
        check = json.loads(text)["checks"][f"microphone/{monitor}"]
        metric = self.daemon.metric("microphone_fault", monitor=monitor, fault=fault)
        return (code, check["status"], metric) == (503, "critical", 1)


@contextlib.contextmanager
def listening(plant, mosquitto, tmp_path, state, *monitors, settings=None, **environment):
    """A daemon with these monitors; a broker and a sound server are there.

    Args:
        settings: More of the operator's file.
        environment: Of the daemon.
    """
    usual = {"mqtt": {"url": mosquitto.url}, "microphone": {"notify_after_s": NOTIFY_S}}
    config = plant.config(tmp_path, "", monitors=list(monitors), **(usual | (settings or {})))
    with (
        Subscriber(mosquitto.port) as subscriber,
        Busy() as busy,
        DaemonProcess(state, "--config", config, **environment) as daemon,
    ):
        yield Hall(daemon, Said(subscriber), busy)
