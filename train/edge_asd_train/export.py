"""From a checkpoint to a bundle: ONNX, golden vectors, manifest; refused unless they agree."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import edge_asd
from edge_asd.bundle import Bundle, Golden, write_bundle
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.errors import BundleError, DataError
from edge_asd.features import LogMelStatistics, MagnitudeSpectrum, compute
from edge_asd.manifest import Provenance
from edge_asd.records import FloatArray
from edge_asd.simulate import KINDS, draw_scene, render
from edge_asd_train.checkpoint import Checkpoint
from edge_asd_train.datasets.decode import to_int16
from edge_asd_train.nets import FeatEx, count_macs, count_parameters
from edge_asd_train.recipe import Recipe

NETWORK_ID = "featex"
MAX_PARITY_DISTANCE = 1e-5
"""Largest cosine distance between ONNX Runtime and torch at which a bundle is written."""

_OPSET = 17
_GOLDEN_SEED = 20240501
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


def export_bundle(path: Path, checkpoint: Checkpoint, label: Label, *, now: datetime) -> Bundle:
    """Write a bundle from a finished run.

    Args:
        path: Where to.
        checkpoint: Of a run that has ended.
        label: What the bundle is called.
        now: Time of creation, aware of its zone.

    Returns:
        The bundle as a device would load it.

    Raises:
        DataError: The run has not ended.
        BundleError: ONNX Runtime and torch disagree, or the parts make no valid bundle.
    """
    if not checkpoint.finished:
        raise DataError(
            f"the run stands at step {checkpoint.step} and has not ended; finish it with --resume"
        )
    recipe = checkpoint.recipe
    network = _network(checkpoint)
    waveforms = golden_waveforms(recipe)
    inputs = network_inputs(waveforms, recipe)
    expected = _embed(network, inputs)
    onnx = to_onnx(network, inputs)
    distance = parity_distance(onnx, inputs, expected)
    if not distance <= MAX_PARITY_DISTANCE:
        raise BundleError(
            f"{path}: ONNX Runtime is {distance:.2g} (cosine distance) from torch, at most"
            f" {MAX_PARITY_DISTANCE:g} is accepted; nothing was written"
        )
    example = [torch.from_numpy(array[:1]) for array in inputs.values()]
    fields = {
        **_label_fields(label, recipe, now),
        "networks": [
            {
                "id": NETWORK_ID,
                "inputs": {
                    "spectrum": MagnitudeSpectrum().model_dump(),
                    "spectrogram": recipe.spectrogram.model_dump(),
                },
                "segments": 1,
                "embedding_size": network.embedding_size,
                "parameters": count_parameters(network),
                "macs": count_macs(network, *example),
            }
        ],
        "recipe": recipe.model_dump(mode="json", exclude={"provenance"}),
        "provenance": [one.model_dump() for one in _provenance(checkpoint)],
        "metrics": _metrics(checkpoint, distance),
    }
    golden = Golden(waveforms, {NETWORK_ID: expected})
    return write_bundle(path, fields, {NETWORK_ID: onnx}, golden)


def golden_waveforms(recipe: Recipe) -> NDArray[np.int16]:
    """One window of every simulated machine kind around the reference level, (10, L) int16.

    They come from the simulator and not from training clips, so that no recording is passed on.
    """
    duration_s = recipe.window_samples / recipe.sample_rate
    windows = []
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([_GOLDEN_SEED, number])
        scene = draw_scene(rng, kind, sample_rate=recipe.sample_rate)
        samples = render(scene, duration_s, seed=number)[: recipe.window_samples]
        rms = float(np.sqrt(np.mean(np.square(samples)))) + 1e-9
        level_dbfs = recipe.gain.reference_dbfs + rng.uniform(-6.0, 6.0)
        windows.append(to_int16(samples * np.float32(10.0 ** (level_dbfs / 20.0) / rms)))
    return np.stack(windows)


def network_inputs(waveforms: NDArray[np.int16], recipe: Recipe) -> dict[str, FloatArray]:
    """Features of windows as a device computes them, by name of the network's input."""
    samples = waveforms.astype(np.float32) / np.float32(32768.0)
    return {
        "spectrum": compute(MagnitudeSpectrum(), samples, recipe.sample_rate),
        "spectrogram": compute(recipe.spectrogram, samples, recipe.sample_rate),
    }


def to_onnx(network: FeatEx, inputs: dict[str, FloatArray]) -> bytes:
    """The network as a self-contained ONNX file of fp32 with a free batch size.

    Args:
        network: In inference mode.
        inputs: Example features, by name of the network's input.
    """
    example = tuple(torch.from_numpy(array[:2]) for array in inputs.values())
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter by tracing is announced as old; the new one needs onnxscript. Branches on
        # sizes are traced as constants, which is what a fixed window means.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="Converting a tensor to a Python")
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        torch.onnx.export(
            network,
            example,
            str(Path(folder) / "network.onnx"),
            input_names=list(inputs),
            output_names=["embedding"],
            dynamic_axes={name: {0: "batch"} for name in (*inputs, "embedding")},
            opset_version=_OPSET,
            dynamo=False,
        )
        return (Path(folder) / "network.onnx").read_bytes()


def parity_distance(onnx: bytes, inputs: dict[str, FloatArray], expected: FloatArray) -> float:
    """Largest cosine distance of ONNX Runtime's embeddings to expected ones (N, S, D)."""
    engine = OnnxEngine(onnx, NETWORK_ID)
    try:
        got = engine.embed(inputs).astype(np.float64)
    finally:
        engine.close()
    want = expected.astype(np.float64)
    norms = np.linalg.norm(got, axis=-1) * np.linalg.norm(want, axis=-1)
    return float(np.max(1.0 - (got * want).sum(-1) / norms))


def _network(checkpoint: Checkpoint) -> FeatEx:
    network = FeatEx(checkpoint.recipe.window_samples, checkpoint.recipe.spectrogram)
    prefix = "network."
    state = {
        name[len(prefix) :]: value
        for name, value in checkpoint.learner.items()
        if name.startswith(prefix)
    }
    network.load_state_dict(state)
    return network.eval()


@torch.no_grad()
def _embed(network: FeatEx, inputs: dict[str, FloatArray]) -> FloatArray:
    z: FloatArray = network(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    if not np.isfinite(z).all():
        raise BundleError("the network gives embeddings that are not finite; train again")
    return z


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
        "scorers": [
            {"kind": "centres", "id": "embedding", "network": NETWORK_ID, "clusters": 16},
            {
                "kind": "neighbours",
                "id": "log_mel",
                "feature": LogMelStatistics(f_max=recipe.sample_rate / 2).model_dump(),
            },
            # docs/results.md shows what each of the three is worth, and why 0.5 dB.
            {"kind": "level", "id": "level", "spread_db": 0.5},
        ],
        "fusion": "mean",
    }


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


def _metrics(checkpoint: Checkpoint, distance: float) -> dict[str, Any]:
    return {
        "training": {
            **checkpoint.sources,
            "steps": checkpoint.step,
            "minutes": round(checkpoint.seconds / 60.0, 1),
            "losses": {name: round(value, 4) for name, value in checkpoint.losses.items()},
        },
        "export": {"cosine_distance_onnx_to_torch": float(f"{max(distance, 0.0):.2g}")},
    }
