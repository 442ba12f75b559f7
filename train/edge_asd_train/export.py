"""From a checkpoint to a bundle: ONNX, golden vectors, manifest; refused unless they agree.

The fp32 network is always there. Beside it there may be one in fp16, for accelerators, and the
centres of the machines that the network was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

import edge_asd
from edge_asd.bundle import Bundle, Golden, write_bundle
from edge_asd.bundle.manifest import FeatureScorer, Precision, Provenance, ScorerSpec
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.errors import BundleError, DataError
from edge_asd.records import FloatArray
from edge_asd.score import named_scorers
from edge_asd_train.checkpoint import Checkpoint
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.fingerprint import clips_fingerprint
from edge_asd_train.nets import (
    Network,
    build_network,
    count_macs,
    count_parameters,
    network_features,
)
from edge_asd_train.parity import Proven, network_inputs, proven_files, window_inputs
from edge_asd_train.recipe import Recipe
from edge_asd_train.references import MAX_MACHINES, clusters_of, machine_centres

ProgressFactory = Callable[[str, int], Callable[[], None]]
"""Called with a title and a number of steps; what it returns is called after each."""

_SIMULATOR = Provenance(
    name="edge-asd simulated machines",
    licence="Apache-2.0",
    attribution="rendered by edge_asd.simulate",
)


@dataclass(frozen=True, slots=True)
class Label:
    """Name, version and licence of a bundle."""

    name: str
    version: str
    licence: str = "Apache-2.0"


@dataclass(frozen=True, slots=True, eq=False)
class Extras:
    """What a bundle may hold beside the fp32 network."""

    precision: Precision = "fp32"
    """``fp16`` adds a network in fp16."""
    clips: ClipStore | None = None
    """Of the run: gives the references and the fingerprint of the data."""
    evaluations: tuple[dict[str, Any], ...] = ()
    """From ``read_evaluation``."""
    progress: ProgressFactory = lambda _title, _total: lambda: None
    """Makes a bar."""


def export_bundle(
    path: Path,
    checkpoint: Checkpoint,
    label: Label,
    *,
    now: datetime,
    extras: Extras = Extras(),
) -> Bundle:
    """Write a bundle from a finished run.

    Args:
        path: Where to.
        checkpoint: Of a run that has ended.
        label: What the bundle is called.
        now: Time of creation, aware of its zone.
        extras: What else it is to hold.

    Returns:
        The bundle as a device would load it.

    Raises:
        DataError: The run has not ended, or the clips are not those of the run.
        BundleError: ONNX Runtime and torch disagree, or the parts make no valid bundle.
    """
    recipe = checkpoint.recipe
    network = trained_network(checkpoint)
    clips = extras.clips
    if clips is not None and clips.classes != checkpoint.classes:
        raise DataError(
            "the clips in the run's folder are of other classes than it was trained on; take them"
            " away to export without references"
        )
    try:
        proven = proven_files(network, recipe, extras.precision)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    fields = {
        **manifest_fields(recipe, network, label, now=now),
        "provenance": [one.model_dump() for one in _provenance(checkpoint)],
        "metrics": _metrics(checkpoint, proven, extras.evaluations),
    }
    fields["networks"][0]["precisions"] = proven.precisions()
    references: dict[str, FloatArray] = {}
    if clips is not None:
        fields["data_fingerprint"] = clips_fingerprint(clips)
        references = _references(clips, recipe, network, proven, extras.progress)
    if references:
        fields["references"] = {
            "network": recipe.network.kind,
            "clusters": max(map(len, references.values())),
            "machines": list(references),
        }
    half = proven.files.get("fp16")
    return write_bundle(
        path,
        fields,
        {recipe.network.kind: proven.files["fp32"]},
        Golden(proven.waveforms, {recipe.network.kind: proven.embeddings}),
        references,
        networks_fp16=None if half is None else {recipe.network.kind: half},
    )


def manifest_fields(
    recipe: Recipe, network: Network, label: Label, *, now: datetime
) -> dict[str, Any]:
    """What the manifest says of a network, whether or not it is written to a bundle.

    Args:
        recipe: Of the run.
        network: In inference mode.
        label: What the bundle is called.
        now: Time of creation, aware of its zone.

    Returns:
        The manifest without provenance, metrics, ``schema`` and ``files``.
    """
    silence = network_inputs(np.zeros((1, recipe.window_samples), np.int16), recipe)
    return {
        **_label_fields(label, recipe, now),
        "networks": [
            {
                "id": recipe.network.kind,
                "inputs": {
                    name: spec.model_dump() for name, spec in network_features(recipe).items()
                },
                "segments": 1,
                "embedding_size": network.embedding_size,
                "parameters": count_parameters(network),
                "macs": count_macs(network, *map(torch.from_numpy, silence.values())),
            }
        ],
        "recipe": recipe.model_dump(mode="json", exclude={"provenance"}),
    }


def trained_network(checkpoint: Checkpoint) -> Network:
    """The network of a run in inference mode.

    Raises:
        DataError: The run has not ended.
    """
    if not checkpoint.finished:
        raise DataError(
            f"the run stands at step {checkpoint.step} and has not ended; finish it with --resume"
        )
    network = build_network(checkpoint.recipe)
    prefix = "network."
    state = {
        name[len(prefix) :]: value
        for name, value in checkpoint.learner.items()
        if name.startswith(prefix)
    }
    network.load_state_dict(state)
    return network.eval()


def _references(
    clips: ClipStore, recipe: Recipe, network: Network, proven: Proven, progress: ProgressFactory
) -> dict[str, FloatArray]:
    """Centres of the machines, or none where they are too many to be listed."""
    machines = len(clips.machine_names)
    if machines > MAX_MACHINES:
        return {}
    engine = OnnxEngine(proven.files["fp32"], recipe.network.kind, torch.get_num_threads())
    try:
        return machine_centres(
            clips,
            recipe,
            lambda samples: engine.embed(window_inputs(samples, recipe)),
            clusters_of(machines, network.embedding_size),
            advance=progress("centres of machines", machines),
        )
    finally:
        engine.close()


def _label_fields(label: Label, recipe: Recipe, now: datetime) -> dict[str, Any]:
    return {
        "name": label.name,
        "version": label.version,
        "created_at": now.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "requires": edge_asd.__version__,
        "licence": label.licence,
        "sample_rate": recipe.sample_rate,
        "window_samples": recipe.window_samples,
        "hop_samples": recipe.hop_samples,
        "reference_dbfs": recipe.gain.reference_dbfs,
        "scorers": [scorer.model_dump() for scorer in _scorers(recipe)],
        "fusion": recipe.fusion,
    }


def _scorers(recipe: Recipe) -> list[ScorerSpec]:
    """The recipe's scorers, those of a feature with the whole band of its sample rate."""
    scorers: list[ScorerSpec] = []
    for scorer in named_scorers(recipe.scorers, recipe.network.kind):
        if isinstance(scorer, FeatureScorer):
            feature = scorer.feature.model_copy(update={"f_max": recipe.sample_rate / 2})
            scorers.append(scorer.model_copy(update={"feature": feature}))
        else:
            scorers.append(scorer)
    return scorers


def _provenance(checkpoint: Checkpoint) -> list[Provenance]:
    sources = checkpoint.sources
    named = list(checkpoint.recipe.provenance)
    if sources.get("simulated_machines"):
        named.append(_SIMULATOR)
    recordings = [sources[key] for key in ("data", "noise") if sources.get(key)]
    if recordings and not checkpoint.recipe.provenance:
        # Better said to be unknown than passed over in silence.
        named += [Provenance(name=name, licence="unknown") for name in recordings]
    return named


def _metrics(
    checkpoint: Checkpoint, proven: Proven, evaluations: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    return {
        **({"evaluations": list(evaluations)} if evaluations else {}),
        "training": {
            **checkpoint.sources,
            "steps": checkpoint.step,
            "minutes": round(checkpoint.seconds / 60.0, 1),
            "losses": {name: round(value, 4) for name, value in checkpoint.losses.items()},
        },
        "export": {"cosine_distance_onnx_to_torch": proven.distances["fp32"]},
    }
