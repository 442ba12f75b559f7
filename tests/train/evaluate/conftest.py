"""A tiny data set, a run of it and its bundle, made once for all tests of evaluation."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner
from tones import dcase_tones

from edge_asd_train.cli import main
from edge_asd_train.datasets.discover import index_folder

TINY = {
    "name": "tiny",
    "window_s": 0.5,
    "hop_s": 0.032,
    "steps": 3,
    "batch": 6,
    "batch_norm_batches": 3,
    "gain": {"per_machine": True, "jitter_db": 3},
    "loss": {"subclusters": 2},
}


def invoke(*words):
    """Run ``edge-asd-train`` in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Clips of 0.7 s of two machines in the layout of DCASE 2023: two windows of 0.5 s each."""
    return dcase_tones(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="session")
def index(data):
    return index_folder(data, "2023")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("runs")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    words = ("--recipe", recipe, "--data", data, "--out", folder / "tiny", "--device", "cpu")
    done = invoke("fit", *words, "--threads", 1)
    assert done.exit_code == 0, done.output
    return folder / "tiny"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, finished_run):
    path = tmp_path_factory.mktemp("bundles") / "tiny-1.asd"
    done = invoke("export", "--run", finished_run, "--out", path)
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture
def command():
    """``edge-asd-train evaluate`` with some words; what computes uses one processor thread."""

    def evaluate(*words):
        return invoke("evaluate", *words, *(("--threads", 1) if "--data" in words else ()))

    return evaluate
