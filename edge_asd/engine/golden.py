"""The gate before every engine: a bundle's golden vectors must come out of it."""

from __future__ import annotations

import numpy as np

from edge_asd.bundle import Bundle
from edge_asd.bundle.manifest import Network, Precision
from edge_asd.errors import EngineError
from edge_asd.features import compute
from edge_asd.protocols import Engine
from edge_asd.records import FloatArray


def check_golden(bundle: Bundle, network: Network, engine: Engine, tolerance: float) -> None:
    """Waveform to embedding, so that the features are proven together with the runtime.

    Args:
        bundle: Whose golden vectors.
        network: Which of its networks.
        engine: What is to be proven.
        tolerance: Largest cosine distance that is put up with.

    Raises:
        EngineError: It fails, or misses one of them.
    """
    waveforms = bundle.golden.waveforms.astype(np.float32) / np.float32(32768.0)
    expected = bundle.golden.embeddings[network.id]
    singles = [slice(index, index + 1) for index in range(len(waveforms))]
    # Every size of batch may run other code.
    batches = [slice(0, size) for size in range(2, min(engine.batch, len(waveforms)) + 1)]
    for some in singles + batches:
        inputs = {
            name: compute(spec, waveforms[some], bundle.manifest.sample_rate)
            for name, spec in network.inputs.items()
        }
        z = engine.embed(inputs)
        if z.shape != expected[some].shape:
            raise EngineError(
                f"{bundle.label}/{network.id}: {engine.name} returns {z.shape}, "
                f"the bundle expects {expected[some].shape}"
            )
        distances = cosine_distance(z, expected[some]).reshape(len(z), -1).max(axis=1)
        index = int(np.argmax(distances))  # of a NaN, where there is one
        if not distances[index] <= tolerance:
            raise EngineError(
                f"{bundle.label}/{network.id}: {engine.name} misses golden vector "
                f"{some.start + index} by a cosine distance of {distances[index]:.2e} "
                f"(tolerance {tolerance:.0e}) in a batch of {len(z)}; this runtime must not score"
            )


def tolerance(network: Network, computes_in: str) -> float:
    """Largest cosine distance from the golden embeddings at which an engine may score.

    bf16 may be as far off as the bundle allows fp16 to be, which its author found harmless; where
    the bundle says nothing about fp16, bf16 has to be as near as fp32.
    """
    stated: Precision = "fp32" if computes_in == "fp32" else "fp16"
    return network.tolerance(stated)


def cosine_distance(a: FloatArray, b: FloatArray) -> FloatArray:
    """1 - cosine of paired embeddings, (..., D) and (..., D) -> (...)."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray(1.0 - (a * b).sum(axis=-1) / np.maximum(norms, 1e-12), dtype=np.float32)
