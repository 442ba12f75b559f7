"""What an operator switches changes what a monitor does with sound, and what is said of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.reporting import reporting
from support.sound import RATE, WALL_S, machine

from edge_asd.books.ledger import Account
from edge_asd.config import AlertConfig, EvidenceConfig, MonitorConfig
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.switches import Span, Switches
from edge_asd.records import Block, State

NAME = "pump-1"
QUICK = {"above_s": 1.5, "within_s": 2.0, "clear_s": 1.0, "update_s": 60.0, "cooldown_s": 0}
STEP = RATE // 2


class Hall:
    """One monitor of the tiny bundle, and the sound that it is given."""

    def __init__(self, bench, networks, learned, folder, *, settle_s=0.0, **given):
        self.bench, self.at, self.first = bench, 0, 0
        sound = machine("pump", 60.0, fault="bearing_outer", span=(30.0, None))
        self.normal, self.faulty = sound[: 30 * RATE], sound[32 * RATE :]
        config = MonitorConfig(
            name=NAME, source="sim:pump", settle_s=settle_s, alert=AlertConfig(**QUICK)
        )
        off = EvidenceConfig(enabled=False)
        self.monitor = Monitor(
            config, networks, folder, bench.report, evidence=off,
            **({"open_event": None, "profile": learned} | given),
        )  # fmt: skip

    def hear(self, sound, seconds):
        """So much of a sound, over and over."""
        samples = np.resize(sound, round(seconds * RATE))
        for first in range(0, len(samples), STEP):
            part = samples[first : first + STEP, None]
            block = Block(part.copy(), self.at, WALL_S + self.at / RATE)
            self.at += len(part)
            self.bench.passing.now_s = WALL_S + self.at / RATE
            self.monitor.push(block, RATE, queued_s=0.0, dropped=False)

    def switch(self, **spans):
        self.monitor.switch(Switches(**spans))

    def until(self, seconds):
        return Span("anna", self.bench.clock.now() + seconds, seconds)

    @property
    def state(self):
        return self.monitor.standing.state

    @property
    def steps(self):
        return [json.loads(step.to_json()) for step in self.bench.store.events()]

    def metric(self, name, **labels):
        return self.bench.metric(name, monitor=NAME, **labels)


@pytest.fixture
def bench(tmp_path, tiny_networks):
    with reporting(tmp_path, tiny_networks.bundle.manifest) as bench:
        bench.metrics.init_monitor(NAME, queue_capacity=20)
        yield bench


@pytest.fixture
def make(bench, tiny_networks, pump_profile, tmp_path):
    return lambda **given: Hall(bench, tiny_networks, pump_profile, tmp_path, **given)


@pytest.fixture
def hall(make):
    return make()


ways = pytest.mark.parametrize(
    ("switch", "reason"), [("inhibition", "inhibited by anna"), ("off", "switched off by anna")]
)


@ways
def test_in_maintenance_nothing_is_scored_and_every_second_says_so(hall, switch, reason):
    hall.hear(hall.normal, 10)
    scored = hall.metric("windows_total", result="scored")
    hall.switch(**{switch: Span("anna")})
    assert (hall.state, hall.monitor.standing.reason) == (State.INHIBITED, reason)
    began_s = hall.bench.clock.now()
    hall.hear(hall.faulty, 20)
    assert hall.metric("windows_total", result="scored") == scored
    assert hall.metric("windows_total", result="inhibited") == pytest.approx(20 / 0.256, abs=1)
    assert hall.metric("monitor_state", state="inhibited") == 1
    ledger = hall.bench.report.books.ledger
    totals = ledger.totals(NAME, began_s, hall.bench.clock.now())
    assert totals[Account.INHIBITED] == pytest.approx(20, abs=1)
    assert hall.steps == []


@ways
def test_an_open_alert_ends_with_maintenance_and_the_reason(hall, switch, reason):
    hall.hear(hall.normal, 5)
    hall.hear(hall.faulty, 8)
    assert hall.metric("alert_active", severity=hall.monitor.alert.severity.value) == 1
    hall.switch(**{switch: Span("anna")})
    end = hall.steps[-1]
    assert (end["type"], end["state"], end["reason"]) == ("end", "inhibited", reason)
    assert hall.monitor.alert is None
    assert hall.metric("alert_active", severity=end["severity"]) == 0
    # What was wrong before is found again after it, as an alert of its own.
    hall.switch()
    hall.hear(hall.faulty, 8)
    assert hall.steps[-1]["type"] == "new"
    assert hall.steps[-1]["id"] != end["id"]


def test_sound_that_overlaps_maintenance_is_not_scored(hall):
    hall.hear(hall.normal, 5)
    hall.switch(inhibition=Span("anna"))
    hall.hear(hall.faulty, 6)
    hall.switch()
    scored = hall.metric("windows_total", result="scored")
    hall.hear(hall.normal, 1)  # less than a window
    assert hall.metric("windows_total", result="scored") == scored
    hall.hear(hall.normal, 10)
    assert hall.state is State.NORMAL
    assert hall.steps == []


def test_after_maintenance_the_machine_is_given_time_to_settle(make):
    hall = make(settle_s=5.0)
    hall.switch(inhibition=Span("anna"))
    hall.hear(hall.normal, 2)
    hall.switch()
    assert hall.state is State.UNKNOWN
    hall.hear(hall.faulty, 5)
    assert hall.metric("windows_total", result="scored") == 0
    assert hall.metric("windows_total", result="idle") == pytest.approx(5 / 0.256, abs=1)
    hall.hear(hall.normal, 5)
    assert hall.metric("windows_total", result="scored") > 5
    assert hall.state is State.NORMAL


def test_a_monitor_that_starts_in_maintenance_ends_the_alert_of_before(make):
    before = make()
    before.hear(before.faulty, 8)
    alert = before.monitor.alert
    hall = make(open_event=alert, switches=Switches(inhibition=Span("anna")))
    assert hall.state is State.INHIBITED
    assert (hall.steps[-1]["type"], hall.steps[-1]["id"]) == ("end", alert.id)


def test_a_microphone_unplugged_in_maintenance_is_told_only_if_it_stays_so(hall):
    hall.hear(hall.normal, 5)
    hall.switch(inhibition=Span("anna"))
    silence = np.zeros(RATE, np.float32)
    hall.hear(silence, 30)
    assert hall.steps == []
    assert hall.bench.health.snapshot()[f"microphone/{NAME}"].status.value == "skipped"
    hall.switch()
    hall.hear(silence, 2)
    assert [step["type"] for step in hall.steps] == ["new"]
    assert hall.steps[0]["duration_s"] > 25  # since it cannot be heard, not since it is told
    hall.hear(hall.normal, 5)
    assert [step["type"] for step in hall.steps] == ["new", "end"]


def test_nothing_is_recorded_for_a_baselining_in_maintenance(make):
    hall = make(profile=None)
    hall.monitor.baselining.start(RATE, 60.0)
    hall.hear(hall.normal, 10)
    hall.switch(inhibition=Span("anna"))
    hall.hear(hall.faulty, 20)
    assert hall.state is State.INHIBITED
    assert hall.monitor.baselining.heard_s == pytest.approx(10)
    hall.switch()
    assert hall.state is State.BASELINING
    hall.hear(hall.normal, 10)
    assert hall.monitor.baselining.heard_s == pytest.approx(20)


def test_a_snooze_is_silent_and_the_history_is_not(hall):
    hall.hear(hall.normal, 5)
    hall.switch(snooze=hall.until(600.0))
    hall.hear(hall.faulty, 8)
    assert hall.state in (State.WARNING, State.ALARM)
    (step,) = hall.steps
    assert (step["type"], step["held"], step["seq"]) == ("new", True, 0)
    assert step["snoozed_until"] is not None
    assert hall.metric("alerts_suppressed_total", reason="snoozed") == 1
    for severity in ("warning", "alarm"):
        assert hall.metric("alert_active", severity=severity) == 0
        assert hall.metric("alerts_total", severity=severity) == 0
    hall.switch()
    assert [(s["type"], s["held"], s["seq"]) for s in hall.steps[1:]] == [("new", False, 1)]
    assert hall.steps[1]["started_at"] == step["started_at"]
    assert hall.metric("alert_active", severity=hall.steps[1]["severity"]) == 1
    hall.hear(hall.normal, 10)
    assert (hall.steps[-1]["type"], hall.steps[-1]["held"]) == ("end", False)


def test_a_snooze_silences_the_alert_that_is_open_and_says_until_when(hall):
    hall.hear(hall.normal, 5)
    hall.hear(hall.faulty, 8)
    hall.switch(snooze=hall.until(600.0))
    silenced = hall.steps[-1]
    assert silenced["type"] == "update"
    assert silenced["snoozed_until"] is not None
    assert hall.metric("alert_active", severity=silenced["severity"]) == 0
    hall.switch()
    assert hall.steps[-1]["snoozed_until"] is None
    assert hall.metric("alert_active", severity=silenced["severity"]) == 1


def test_an_acknowledgement_is_told_once_and_stays(hall):
    assert hall.monitor.acknowledge("anna") is None
    hall.hear(hall.faulty, 8)
    assert hall.monitor.acknowledge("anna").acked_by == "anna"
    assert hall.monitor.acknowledge("ben").acked_by == "anna"
    assert [step["acked_by"] for step in hall.steps if step["type"] == "update"] == ["anna"]
    hall.hear(hall.normal, 10)
    assert (hall.steps[-1]["type"], hall.steps[-1]["acked_by"]) == ("end", "anna")


def test_an_alert_that_nobody_was_told_of_cannot_be_acknowledged(hall):
    hall.switch(snooze=hall.until(600.0))
    hall.hear(hall.faulty, 8)
    assert hall.monitor.alert.held
    assert hall.monitor.acknowledge("anna") is None
