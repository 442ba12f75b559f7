"""Plans of the tiny bundle on the fake TensorRT, and who must not be started for them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge_asd.bundle import write_bundle
from edge_asd.engine import EngineRequest, NetworkSet, plans
from edge_asd.engine.fallback import Trust
from edge_asd.engine.forge import Forge
from edge_asd.features import compute
from support import tensorrt_fake
from support.tiny import SAMPLE_RATE, full_parts


@pytest.fixture
def fake(monkeypatch):
    """TensorRT is installed; call it with other faults to change what it does wrong."""
    monkeypatch.setattr(plans, "_trust", Trust())
    with tensorrt_fake.fake_runtime() as now:
        yield now


@pytest.fixture(scope="session")
def halved_bundle(tmp_path_factory):
    """The tiny bundle with fp16 beside fp32."""
    path = tmp_path_factory.mktemp("halved") / "tiny-1.asd"
    return write_bundle(path, **full_parts())


@pytest.fixture
def request_in(tmp_path):
    """What a daemon asks for, with a cache of its own."""

    def request(**changes):
        return EngineRequest(
            **({"name": "tensorrt", "precision": "auto", "cache": tmp_path / "cache"} | changes)
        )

    return request


def build(bundle, request, forge=None, report=lambda *_: None):
    """Engines of plans that are built where they are missing."""
    return plans.Plans(bundle, request).build(forge or Forge(), report)


def some_features(bundle, count=3, seed=5):
    """Features of a few windows of noise, as ``NetworkSet.embed`` wants them."""
    noise = np.random.default_rng(seed).normal(size=(count, bundle.manifest.window_samples))
    samples = (noise / 30).astype(np.float32)
    return {
        name: compute(spec, samples, SAMPLE_RATE) for name, spec in bundle.manifest.features.items()
    }


def embedded(bundle, engines, features):
    """Embeddings of the first network."""
    return NetworkSet(bundle, engines).embed(features)["tiny"]


def processes_about(path):
    """Processes that have this path among their arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if os.fsencode(path) in words and state != "Z":
                found.append(int(folder.name))
    return found
