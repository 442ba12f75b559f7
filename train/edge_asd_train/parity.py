"""A network as ONNX files, in fp32 and fp16, that are proven to do what torch does."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from edge_asd.bundle.manifest import NetworkPrecision, Precision
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.errors import BundleError
from edge_asd.features import compute
from edge_asd.records import FloatArray
from edge_asd.simulate import KINDS, draw_scene, render
from edge_asd_train.datasets.decode import to_int16
from edge_asd_train.half import half_network, loud_waveforms, rounded_network
from edge_asd_train.nets import Network, network_features
from edge_asd_train.recipe import Recipe

MAX_DISTANCE = {"fp32": 1e-5, "fp16": 1e-4}
"""Largest cosine distance to torch in fp32 at which a file of a precision is accepted."""

_DEVICE_TOLERANCE = 10.0  # a device may be so much farther off than the export was allowed to be
_OPSET = 17
_GOLDEN_SEED = 20240501


@dataclass(frozen=True, slots=True, eq=False)
class Proven:
    """ONNX files of a network, and what they were compared with."""

    files: dict[Precision, bytes]
    waveforms: NDArray[np.int16]
    """Golden windows, (N, L)."""
    embeddings: FloatArray
    """Of them by torch, (N, S, D)."""
    distances: dict[Precision, float]
    """Largest cosine distances to torch in fp32."""

    def precisions(self) -> list[dict[str, object]]:
        """What the manifest says of the files."""
        return [
            NetworkPrecision(
                precision=precision,
                bytes=len(file),
                parity_tolerance=MAX_DISTANCE[precision] * _DEVICE_TOLERANCE,
                cosine_distance=self.distances[precision],
            ).model_dump()
            for precision, file in self.files.items()
        ]


def proven_files(network: Network, recipe: Recipe, precision: Precision) -> Proven:
    """Files of a network that agree with torch.

    Args:
        network: In inference mode.
        recipe: Of the run.
        precision: ``fp32``, or ``fp16`` for both.

    Raises:
        BundleError: One does not agree.
    """
    waveforms = golden_waveforms(recipe)
    inputs = network_inputs(waveforms, recipe)
    expected = embed(network, inputs)
    files: dict[Precision, bytes] = {"fp32": to_onnx(network, inputs)}
    distances: dict[Precision, float] = {"fp32": _proven("fp32", [files["fp32"]], inputs, expected)}
    if precision == "fp16":
        loud = network_inputs(loud_waveforms(recipe.window_samples, recipe.sample_rate), recipe)
        files["fp16"] = half_network(files["fp32"], [inputs, loud])
        # ONNX Runtime computes it in fp32 on most processors: what fp16 does shows in the second.
        both = [files["fp16"], rounded_network(files["fp16"])]
        distances["fp16"] = max(
            _proven("fp16", both, inputs, expected),
            _proven("fp16", both, loud, embed(network, loud)),
        )
    return Proven(files, waveforms, expected, distances)


def _proven(
    precision: Precision, files: list[bytes], inputs: dict[str, FloatArray], expected: FloatArray
) -> float:
    """Largest distance of files from torch, which is small enough."""
    distance = max(parity_distance(file, inputs, expected) for file in files)
    if not distance <= MAX_DISTANCE[precision]:
        raise BundleError(
            f"the {precision} network is {distance:.2g} (cosine distance) from torch, at most"
            f" {MAX_DISTANCE[precision]:g} is accepted; nothing was written"
        )
    return float(f"{max(distance, 0.0):.2g}")


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
    return window_inputs(waveforms.astype(np.float32) / np.float32(32768.0), recipe)


def window_inputs(samples: FloatArray, recipe: Recipe) -> dict[str, FloatArray]:
    """Features of windows (B, L) in ±1, by name of the network's input."""
    return {
        name: compute(spec, samples, recipe.sample_rate)
        for name, spec in network_features(recipe).items()
    }


def to_onnx(network: Network, inputs: dict[str, FloatArray]) -> bytes:
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
    engine = OnnxEngine(onnx, "exported")
    try:
        got = engine.embed(inputs).astype(np.float64)
    finally:
        engine.close()
    want = expected.astype(np.float64)
    norms = np.linalg.norm(got, axis=-1) * np.linalg.norm(want, axis=-1)
    return float(np.max(1.0 - (got * want).sum(-1) / norms))


@torch.no_grad()
def embed(network: Network, inputs: dict[str, FloatArray]) -> FloatArray:
    """Embeddings (N, S, D) by torch.

    Raises:
        BundleError: A value is not finite.
    """
    z: FloatArray = network(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    if not np.isfinite(z).all():
        raise BundleError("the network gives embeddings that are not finite; train again")
    return z
