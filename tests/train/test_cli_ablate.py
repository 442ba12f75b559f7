"""``edge-asd-train ablate``, from a folder of clips to a table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from click.testing import CliRunner
from tones import dcase_tones

from edge_asd_train.cli import main

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def words(tmp_path, recipe):
    """Arguments of a short ablation."""
    profile = tmp_path / "tiny.yaml"
    profile.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    data = dcase_tones(tmp_path / "set")
    chosen = {"--data": data, "--out": tmp_path / "out", "--profile": profile, "--seeds": 1}
    chosen |= {"--device": "cpu", "--threads": 1, "--rules": 2023, "--steps": 2}
    return ["ablate", *(str(word) for pair in chosen.items() for word in pair)]


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_the_table_holds_all_variants_and_is_the_same_when_resumed(tmp_path, words):
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [found["scorer"], found["rules"], len(found["methods"])] == ["published", 2023, 7]
    for method in found["methods"].values():
        assert 0 <= method["official"]["mean"] <= 1
        assert [one["steps"] for one in method["runs"]] == [2]
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert "| all, fixed centres | 1 |" in table
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()) == found
    again = run(*words)
    assert (again.exit_code, "--resume" in again.output) == (2, True)
    resumed = run(*words, "--resume")
    assert resumed.stdout == table


def test_baselines_stand_in_the_same_table(words):
    done = run(*words, "--baselines")
    assert done.exit_code == 0, done.output
    methods = [line.split(" | ")[0].lstrip("| ") for line in done.stdout.splitlines()[2:12]]
    assert methods[-3:] == [
        "log-mel nearest neighbour",
        "autoencoder, MSE",
        "autoencoder, selective Mahalanobis",
    ]


def test_ctrl_c_leaves_and_resume_goes_on(tmp_path, words):
    command = [sys.executable, "-m", "edge_asd_train", *words]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)
    begun = tmp_path / "out" / "runs" / "none-trainable" / "seed-0" / "log.csv"
    while not begun.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert (process.returncode, "go on with --resume" in said) == (130, True), said
    resumed = run(*words, "--resume")
    assert resumed.exit_code == 0, resumed.output


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--scorer", "nonsense"], "scorer nonsense"),
        (["--profile", "nonsense"], "recipe nonsense"),
        (["--rules", "2019"], "2019"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(tmp_path, words, more, named):
    refused = run(*words, *more)
    assert refused.exit_code != 0
    assert named in refused.output
    assert not (tmp_path / "out" / "runs").exists()
