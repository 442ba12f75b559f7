"""A run that is really interrupted goes on and ends as if it had never been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from click.testing import CliRunner

from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.cli import main

# One thread: sums are then in one order, and the machine may be busy with other tests.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
STEPS = 60


@pytest.fixture
def command(tmp_path, data, recipe):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe.changed(steps=STEPS, ema=0.9).model_dump(mode="json")))
    return ["fit", "--recipe", str(path), "--data", str(data), "--device", "cpu", "--threads", "1"]


def steps_done(log):
    return max(0, len(log.read_text().splitlines()) - 1) if log.exists() else 0


def interrupted(command, out, number, after):
    """Run until some steps are done, then send the signal; the exit code and what was said."""
    process = subprocess.Popen(command, env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    try:
        while steps_done(out / "log.csv") < after:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate(timeout=600)
    finally:
        process.kill()
    return process.returncode, said


@pytest.mark.timeout(1800)
def test_a_run_ended_by_ctrl_c_and_by_sigterm_resumes_to_the_same_weights(tmp_path, command):
    threads = torch.get_num_threads()
    whole = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "whole")])
    torch.set_num_threads(threads)
    assert whole.exit_code == 0, whole.output
    out = tmp_path / "parted"
    command = [sys.executable, "-m", "edge_asd_train", *command]
    code, said = interrupted([*command, "--out", str(out)], out, signal.SIGINT, 5)
    assert (code, "go on with --resume" in said) == (130, True), said
    first = load_checkpoint(out / "checkpoint.pt").step
    resume = [*command, "--out", str(out), "--resume"]
    code, said = interrupted(resume, out, signal.SIGTERM, first + 5)
    assert (code, "go on with --resume" in said) == (130, True), said
    assert 5 <= first < load_checkpoint(out / "checkpoint.pt").step < STEPS
    subprocess.run(resume, env=ONE_THREAD, check=True)
    want = load_checkpoint(tmp_path / "whole" / "checkpoint.pt")
    got = load_checkpoint(out / "checkpoint.pt")
    assert (got.step, got.finished, got.losses) == (STEPS, True, want.losses)
    for name, value in got.learner.items():
        torch.testing.assert_close(value, want.learner[name], rtol=0, atol=0, msg=name)
    assert steps_done(out / "log.csv") == STEPS
