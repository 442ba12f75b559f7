"""The whole daemon, killed in the middle of alerts, delivers every step of them in the end."""

from __future__ import annotations

import json
import random
import time

import pytest
from support.mqtt_wire import Ear
from support.processes import FAULT, PUMP, DaemonProcess, stored_events

pytestmark = [pytest.mark.broker, pytest.mark.long]

KILLS = 6
LIFE_S = 300.0
"""A step of an alert comes after a few seconds, but not on a machine that is busy otherwise."""
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
            wanted = before + rng.randint(1, 3)
            with DaemonProcess(state, "--config", broken) as daemon:
                daemon.until((state / "events.db").exists)
                daemon.until(lambda n=wanted: len(stored_events(state)) >= n, LIFE_S)
                time.sleep(rng.uniform(0.0, 0.5))
                daemon.kill()
        with DaemonProcess(state, "--config", healed, "--once") as daemon:
            assert daemon.wait(LIFE_S) == 0, daemon.log
        payloads = [payload for topic, payload in ear.messages if topic == EVENT]
    heard = [json.loads(payload) for payload in dict.fromkeys(payloads)]
    kept = stored_events(state)
    assert heard == kept
    assert [step["seq"] for step in kept] == list(range(1, len(kept) + 1))
    assert kept[-1]["type"] == "end"
    for event_id in {step["id"] for step in kept}:
        kinds = [step["type"] for step in kept if step["id"] == event_id]
        assert kinds == ["new", *["update"] * (len(kinds) - 2), "end"], (
            "one life, however often killed"
        )
