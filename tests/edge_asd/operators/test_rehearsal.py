"""A rehearsal says what is not so, marked as such, and takes it back whatever happens."""

from __future__ import annotations

import json

import pytest
from support.alerts import alert
from support.hall import Hall
from support.reporting import reporting

from edge_asd.config import EvidenceConfig, MonitorConfig
from edge_asd.errors import BusyError, UsageError
from edge_asd.health import Health
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.rehearsal import Rehearsals

NAME = "pump"


class Broker:
    """Knows whether the daemon is away."""

    def __init__(self):
        self.away_s = None

    def leave(self, seconds):
        self.away_s = seconds

    def come_back(self):
        self.away_s = None


@pytest.fixture
def bench(tmp_path, tiny_networks):
    with reporting(tmp_path, tiny_networks.bundle.manifest) as bench:
        bench.folder, bench.networks = tmp_path, tiny_networks
        bench.metrics.init_monitor(NAME, queue_capacity=20)
        yield bench


@pytest.fixture
def stage(bench, pump_profile):
    """Makes the daemon of a run: its worker, and the broker."""

    def make(event=None):
        monitor = Monitor(
            MonitorConfig(name=NAME, source="sim:pump"), bench.networks, bench.folder, bench.report,
            profile=pump_profile, open_event=event, evidence=EvidenceConfig(enabled=False),
        )  # fmt: skip
        hall = Hall(monitor)
        hall.broker = Broker()
        Rehearsals(hall, bench.report, bench.health, bench.store, mqtt=lambda: hall.broker)
        return hall

    return make


def steps(bench):
    return [json.loads(message.to_json()) for message in bench.store.events()]


def after(bench, hall, seconds):
    bench.passing.now_s += seconds
    hall.look()


def shown(bench, name):
    return bench.health.snapshot().get(name)


def test_an_alert_lives_from_new_to_end_and_counts_for_nothing(bench, stage):
    hall = stage()
    result = hall.ask("rehearse", fault="alarm", seconds=10, by="anna")
    after(bench, hall, 4.0)
    assert [step["type"] for step in steps(bench)] == ["new"]
    after(bench, hall, 2.0)
    after(bench, hall, 5.0)
    life = steps(bench)
    assert [step["type"] for step in life] == ["new", "update", "end"]
    assert [step["severity"] for step in life] == ["warning", "alarm", "alarm"]
    assert all(step["rehearsal"] and step["reason"].startswith("rehearsal:") for step in life)
    assert life[-1]["duration_s"] == pytest.approx(11.0)
    assert result.result() == {"fault": "alarm", "seconds": 11.0, "ended": "over"}
    assert bench.store.open_rehearsals() == []
    assert bench.store.open_event(NAME) is None
    for severity in ("warning", "alarm"):
        assert bench.metric("alerts_total", monitor=NAME, severity=severity) == 0
        assert bench.metric("alert_active", monitor=NAME, severity=severity) == 0
    assert bench.metric("rehearsals_total", fault="alarm") == 1
    assert hall.monitors[0].alert is None


def test_a_microphone_is_told_to_be_gone_and_to_be_there(bench, stage):
    hall = stage()
    hall.ask("rehearse", fault="mic", monitor=NAME, seconds=10)
    assert shown(bench, f"microphone/{NAME}").status is Health.CRITICAL
    assert shown(bench, f"microphone/{NAME}").rehearsal
    after(bench, hall, 10.0)
    told = steps(bench)
    assert [(step["type"], step["fault"]) for step in told] == [
        ("new", "no_audio"),
        ("end", "no_audio"),
    ]
    assert all(step["rehearsal"] and step["reason"].startswith("rehearsal:") for step in told)
    assert bench.store.open_notice(NAME) is None
    assert shown(bench, f"microphone/{NAME}") is None
    assert bench.metric("microphone_fault", monitor=NAME, fault="no_audio") == 0


def test_the_broker_is_left_and_found_again(bench, stage):
    hall = stage()
    hall.ask("rehearse", fault="broker", seconds=20)
    assert hall.broker.away_s == 20.0
    assert shown(bench, "mqtt").text.startswith("rehearsal:")
    after(bench, hall, 20.0)
    assert hall.broker.away_s is None
    assert shown(bench, "mqtt") is None
    hall.broker = None
    with pytest.raises(UsageError, match="names none"):
        hall.ask("rehearse", fault="broker", seconds=20)


def test_a_full_disk_is_shown_unless_something_worse_is_there(bench, stage):
    hall = stage()
    hall.ask("rehearse", fault="disk", seconds=20)
    assert shown(bench, "events").status is Health.CRITICAL
    assert shown(bench, "events").text.startswith("rehearsal:")
    bench.health.set("events", Health.CRITICAL, "the disk is really full")
    assert not shown(bench, "events").rehearsal
    bench.health.set("events", Health.HEALTHY, "events are stored")
    after(bench, hall, 20.0)
    assert shown(bench, "events").status is Health.HEALTHY


def test_one_at_a_time(bench, stage):
    hall = stage()
    hall.ask("rehearse", fault="disk", seconds=20)
    with pytest.raises(BusyError, match="a rehearsal is going on"):
        hall.ask("rehearse", fault="alarm", seconds=20)
    assert steps(bench) == []


@pytest.mark.parametrize("fault", ["alarm", "mic"])
def test_what_is_real_comes_first(bench, stage, fault):
    hall = stage(alert())
    with pytest.raises(BusyError, match="for real"):
        hall.ask("rehearse", fault=fault, seconds=20)
    assert steps(bench) == []


def test_a_rehearsal_ends_with_the_daemon(bench, stage):
    hall = stage()
    result = hall.ask("rehearse", fault="alarm", seconds=600)
    hall.end()
    assert result.result()["ended"] == "the daemon stops"
    assert [step["type"] for step in steps(bench)] == ["new", "end"]


@pytest.mark.parametrize("fault", ["alarm", "mic"])
def test_what_a_kill_leaves_open_is_ended_at_the_next_start_and_once(bench, stage, fault):
    stage().ask("rehearse", fault=fault, seconds=600)
    stage()
    stage()
    new, end = steps(bench)
    assert (end["type"], end["id"], end["rehearsal"]) == ("end", new["id"], True)
    assert end["reason"] == "rehearsal: cut short by a restart of the daemon"


def test_with_several_monitors_one_is_named(bench, stage):
    hall = stage()
    hall.monitors *= 2
    with pytest.raises(UsageError, match="name one of the monitors"):
        hall.ask("rehearse", fault="alarm", seconds=20)
    assert steps(bench) == []
