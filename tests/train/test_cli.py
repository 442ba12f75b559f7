"""The command line, from clips to a bundle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest
import yaml
from click.testing import CliRunner

from edge_asd.bundle import load_bundle
from edge_asd.simulate import KINDS
from edge_asd_train import loop
from edge_asd_train.cli import main


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def tiny(tmp_path, recipe):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return path


def test_clips_become_a_bundle(tmp_path, data, tiny):
    out = tmp_path / "runs" / "one"
    fitted = run("fit", "--recipe", tiny, "--data", data, "--simulated", 1, "--out", out)
    assert fitted.exit_code == 0, fitted.output
    bundle = tmp_path / "tiny-7.asd"
    exported = run("export", "--run", out, "--out", bundle)
    assert exported.exit_code == 0, exported.output
    manifest = load_bundle(bundle).manifest
    assert (manifest.name, manifest.version) == ("tiny", "7")
    training = manifest.metrics["training"]
    assert (training["data"], training["simulated_machines"]) == ("data", 1)


def test_kinds_that_were_left_out_are_told_in_the_manifest(tmp_path, episodes):
    path, out, bundle = tmp_path / "e.yaml", tmp_path / "run", tmp_path / "e-1.asd"
    path.write_text(yaml.safe_dump(episodes.model_dump(mode="json")))
    others = ",".join(KINDS[:-2])
    chosen = ("--simulated", 2, "--leave-out", others, "--out", out, "--steps", 2)
    done = run("fit", "--recipe", path, *chosen)
    assert done.exit_code == 0, done.output
    stored = json.loads((out / "clips" / "clips.json").read_text())
    heard = [name.split("/")[1].rsplit("-", 1)[0] for name in stored["machine_names"]]
    assert heard == list(KINDS[-2:])
    assert run("export", "--run", out, "--out", bundle).exit_code == 0
    manifest = load_bundle(bundle).manifest
    assert manifest.metrics["training"]["left_out_kinds"] == list(KINDS[:-2])
    assert [network.id for network in manifest.networks] == ["bands"]


def test_noise_gives_classes_and_background(tmp_path, data, tiny):
    out = tmp_path / "run"
    done = run("fit", "--recipe", tiny, "--noise", data, "--out", out, "--steps", 2)
    assert done.exit_code == 0, done.output
    assert (out / "noise").is_dir()
    assert "2 steps" in done.output


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["fit", "--out", "run"], 2, "nothing to train on"),
        (["fit", "--recipe", "nope", "--out", "run"], 78, "general, paper, published"),
        (["fit", "--leave-out", "fan", "--out", "run"], 2, "--simulated"),
        (["fit", "--simulated", "1", "--leave-out", "fan,tuba", "--out", "run"], 2, "'tuba'"),
        (["fit", "--simulated", "1", "--leave-out", ",".join(KINDS), "--out", "run"], 2, "every"),
        (["fit", "--data", "missing", "--out", "run"], 65, "no such folder"),
        (["export", "--run", "missing", "--out", "a-1.asd"], 65, "no checkpoint"),
        (["export", "--run", "missing", "--out", "bundle.zip"], 2, "NAME-VERSION.asd"),
        (["simulate", "--out", "."], 2, "exists already"),
    ],
)
def test_a_foreseen_error_is_one_line_and_an_exit_code(
    tmp_path, monkeypatch, arguments, code, named
):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines[-1].startswith("edge-asd-train: ")
    assert named in lines[-1]
    assert "Traceback" not in result.output


def test_a_run_is_never_overwritten(tmp_path, data, tiny):
    arguments = ("fit", "--recipe", tiny, "--data", data, "--out", tmp_path / "run", "--steps", 1)
    assert run(*arguments).exit_code == 0
    again = run(*arguments)
    assert again.exit_code == 2
    assert "holds a run already" in again.stderr


def test_an_interrupted_run_goes_on(tmp_path, data, tiny, monkeypatch):
    step = loop.Run._advance

    def interrupt(self, source, share):
        if self.step == 1:
            assert threading.current_thread() is threading.main_thread()
            signal.raise_signal(signal.SIGINT)
        return step(self, source, share)

    arguments = ("fit", "--recipe", tiny, "--data", data, "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_advance", interrupt)
        stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert "--resume" in stopped.stderr
    resumed = run(*arguments, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "6 steps" in resumed.output


def test_simulate_writes_a_folder_that_fit_understands(tmp_path, tiny):
    out = tmp_path / "set"
    options = ("--machines", 2, "--clips", 2, "--duration-s", 0.6, "--seed", 1, "--processes", 1)
    done = run("simulate", "--out", out, *options)
    assert done.exit_code == 0, done.output
    assert len(list(out.glob("*/train/section_00_*_train_normal_*.wav"))) == 4
    assert len(list(out.glob("*/test/section_00_*_test_anomaly_*.wav"))) == 8
    fitted = run("fit", "--recipe", tiny, "--data", out, "--out", tmp_path / "run", "--steps", 1)
    assert fitted.exit_code == 0, fitted.output


@pytest.mark.parametrize("command", ["fit", "export", "simulate"])
def test_every_command_has_help_with_an_example(command):
    text = run(command, "--help").output
    assert "Example" in text
    assert f"edge-asd-train {command}" in text


def test_an_installation_without_torch_says_so_in_one_line():
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a)\n"
        "from edge_asd_train.__main__ import main; main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 69
    assert run.stderr == "edge-asd-train: torch not installed: pip install 'edge-asd[train]'\n"
