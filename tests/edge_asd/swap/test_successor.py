"""Networks of another bundle are made ready beside those that serve, whole or not at all."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.confirmed import RESTS_S, load_sound, recording_of
from support.rounds import Rounds
from support.sound import RATE, WALL_S, machine, seconds_of
from support.tiny import SIZE, write_tiny_bundle

from edge_asd.bundle.store import bundle_of
from edge_asd.config import AlertConfig, MonitorConfig
from edge_asd.engine import open_networks
from edge_asd.engine_request import ANYWHERE
from edge_asd.errors import BusyError, DataError, StorageError
from edge_asd.normal.alert_sound import AlertSound
from edge_asd.profile import load_profile, profile_dir
from edge_asd.profile.reservoir import PieceWriter
from edge_asd.profile.target_store import save_with_targets
from edge_asd.swap.successor import Successor
from edge_asd.swap.swap import Serving, ToServe

SECTION = MonitorConfig(
    name="pump-1",
    source="sim:pump",
    alert=AlertConfig(above_s=1.5, within_s=2.0, false_alarms_per_week=100.0),
)


class Seat:
    """A monitor as far as others see it."""

    def __init__(self, profile):
        self.name, self.config = profile.monitor, SECTION
        self.profile, self.alert = profile, None
        self.retains, self.retained = True, []
        self.networks, self.served = None, []

    def retain(self, seconds):
        """Remember what was asked for."""
        self.retained.append(seconds)

    def serve(self, networks, profile, config):
        """Go on with them."""
        self.served.append((networks, config))
        self.profile = profile


def spawn(name, work):
    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


def silent(_done, _text):
    pass


@pytest.fixture
def device(tmp_path, tiny_bundle, tiny_networks, pump_profile):
    """A monitor that has learned, with an alert that was confirmed as normal, and who serves it."""
    samples = load_sound()
    one = recording_of(tiny_networks, pump_profile, samples)
    profile = replace(pump_profile, microphone="usb:1").with_recordings([one])
    save_with_targets(tmp_path, profile, {one.audio: AlertSound(samples, RATE, RESTS_S)})
    writer = PieceWriter(profile_dir(tmp_path, "pump-1") / "reservoir.new", RATE)
    for block in seconds_of(machine("pump", 62.0)):
        writer.push(block)
    writer.close()
    for piece in writer.folder.iterdir():
        piece.rename(profile_dir(tmp_path, "pump-1") / "reservoir" / piece.name)
    writer.folder.rmdir()
    serving, seat = Serving(open_networks(tiny_bundle)), Seat(profile)
    worker = Rounds(seat)
    serving.begin(worker)
    other = write_tiny_bundle(tmp_path / "other.asd", seed=5, version="2")
    wanted = ToServe(other, ANYWHERE, {"pump-1": SECTION}, {})
    successor = Successor(serving, worker, tmp_path, wanted, spawn=spawn)

    def unchanged():
        assert seat.profile is profile
        assert serving.networks.bundle is tiny_bundle
        assert load_profile(tmp_path, "pump-1", tiny_bundle).created_at == profile.created_at
        return not list(tmp_path.glob("profiles/*/next"))

    yield SimpleNamespace(
        state=tmp_path, seat=seat, worker=worker, serving=serving, other=other,
        successor=successor, profile=profile, unchanged=unchanged,
    )  # fmt: skip
    serving.close()


def test_what_was_learned_and_confirmed_is_learned_again_behind_those_who_listen(device):
    told = []

    def progress(done, text):
        told.append((done, text, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    device.successor.prepare(now=WALL_S, progress=progress)
    steps = [done for done, *_ in told]
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    assert {nice for _, text, nice in told if text == "pump-1: embedding"} == {
        os.getpriority(os.PRIO_PROCESS, 0) + 10
    }
    assert device.seat.retained[0] > 1.28  # a window and a hop
    assert not device.unchanged()  # it lies beside what is in force …
    # … and stays there as long as something is in its way.
    device.seat.alert = SimpleNamespace(id="e1")
    with pytest.raises(BusyError, match="an alert is open, e1"):
        device.successor.decide(device.worker.monitors)
    device.seat.alert = None
    device.seat.profile = replace(device.profile, created_at="2026-11-21T00:00:00Z")
    with pytest.raises(BusyError, match="changed while it was learned again"):
        device.successor.decide(device.worker.monitors)
    device.seat.profile = device.profile
    blocked = device.state / "profiles" / ".exchange.json.tmp"
    blocked.mkdir()
    with pytest.raises(StorageError):
        device.successor.decide(device.worker.monitors)
    blocked.rmdir()
    assert not device.unchanged()
    device.successor.decide(device.worker.monitors)
    device.successor.switch()
    (served,) = device.seat.served
    assert served == (device.serving.networks, SECTION)
    assert device.serving.networks.bundle is device.other
    found = load_profile(device.state, "pump-1", bundle_of(device.state, ["pump-1"]))
    assert found.bundle_sha256 == device.other.sha256
    assert (found.microphone, found.signal) == ("usb:1", device.profile.signal)
    (before,), (after,) = device.profile.recordings, found.recordings
    assert (after.event_id, after.by, after.at) == (before.event_id, before.by, before.at)
    old, new = before.views.embeddings["tiny"], after.views.embeddings["tiny"]
    assert new.shape == old.shape == (len(before.views), 1, SIZE)
    assert np.abs(new - old).max() > 0.01
    device.successor.drop()  # too late
    assert device.serving.networks.bundle is device.other
    assert device.seat.retained[-1] is None


def test_what_was_first_learned_meanwhile_is_a_reason_to_try_again(device):
    learned, device.seat.profile = device.seat.profile, None
    device.successor.prepare(now=WALL_S, progress=silent)
    device.seat.profile = learned
    with pytest.raises(BusyError, match="pump-1: what it has learned changed"):
        device.successor.decide(device.worker.monitors)


def test_nothing_is_begun_while_an_alert_is_open_or_somebody_learns(device):
    device.seat.alert = SimpleNamespace(id="e1")
    with pytest.raises(BusyError, match="an alert is open, e1; tiny-2 can take over when"):
        device.successor.prepare(now=WALL_S, progress=silent)
    device.seat.alert, device.worker.enrolments.names = None, ("pump-1",)
    with pytest.raises(BusyError, match="is being enrolled; tiny-2 can take over when"):
        device.successor.prepare(now=WALL_S, progress=silent)
    assert device.unchanged()
    assert device.seat.retained == [None, None]


def test_what_fails_on_the_way_leaves_everything_as_it_was(device):
    def stopping(_done, text):
        if text == "pump-1: embedding":
            raise BusyError("the daemon is stopping")

    with pytest.raises(BusyError, match="stopping"):
        device.successor.prepare(now=WALL_S, progress=stopping)
    assert device.unchanged()
    targets = profile_dir(device.state, "pump-1") / "reservoir" / "targets"
    (audio,) = targets.iterdir()
    kept = audio.rename(device.state / "kept")
    with pytest.raises(DataError, match=r"confirmed as normal.*undo it"):
        device.successor.prepare(now=WALL_S, progress=silent)
    kept.rename(audio)
    assert device.unchanged()
    (profile_dir(device.state, "pump-1") / "next").write_text("in the way")
    with pytest.raises(StorageError):
        device.successor.prepare(now=WALL_S, progress=silent)
    (profile_dir(device.state, "pump-1") / "next").unlink()
    assert device.unchanged()
    assert device.seat.retained[-1] is None
