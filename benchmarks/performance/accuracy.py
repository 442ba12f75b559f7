"""Area under the ROC curve of the same network on every engine, on the same clips.

Every engine learns the normal clips by itself, as on a device, and scores the tests. The
alternative embeds with its own features in torch. On the simulated machines each counts with all
its tests; on real recordings it is as ``first_shot.py`` has it, with the same splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import first_shot
from benchmarks.alternative import Hearing, NumpyFrontEnd
from benchmarks.performance.contest import open_engines
from benchmarks.performance.figures import ALTERNATIVE
from benchmarks.performance.material import Material
from edge_asd.bundle import builtin_bundle, load_bundle
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.records import FloatArray, Window
from edge_asd.score.views import Views
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.evaluate.clips import ClipEmbedder
from edge_asd_train.evaluate.contest import run_method
from edge_asd_train.evaluate.engines import BatchEmbedder
from edge_asd_train.evaluate.network import BUNDLE, NetworkMethod, choose_scorers
from edge_asd_train.evaluate.rank import auc
from edge_asd_train.export import trained_network


class PlainEmbedder(BatchEmbedder):
    """The alternative in place of features and engine."""

    def __init__(self, networks: NetworkSet, hearing: Hearing, label: str) -> None:
        super().__init__(networks, label, "torch")
        self.hearing = hearing
        _, self.log_mel, _ = (scorer.id for scorer in self.manifest.scorers)

    def embed(self, window: Window) -> Views:
        found = self.hearing.describe(window.samples)
        (network,) = self.manifest.networks
        return Views(
            {network.id: found.z[None, None]},
            {self.log_mel: found.statistics[None]},
            np.asarray([found.level_dbfs], np.float32),
        )

    def embeddings(self, samples: FloatArray) -> dict[str, FloatArray]:
        (network,) = self.manifest.networks
        z = np.stack([self.hearing.describe(window).z for window in samples])
        return {network.id: z[:, None]}


def measure(material: Material, recordings: Path | None) -> dict[str, Any]:
    """All figures that there are data for.

    Args:
        material: Prepared.
        recordings: Folder of the real recordings; None or absent leaves them out.
    """
    torch.set_num_threads(1)
    featex, absent = embedders(material)
    found: dict[str, Any] = {
        "simulated": {name: simulated(one, material.simulated) for name, one in featex.items()},
        "absent": {material.bundle().label: absent},
        "real": {},
    }
    if recordings is None or not recordings.is_dir():
        found["no_recordings"] = "no folder of recordings was given (RECORDINGS=)"
        return found
    general = load_bundle(builtin_bundle())
    opened, found["absent"][general.label] = open_engines(general)
    shipped = {name: WindowEmbedder(networks) for name, networks in opened.items()}
    for label, entrants in ((material.bundle().label, featex), (general.label, shipped)):
        found["real"][label] = {name: recorded(one, recordings) for name, one in entrants.items()}
    return found


def embedders(material: Material) -> tuple[dict[str, BatchEmbedder], dict[str, str]]:
    """The alternative and every engine by name, and why others are absent."""
    bundle = material.bundle()
    opened, absent = open_engines(bundle)
    hearing = Hearing(
        trained_network(material.checkpoint()), NumpyFrontEnd(bundle.manifest.sample_rate)
    )
    plain = PlainEmbedder(next(iter(opened.values())), hearing, ALTERNATIVE)
    others = {name: BatchEmbedder(networks, name, "onnx") for name, networks in opened.items()}
    return {ALTERNATIVE: plain, **others}, absent


def simulated(embedder: BatchEmbedder, data: Path) -> dict[str, float]:
    """AUC by machine of a data set that ``edge-asd-train simulate`` wrote, over all its tests."""
    scorers = choose_scorers((BUNDLE,), embedder.manifest)
    method = NetworkMethod(ClipEmbedder(embedder, scorers.specs), scorers)
    sections = run_method(method, index_folder(data, "auto"))
    return {one.machine: auc(one.scores, one.anomalous) for one in sections}


def recorded(embedder: WindowEmbedder, recordings: Path) -> dict[str, float]:
    """Mean AUC over the splits of each real machine."""
    rate = embedder.manifest.sample_rate
    fans = (first_shot.mimii(recordings, unit, rate) for unit in ("id_00_0dB", "id_02_0dB"))
    machines = [*fans, first_shot.drone(recordings, rate)]
    return {
        machine.name: float(np.mean(first_shot.Contest(embedder, machine).run()["edge-asd"]))
        for machine in machines
    }
