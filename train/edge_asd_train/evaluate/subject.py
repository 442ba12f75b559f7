"""What is to be measured, from the words of a command line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge_asd.errors import UsageError
from edge_asd_train.evaluate.baselines import AutoencoderMethod, AutoencoderOptions, LogMelMethod
from edge_asd_train.evaluate.baselines.autoencoder import Mode
from edge_asd_train.evaluate.clips import ClipEmbedder, ProgressFactory
from edge_asd_train.evaluate.engines import EngineName, open_embedder
from edge_asd_train.evaluate.methods import Method
from edge_asd_train.evaluate.network import BUNDLE, NetworkMethod, choose_scorers

BASELINES = ("log-mel", "autoencoder-mse", "autoencoder-mahalanobis")


@dataclass(frozen=True, slots=True)
class Subject:
    """A run, a bundle or a baseline, and how it is to be used; ``None`` is the default."""

    run: Path | None = None
    bundle: Path | None = None
    baseline: str | None = None
    scorers: tuple[str, ...] = ()
    engine: EngineName | None = None
    device: str | None = None
    threads: int | None = None


def open_method(
    subject: Subject, *, cache: Path, sections: int, seed: int, progress: ProgressFactory
) -> tuple[Method, dict[str, Any]]:
    """Open what is to be measured.

    Args:
        subject: Names it.
        cache: Folder for embeddings.
        sections: How many sections it will learn.
        seed: Of k-means, folds and the autoencoder.
        progress: Makes a bar.

    Returns:
        The method, and how the JSON describes it.

    Raises:
        UsageError: Not exactly one thing is named, or an option does not belong to it.
        DataError, BundleError, ConfigError: It cannot be used.
    """
    if sum(one is not None for one in (subject.run, subject.bundle, subject.baseline)) != 1:
        raise UsageError("give one of --run, --bundle and --baseline")
    threads = subject.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    if subject.baseline is not None:
        if subject.scorers or subject.engine or subject.device:
            raise UsageError("a baseline has no --scorer, --engine or --device: leave them out")
        baseline = _baseline(subject.baseline, sections, seed, progress)
        return baseline, {"method": baseline.name, "scorer": None, "engine": None}
    embedder = open_embedder(
        subject.run,
        subject.bundle,
        engine=subject.engine,
        device=subject.device,
        threads=threads,
    )
    scorers = choose_scorers(subject.scorers or (BUNDLE,), embedder.manifest)
    clips = ClipEmbedder(embedder, scorers.specs, cache=cache, progress=progress)
    network = NetworkMethod(clips, scorers, run=subject.run, seed=seed)
    return network, {
        "method": network.name,
        "scorer": scorers.name,
        "engine": embedder.engine,
        "network": {"label": embedder.label, "sha256": embedder.identity},
    }


def _baseline(name: str, sections: int, seed: int, progress: ProgressFactory) -> Method:
    if name == "log-mel":
        return LogMelMethod()
    options = AutoencoderOptions()
    advance = progress("epochs of the autoencoders", sections * options.epochs)
    mode: Mode = "mse" if name == "autoencoder-mse" else "mahalanobis"
    return AutoencoderMethod(mode, seed, options, advance=advance)
