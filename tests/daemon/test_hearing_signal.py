"""Sound that no microphone gives: told, never scored, and over again; loud sound is another matter.

Two microphones of two channels, a monitor on each channel, a child process for each microphone.
"""

from __future__ import annotations

import time

import pytest
from support.listening import (
    REACH_S,
    Outage,
    Sounds,
    Written,
    children,
    enrol_alike,
    listening,
    section,
)
from support.processes import QUICK
from support.pulse import SoundServer

pytestmark = [pytest.mark.broker, pytest.mark.real_time]

FLAWS = {"zero": "digital_zero", "stuck": "stuck", "covered": "noise_floor"}
NAMES = (*FLAWS, "loud")
MICROPHONES = {"left": ("zero", "stuck"), "right": ("covered", "loud")}


def windows(hall, monitor, result):
    return hall.daemon.metric("windows_total", monitor=monitor, result=result)


def assert_one_way(states):
    """Unknown, and from some state on never again."""
    kinds = [state["state"] == "unknown" for _, state in states]
    assert kinds == sorted(kinds, reverse=True), [s["reason"] for _, s in states]


def assert_accounted_for(outage, written):
    """All of a flaw is in the ledger as a fault of the microphone; the time to trust it may be."""
    ahead_s = time.time() - time.monotonic()
    began_s, ended_s, heard_s = (
        at_s + ahead_s for at_s in (outage.began_s, outage.ended_s, outage.heard_s)
    )
    fault_s = written.seconds("microphone_fault")
    assert ended_s - began_s - 2.0 <= fault_s <= heard_s - began_s + 2.0, written.passages
    inside = round(began_s) + REACH_S, round(ended_s) - REACH_S
    assert written.seconds("scored", *inside) == 0, written.passages


def break_signals(hall, left, right, sounds):
    """Three channels go dead, each in its own way, while the fourth hears it very loud."""
    outages = {name: Outage(name, time.monotonic()) for name in FLAWS}
    left.signal = sounds.on(sounds.silence, sounds.stuck)
    right.signal = sounds.on(sounds.converter, sounds.clipped)
    hall.detected(*outages.values())
    for name, fault in FLAWS.items():
        assert outages[name].reason.startswith("microphone: ")
        hall.notified(outages[name], fault=fault)
    return outages


def mend_signals(left, right, sounds):
    """All channels hear the machine run."""
    left.signal = right.signal = sounds.on(sounds.normal, sounds.normal)


def test_dead_signals_are_told_and_never_scored_and_a_loud_one_is_scored_and_clears_nothing(
    plant, mosquitto, tmp_path
):
    sounds, state = Sounds(plant), plant.state(tmp_path)
    enrol_alike(state, *NAMES)
    monitors = [
        section(name, f"alsa:{microphone}?rate=16000", channel)
        for microphone, names in MICROPHONES.items()
        for channel, name in enumerate(names)
    ]
    left, right = (sounds.microphone(name, channels=2) for name in MICROPHONES)
    mosquitto.start()
    with (
        SoundServer(left, right) as server,
        listening(plant, mosquitto, tmp_path, state, *monitors) as hall,
    ):
        for name in NAMES:
            hall.said.normal(name)
        began_s = time.time()
        assert len(children(hall.daemon)) == len(MICROPHONES)
        assert [server.listeners(name) for name in MICROPHONES] == [1, 1]
        right.signal = sounds.on(sounds.normal, sounds.faulty)
        alert = hall.said.alert("loud")

        outages = break_signals(hall, left, right, sounds)
        dead_s = time.monotonic()
        flawed = {name: windows(hall, name, "flawed") for name in FLAWS}
        scored = {name: windows(hall, name, "scored") for name in NAMES}
        clears = 4 * QUICK["clear_s"] * 2  # hops, twice the time in which it would have ended
        hall.daemon.until(lambda: windows(hall, "loud", "scored") > scored["loud"] + clears)
        for name in FLAWS:
            assert windows(hall, name, "flawed") > flawed[name]
            assert windows(hall, name, "scored") == scored[name]
        assert {step["id"] for step in hall.said.of("loud", "event")} == {alert}
        assert hall.said.of("loud", "event")[-1]["type"] != "end"
        assert hall.said.notices("loud") == []
        assert {one["state"] for _, one in hall.said.states("loud", dead_s)} <= {"warning", "alarm"}

        hall.mend(outages.values(), mend_signals, left, right, sounds)
        hall.recovered(*outages.values())
        for name, fault in FLAWS.items():
            hall.settled(name, fault)
            assert_one_way(hall.said.states(name, outages[name].told_s))
        hall.daemon.until(lambda: hall.said.of("loud", "event")[-1]["type"] == "end")
        assert {step["id"] for step in hall.said.of("loud", "event")} == {alert}
        ended_s = time.time()
        assert hall.daemon.stop()[0] == 0
        for name in FLAWS:
            assert hall.said.of(name, "event") == []
    for name in NAMES:
        written = Written(state, name)
        written.exact(began_s, ended_s)
        if name in FLAWS:
            assert_accounted_for(outages[name], written)
        else:
            assert written.seconds("microphone_fault") == 0
