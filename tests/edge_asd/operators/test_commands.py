"""Verbs change what they name, first on disk, and what was given minutes ends by itself."""

from __future__ import annotations

import pytest
from support.alerts import alert
from support.hall import Hall
from support.reporting import reporting

from edge_asd.config import EvidenceConfig, MonitorConfig
from edge_asd.errors import UsageError
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.commands import Commands
from edge_asd.operators.switches import Switchboard
from edge_asd.records import State

IDS = {
    "pump": "0192f0a0-0000-7000-8000-00000000000a",
    "fan": "0192f0a1-0000-7000-8000-00000000000b",
}


@pytest.fixture
def bench(tmp_path, tiny_networks):
    with reporting(tmp_path, tiny_networks.bundle.manifest) as bench:
        bench.folder, bench.networks = tmp_path, tiny_networks
        yield bench


def hall_of(bench, profile, alerting=()):
    """Two monitors, some with an alert that was open at the start."""
    board = Switchboard(bench.store.switches, bench.clock)
    monitors = []
    for name, event_id in IDS.items():
        bench.metrics.init_monitor(name, queue_capacity=20)
        event = alert(id=event_id) if name in alerting else None
        monitors.append(
            Monitor(
                MonitorConfig(name=name, source="sim:pump"), bench.networks, bench.folder,
                bench.report, profile=profile, open_event=event,
                evidence=EvidenceConfig(enabled=False), switches=board.of(name),
            )
        )  # fmt: skip
    hall = Hall(*monitors)
    Commands(hall, board, bench.report)
    return hall


def test_maintenance_is_for_one_monitor_and_ends_by_itself(bench, pump_profile):
    hall = hall_of(bench, pump_profile)
    answer = hall.ask("inhibit", monitor="pump", minutes=10, by="anna").result()
    assert (answer["monitor"], answer["inhibited_by"]) == ("pump", "anna")
    pump, fan = hall.monitors
    assert pump.standing.state is State.INHIBITED
    assert fan.standing.state is not State.INHIBITED
    bench.passing.now_s += 599.0
    hall.look()
    assert pump.switches.inhibited
    bench.passing.now_s += 2.0
    hall.look()
    assert not pump.switches.silent
    assert pump.standing.state is State.UNKNOWN


def test_what_is_switched_is_there_after_a_restart(bench, pump_profile):
    hall = hall_of(bench, pump_profile)
    hall.ask("enabled", monitor="pump", on=False, by="anna")
    hall.ask("snooze", monitor="fan", minutes=10)
    pump, fan = hall_of(bench, pump_profile).monitors
    assert pump.standing.reason == "switched off by anna"
    assert fan.switches.snoozed


def test_what_the_disk_does_not_keep_is_not_done(bench, pump_profile, monkeypatch):
    hall = hall_of(bench, pump_profile)
    bench.store.close()
    with pytest.raises(Exception, match=r"events\.db"):
        hall.ask("inhibit", monitor="pump", on=True)
    assert not hall.monitors[0].switches.silent
    monkeypatch.undo()


@pytest.mark.parametrize("named", [{}, {"monitor": "pump"}, {"event": IDS["pump"][-4:]}])
def test_an_alert_is_named_by_monitor_by_id_or_by_being_the_only_one(bench, pump_profile, named):
    hall = hall_of(bench, pump_profile, alerting=("pump",))
    answer = hall.ask("ack", by="anna", **named).result()
    assert (answer["monitor"], answer["event_id"]) == ("pump", IDS["pump"])
    assert answer["acked_by"] == "anna"
    assert hall.monitors[0].alert.acked_by == "anna"


@pytest.mark.parametrize(
    ("alerting", "named", "word"),
    [
        ((), {}, "no alert is open"),
        ((), {"monitor": "pump"}, "pump: no alert is open"),
        (("pump", "fan"), {}, "more than one alert is open; name one of: pump, fan"),
        (("pump",), {"event": "ffff"}, "is not open"),
        (("pump",), {"monitor": "pump", "event": IDS["fan"]}, "is not open"),
        (("pump",), {"monitor": "saw"}, "no monitor 'saw'"),
        (("pump",), {"monitor": 5}, "'monitor' must be text"),
    ],
)
def test_an_alert_that_is_not_open_is_not_acknowledged(bench, pump_profile, alerting, named, word):
    hall = hall_of(bench, pump_profile, alerting)
    with pytest.raises(UsageError, match=word):
        hall.ask("ack", **named)
    assert not any(m.alert.acked_by for m in hall.monitors if m.alert)
