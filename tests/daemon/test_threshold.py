"""With the thresholds that were in force, a preview tells of the alerts that the daemon raised."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.processes import (
    FAULT,
    PUMP,
    RATE,
    DaemonProcess,
    cli,
    lines,
    render,
    stored_events,
)

from edge_asd.clock import parse_rfc3339


def previewed(state, config):
    result = cli("threshold", "--preview", "--json", "--config", config, "--state-dir", state)
    assert result.returncode == 0, result.stderr
    ((row,),) = [answer["monitors"] for answer in lines(result)]
    (now,) = [trial for trial in row["trials"] if trial["in_force"]]
    return row, now


def test_a_preview_with_the_thresholds_in_force_is_what_was_raised(plant, tmp_path):
    normal = render(f"{PUMP}&speed=max&seconds=30")
    stops = render(f"{FAULT}&speed=max&seconds=60&onset=0&off=20-60")
    faulty = stops[: 15 * RATE]
    covered = np.random.default_rng(0).normal(0.0, 1e-5, 40 * RATE).astype(np.float32)
    file = tmp_path / "day.wav"
    parts = [normal, faulty, normal, stops, normal, faulty, covered, normal]
    soundfile.write(file, np.concatenate(parts), RATE)
    config = plant.config(tmp_path, f"file:{file}")
    state = plant.state(tmp_path)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        assert daemon.wait() == 0, daemon.log
    events = [event for event in stored_events(state) if "fault" not in event]
    begun = [event for event in events if event["type"] == "new"]
    ended = [event for event in events if event["type"] == "end"]
    assert len(begun) == len(ended) == 3, events
    reasons = [event["reason"] for event in ended]
    assert reasons == ["score back to normal", "machine idle", "score back to normal"]
    row, now = previewed(state, config)
    assert now["threshold"] == pytest.approx(begun[0]["threshold"], rel=1e-5)
    assert row["history"]["hours"] * 3600 == pytest.approx(140.0, abs=40.0)
    for new, end, alert in zip(begun, ended, now["alerts"], strict=True):
        for name, event in (("started_at", new), ("ended_at", end)):
            assert parse_rfc3339(alert[name]) == pytest.approx(parse_rfc3339(event[name]), abs=0.01)
        assert alert["severity"] == end["severity"]
        assert alert["duration_s"] == pytest.approx(end["duration_s"], abs=0.01)
        assert alert["peak"] >= new["score"] * 0.999
