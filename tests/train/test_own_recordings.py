"""A user's own folder of normal sound becomes a bundle that the daemon runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner
from support.processes import cli

from edge_asd.simulate import Fault, draw_scene, render
from edge_asd_train.cli import main

RATE = 16_000
CLIPS, SECONDS = 12, 10.0


@pytest.fixture
def recordings(tmp_path):
    """Two machines with two minutes of normal sound each, and one of them with a fault."""
    scenes = {}
    for number, kind in enumerate(("pump", "fan")):
        scenes[kind] = draw_scene(np.random.default_rng(number), kind, snr_db=(20.0, 25.0))
        folder = tmp_path / "hall" / kind / "normal"
        folder.mkdir(parents=True)
        for clip in range(CLIPS):
            samples = render(scenes[kind], SECONDS, seed=clip)
            soundfile.write(folder / f"{clip:02d}.wav", samples, RATE)
    broken = tmp_path / "broken.wav"
    fault = Fault("bearing_outer", 1.0)
    soundfile.write(broken, render(scenes["pump"], 40.0, seed=99, fault=fault), RATE)
    return tmp_path / "hall", broken


@pytest.mark.slow
def test_own_recordings_are_trained_exported_enrolled_and_run_in_the_daemon(recordings, tmp_path):
    hall, broken = recordings
    recipe, run, bundle = tmp_path / "small.yaml", tmp_path / "run", tmp_path / "mine-1.asd"
    fields = {"name": "small", "window_s": 2, "steps": 4, "batch": 8, "batch_norm_batches": 4}
    recipe.write_text(
        yaml.safe_dump({**fields, "gain": {"per_machine": True}, "loss": {"subclusters": 2}})
    )
    for arguments in (
        ["fit", "--recipe", recipe, "--data", hall, "--out", run, "--threads", 1],
        ["export", "--run", run, "--out", bundle, "--precision", "fp16"],
    ):
        done = CliRunner().invoke(main, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
    state = ("--state-dir", tmp_path / "state")
    normal = hall / "pump" / "normal"
    enrolled = cli("enrol", "--monitor", "pump", "--from", normal, "--bundle", bundle, *state)
    assert enrolled.returncode == 0, enrolled.stderr
    for source, raised in ((normal, False), (broken, True)):
        events = tmp_path / f"{source.stem}.jsonl"
        heard = cli(
            *("run", "--monitor", "pump", "--source", f"file:{source}", "--once"),
            *("--jsonl", events, "--http", "127.0.0.1:0", *state),
        )
        assert heard.returncode == 0, heard.stderr
        lines = events.read_text().splitlines() if events.exists() else []
        assert any(json.loads(line).get("type") == "new" for line in lines) == raised
