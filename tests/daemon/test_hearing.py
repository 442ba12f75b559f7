"""A microphone that fails is told, survived and accounted for to the second.

A real daemon, a real broker, a real PortAudio on a sound server of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import pytest
from brokers import PATIENCE_S, eventually
from support.listening import (
    Outage,
    Sounds,
    Written,
    children,
    enrol_alike,
    listening,
    section,
    stopped,
)
from support.processes import cli, lines, stored_events
from support.pulse import SoundServer

pytestmark = [pytest.mark.broker, pytest.mark.real_time]

UNWRITTEN_S = 12.0
"""A kill takes the newest ten seconds of the ledger, and those that a window could still cover."""


@pytest.fixture
def sounds(plant):
    return Sounds(plant)


def break_each(hall, server, stack):
    """Every fault that can hit one microphone alone, all at once: each has its own child."""
    (wedged,), (killed,) = children(hall.daemon, "wedged"), children(hall.daemon, "killed")
    outages = [
        hall.outage("starved", server["starved"].starve),
        hall.outage("suspended", server.suspend, "suspended"),
        hall.outage("moved", server.unload, "moved"),  # to another one, by the server
        hall.outage("wedged", stack.enter_context, stopped(wedged)),
        hall.outage("killed", os.kill, killed, signal.SIGKILL),
    ]
    hall.detected(*outages)
    lasting, gone = outages[:3], outages[3:]
    assert "moved the stream from 'moved'" in outages[2].reason
    for outage in gone:  # their cause went with the child
        outage.mending_s = outage.ended_s = outage.told_s
    hall.notified(*lasting)
    starved, suspended, moved = lasting
    hall.mend([starved], server["starved"].resume)
    hall.mend([suspended], server.resume, "suspended")
    hall.mend([moved], server.load, "moved")
    hall.recovered(*outages)
    assert not {wedged, killed} & set(children(hall.daemon))
    return outages


def break_all(hall, server, names):
    """``kill -9`` of the sound server."""
    began_s = time.monotonic()
    server.kill()
    outages = [Outage(name, began_s) for name in names]
    hall.detected(*outages)
    hall.notified(*outages)
    hall.mend(outages, server.restart)
    hall.recovered(*outages)
    hall.daemon.until(lambda: hall.daemon.get("/healthz")[0] == 200)
    return outages


def test_every_fault_of_a_microphone_is_told_survived_and_accounted_for(
    plant, mosquitto, tmp_path, sounds
):
    names = ("starved", "suspended", "moved", "wedged", "killed", "well")
    state = plant.state(tmp_path)
    enrol_alike(state, *names)
    monitors = [section(name, f"alsa:{name}?rate=16000") for name in names]
    mosquitto.start()
    with (
        SoundServer(*[sounds.microphone(name) for name in names]) as server,
        listening(plant, mosquitto, tmp_path, state, *monitors) as hall,
        contextlib.ExitStack() as stack,
    ):
        for name in names:
            hall.said.normal(name)
        assert len(children(hall.daemon)) == len(names)
        began_s = time.time()
        outages = break_each(hall, server, stack)
        assert hall.said.notices("well") == []  # what its neighbours have is no concern of it
        outages += break_all(hall, server, names)
        ended_s = time.time()
        assert hall.daemon.stop()[0] == 0
        for name in ("starved", "suspended", "moved"):
            assert [one["type"] for one in hall.said.notices(name)] == ["new", "end"] * 2
        for name in names:
            assert hall.said.of(name, "event") == []  # nothing of this is about the machine
    written = {name: Written(state, name) for name in names}
    for one in written.values():
        one.exact(began_s, ended_s)
    for outage in outages:
        outage.accounted_for(written[outage.monitor])
    (shown,) = lines(cli("ledger", "--json", "--state-dir", state))
    assert {one["monitor"]: one["seconds"] for one in shown["monitors"]} == {
        name: {account.value: s for account, s in one.summary.seconds.items()}
        for name, one in written.items()
    }


@contextlib.contextmanager
def service_manager(path):
    """The socket of systemd."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE_S)
        yield manager


def alert_through_the_loss_of_the_only_microphone(hall, server, microphone, sounds):
    """Its id."""
    microphone.signal = sounds.on(sounds.faulty)
    alert = hall.said.alert("pump")
    outage = hall.outage("pump", server.unload, "mic0")
    hall.detected(outage)
    hall.notified(outage)
    assert hall.said.of("pump", "state")[-1]["event_id"] == alert
    hall.mend([outage], server.load, "mic0")
    hall.recovered(outage)
    assert hall.said.alert("pump", outage.heard_s) == alert
    return alert, outage


def test_without_a_sound_server_at_first_and_an_alert_that_outlives_microphone_and_daemon(
    plant, mosquitto, tmp_path, sounds
):
    state = plant.state(tmp_path)
    setup = plant, mosquitto, tmp_path, state, section("pump", "alsa:mic0?rate=16000")
    mosquitto.start()
    microphone = sounds.microphone("mic0")
    socket_ = tmp_path / "notify"
    with service_manager(socket_) as manager, SoundServer(microphone) as server:
        server.kill()
        with listening(*setup, NOTIFY_SOCKET=str(socket_)) as hall:
            absent = Outage("pump", 0.0)
            while b"READY=1" not in manager.recv(4096):  # nobody waits for a microphone
                pass
            began_s = time.time()
            no_audio = hall.said.state("pump", lambda one: "no audio: " in one["reason"])
            assert no_audio[1]["state"] == "unknown"
            hall.notified(absent)
            hall.mend([absent], server.restart)
            hall.recovered(absent)
            hall.settled("pump", "no_audio")
            alert, gone = alert_through_the_loss_of_the_only_microphone(
                hall, server, microphone, sounds
            )
            heard_s = time.time()
            hall.daemon.until(lambda: Written(state, "pump").passages[-1].end_s > heard_s)
            server.kill()
            hall.daemon.until(lambda: hall.said.notices("pump")[-1]["type"] == "new")
            hall.daemon.kill()
            killed_s = time.time()
        microphone.signal = sounds.on(sounds.normal)
        server.restart()
        with listening(*setup) as hall:
            opened_s = time.time()
            hall.said.normal("pump")
            eventually(lambda: hall.said.of("pump", "event"), what="the end of the alert")
            ended_s = time.time()
            assert hall.daemon.stop()[0] == 0
    steps = stored_events(state)
    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    notices = [step for step in steps if "fault" in step]
    assert [step["type"] for step in notices] == ["new", "end"] * 3
    assert [step["id"] for step in notices[::2]] == [step["id"] for step in notices[1::2]]
    alerts = [step for step in steps if "fault" not in step]
    assert {step["id"] for step in alerts} == {alert}
    assert [step["type"] for step in (alerts[0], alerts[-1])] == ["new", "end"]
    assert alerts[-1]["reason"] == "score back to normal"
    written = Written(state, "pump")
    written.exact(began_s, ended_s)
    gone.accounted_for(written)
    down_s = written.seconds("down")
    assert opened_s - killed_s - 1.0 <= down_s <= opened_s - killed_s + UNWRITTEN_S
    assert written.seconds("scored", killed_s - 1.0, opened_s) == 0
