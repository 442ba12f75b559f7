"""Home Assistant shows a machine by itself, from its first normal second to its removal."""

from __future__ import annotations

import json

import pytest
from brokers import Subscriber, eventually
from support.home_assistant import entities, shown
from support.processes import FAULT, PUMP, DaemonProcess

pytestmark = pytest.mark.broker


class Dashboard:
    """What Home Assistant would show, from everything it hears."""

    def __init__(self, subscriber) -> None:
        self._subscriber = subscriber

    @property
    def _said(self):
        said = {topic: payload for topic, payload, _ in list(self._subscriber.messages)}
        return {topic: payload for topic, payload in said.items() if payload}

    def entities(self):
        said = self._said
        return entities({t: p for t, p in said.items() if t.startswith("homeassistant/")})

    def shows(self, key):
        entity = self.entities().get(f"edge-asd_hall_{key}")
        return None if entity is None else shown(entity, self._said)

    def number(self, key):
        try:
            return float(self.shows(key))
        except (TypeError, ValueError):
            return None


def test_a_fault_appears_in_home_assistant_and_a_removed_monitor_leaves_it(
    plant, mosquitto, tmp_path
):
    mosquitto.start()
    state = plant.state(tmp_path)
    mqtt = {"url": mosquitto.url, "home_assistant": {}}
    source = f"{FAULT}&speed=10&onset=5"
    config = plant.config(tmp_path, source, mqtt=mqtt)
    with Subscriber(mosquitto.port, topics="#") as subscriber:
        dashboard = Dashboard(subscriber)
        with DaemonProcess(state, "--config", config) as daemon:
            daemon.until(lambda: dashboard.shows("connectivity") == "on")
            daemon.until(lambda: dashboard.shows("M_pump_state") == "normal")
            assert dashboard.shows("M_pump_problem") in ("off", "on")
            daemon.until(lambda: dashboard.shows("M_pump_problem") == "on")
            assert dashboard.shows("M_pump_severity") in ("warning", "alarm")
            assert dashboard.shows("M_pump_running") == "on"
            daemon.until(lambda: dashboard.shows("M_pump_microphone") == "off")
            # What was heard comes with the next message of the state.
            assert dashboard.number("M_pump_score") is not None
            assert dashboard.number("M_pump_level") < 0
            assert daemon.stop()[0] == 0
        eventually(lambda: dashboard.shows("connectivity") == "off")
        assert dashboard.shows("M_pump_problem") == "unavailable"

        other = {"name": "fan", "source": f"{PUMP}&speed=10", "enrol_s": 60}
        config = plant.config(tmp_path, source, mqtt=mqtt, monitors=[other])
        with DaemonProcess(state, "--config", config) as daemon:
            daemon.until(lambda: dashboard.shows("M_fan_state") == "baselining")
            daemon.until(lambda: not any("_M_pump_" in key for key in dashboard.entities()))
            with Subscriber(mosquitto.port, topics="#") as late:
                late.settle()
                kept = [topic for topic, _, flag in late.messages if flag]
            assert not any("pump" in topic for topic in kept), kept
            known = json.loads((state / "mqtt-topics.json").read_text())
            assert known["device"] == "hall"
            assert daemon.stop()[0] == 0
