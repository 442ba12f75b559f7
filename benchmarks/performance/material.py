"""What is measured: FeatEx as published, trained for a few minutes on simulated machines.

Data set, run and bundle are made once and kept: speed does not depend on the weights, and the
accuracy of all engines is compared on the same ones.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.performance.parts import FEATEX
from edge_asd.bundle import Bundle, load_bundle
from edge_asd_train.checkpoint import Checkpoint, load_checkpoint
from edge_asd_train.loop import CHECKPOINT
from edge_asd_train.recipe import load_recipe

CLIPS = 100
"""Training clips, and as many tests, of each of seven simulated machines."""
MINUTES = 3.0
"""Of training."""
SETTLE_BATCHES = 16
"""Over which the statistics of the normalisation are taken afterwards."""


@dataclass(frozen=True)
class Material:
    """Where it lies, and how it is made."""

    folder: Path

    @property
    def simulated(self) -> Path:
        """The data set."""
        return self.folder / "simulated"

    @property
    def run(self) -> Path:
        """The training run."""
        return self.folder / "featex"

    @property
    def bundle_path(self) -> Path:
        """What was exported of it."""
        return self.folder / FEATEX

    def bundle(self) -> Bundle:
        """The bundle under test."""
        return load_bundle(self.bundle_path)

    def checkpoint(self) -> Checkpoint:
        """Its weights in torch."""
        return load_checkpoint(self.run / CHECKPOINT)

    def prepare(self) -> None:
        """Make what is missing; an interrupted training goes on.

        Raises:
            SystemExit: It cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.simulated.exists():
            _train("simulate", "--out", self.simulated, "--clips", CLIPS, "--seed", 1)
        if self.bundle_path.exists():
            return
        begun = (self.run / CHECKPOINT).exists()
        if not begun or not self.checkpoint().finished:
            options = ["--data", self.simulated, "--out", self.run, *(["--resume"] * begun)]
            _train("fit", "--recipe", self._recipe(), *options)
        both = ["--precision", "fp16"]  # what fp16 may be off by, bf16 may, too
        _train("export", "--run", self.run, *both, "--out", self.bundle_path)

    def described(self) -> dict[str, float | int]:
        """What the page tells of it."""
        checkpoint, bundle = self.checkpoint(), self.bundle()
        (network,) = bundle.manifest.networks
        return {
            "steps": checkpoint.step,
            "minutes": checkpoint.seconds / 60,
            "machines": sum(1 for one in self.simulated.iterdir() if one.is_dir()),
            "clips": CLIPS,
            "parameters": network.parameters,
            "macs": network.macs,
            "network_bytes": len(bundle.network(network.id, "fp32")),
            "window_s": bundle.manifest.window_samples / bundle.manifest.sample_rate,
            "hop_s": bundle.manifest.hop_samples / bundle.manifest.sample_rate,
        }

    def _recipe(self) -> Path:
        """The published recipe, ended after minutes."""
        changes = {"max_minutes": MINUTES, "batch_norm_batches": SETTLE_BATCHES}
        recipe = load_recipe("published").changed(**changes)
        path = self.folder / "published.yaml"
        path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True)))
        return path


def _train(*arguments: object) -> None:
    command = [sys.executable, "-m", "edge_asd_train", *map(str, arguments)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"edge-asd-train {arguments[0]} failed")
