"""The whole daemon, killed in the middle of alerts, delivers every step of them in the end."""

from __future__ import annotations

import json
import random
import time

import pytest
from support.mqtt_wire import Ear
from support.processes import FAULT, PUMP, DaemonProcess, stored_events

pytestmark = [pytest.mark.broker, pytest.mark.long]

KILLS = 10
EVENT = "edge-asd/hall/pump/event"


def test_a_daemon_that_is_killed_again_and_again_delivers_every_step(plant, mosquitto, tmp_path):
    rng = random.Random(3)
    mosquitto.start()
    state = plant.state(tmp_path)
    broken = plant.config(
        tmp_path, f"{FAULT}&speed=10&onset=5", name="broken.yaml", mqtt={"url": mosquitto.url}
    )
    healed = plant.config(tmp_path, f"{PUMP}&speed=max&seconds=20", mqtt={"url": mosquitto.url})
    with Ear(mosquitto.port) as ear:
        for _ in range(KILLS):
            before = len(stored_events(state)) if (state / "events.db").exists() else 0
            wanted = before + rng.randint(1, 4)
            with DaemonProcess(state, "--config", broken) as daemon:
                daemon.until((state / "events.db").exists)
                daemon.until(lambda n=wanted: len(stored_events(state)) >= n)
                time.sleep(rng.uniform(0.0, 0.5))
                daemon.kill()
        with DaemonProcess(state, "--config", healed, "--once") as daemon:
            assert daemon.wait() == 0, daemon.log
        payloads = [payload for topic, payload in ear.messages if topic == EVENT]
    heard = [json.loads(payload) for payload in dict.fromkeys(payloads)]
    kept = stored_events(state)
    assert heard == kept
    assert [step["seq"] for step in kept] == list(range(1, len(kept) + 1))
    assert kept[-1]["type"] == "end"
    assert {step["id"] for step in kept} == {kept[0]["id"]}, "one alert, through every kill"
