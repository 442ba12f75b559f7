"""Whether a network in int8 would score as it does in fp32, and what that would gain.

Static quantisation as a device could do it: calibrated on the normal sound that a monitor is
enrolled with, per channel, Q/DQ around convolutions and products. Every machine is enrolled with
the network that will score it. The gate is the rank correlation (Spearman) of the scores of
held-out sound, normal and faulty, against those in fp32; times are processor time, in turn.

    python benchmarks/int8.py [--bundle FILE]... [--enrol-s N] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from scipy.stats import rankdata

from edge_asd.bundle import Bundle, builtin_bundle, load_bundle
from edge_asd.capture import open_source
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet, OnnxEngine, cosine_distance
from edge_asd.engine.candidates import Candidate
from edge_asd.engine.proven import open_proven
from edge_asd.engine.timing import windows_s
from edge_asd.errors import EdgeAsdError
from edge_asd.features import compute
from edge_asd.records import FloatArray
from edge_asd.score import Detector, cross_fit, fit_detector

Scores = dict[str, FloatArray]

LEAST_CORRELATION = 0.99
MACHINES = (("pump", "cavitation"), ("fan", "damaged_blade"), ("gearbox", "worn_gear"))
SEVERITIES = (0.3, 1.0)
HELD_OUT_S = 60.0


class Enrolment(CalibrationDataReader):
    """Features of normal sound, one window after another."""

    def __init__(self, bundle: Bundle, sounds: list[FloatArray]) -> None:
        self._windows = self._features(bundle, sounds)

    def get_next(self) -> dict[str, FloatArray] | None:
        return next(self._windows, None)

    @staticmethod
    def _features(bundle: Bundle, sounds: list[FloatArray]) -> Iterator[dict[str, FloatArray]]:
        manifest = bundle.manifest
        (network,) = manifest.networks
        for sound in sounds:
            for start in range(0, len(sound) - manifest.window_samples, manifest.window_samples):
                window = sound[None, start : start + manifest.window_samples]
                yield {
                    name: compute(spec, window, manifest.sample_rate)
                    for name, spec in network.inputs.items()
                }


@dataclass(frozen=True)
class Recipe:
    """A way to quantise."""

    method: CalibrationMethod
    spare_ends: bool = False
    """The first and the last operators of every branch stay in fp32."""

    def __str__(self) -> str:
        ends = ", ends in fp32" if self.spare_ends else ""
        return f"onnxruntime int8 {self.method.name}{ends}"


RECIPES = (
    Recipe(CalibrationMethod.MinMax),
    Recipe(CalibrationMethod.Percentile),
    Recipe(CalibrationMethod.MinMax, spare_ends=True),
)
OPERATORS = ("Conv", "MatMul", "Gemm")


def quantised(bundle: Bundle, sounds: list[FloatArray], recipe: Recipe) -> bytes:
    """The bundle's only network in int8."""
    (network,) = bundle.manifest.networks
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, done = (Path(folder) / name for name in ("plain", "ready", "done"))
        plain.write_bytes(bundle.network(network.id, "fp32"))
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        nodes = list(onnx.load(ready).graph.node)
        quantize_static(
            str(ready),
            str(done),
            Enrolment(bundle, sounds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=recipe.method,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=ends(nodes) if recipe.spare_ends else [],
        )
        return done.read_bytes()


def ends(nodes: list[onnx.NodeProto]) -> list[str]:
    """Operators that have none before them, or none after them."""
    found = []
    for order, sources, results in ((nodes, "input", "output"), (nodes[::-1], "output", "input")):
        reached: set[str] = set()
        for node in order:
            operator, met = node.op_type in OPERATORS, reached & set(getattr(node, sources))
            if operator and not met:
                found.append(node.name)
            if operator or met:
                reached |= set(getattr(node, results))
    return found


def sound_of(kind: str, seconds: float, fault: str = "", severity: float = 1.0) -> FloatArray:
    """A simulated machine, well or with a fault from its beginning on."""
    uri = f"sim:{kind}?speed=max&seconds={seconds:g}&seed={2 if fault else 1}"
    if fault:
        uri += f"&fault={fault}&severity={severity:g}&onset=0&ramp=0"
    return np.concatenate([block.samples[:, 0] for block in open_source(uri).blocks()])


def scores(networks: NetworkSet, detector: Detector, sounds: list[FloatArray]) -> Scores:
    """Of all windows of some sounds, fused and by every scorer that reads a network."""
    embedder = WindowEmbedder(networks)
    found: dict[str, list[FloatArray]] = {}
    for sound in sounds:
        _, views, _ = embedder.embed_clip(sound)
        fused = detector.score(views)
        found.setdefault("fused", []).append(fused.scores)
        for spec in networks.bundle.manifest.scorers:
            if hasattr(spec, "network"):  # the others read features
                found.setdefault(spec.id, []).append(fused.parts[spec.id])
    return {name: np.concatenate(values) for name, values in found.items()}


def learned(networks: NetworkSet, normal: FloatArray) -> Detector:
    """As an enrolment learns, in five contiguous folds a window's length apart."""
    manifest = networks.bundle.manifest
    _, enrolled, _ = WindowEmbedder(networks).embed_clip(normal)
    count, shared = len(enrolled), manifest.window_samples // manifest.hop_samples
    folds = np.arange(count) * 5 // count
    excluded = [
        np.convolve(folds == fold, np.ones(2 * shared + 1), mode="same") > 0 for fold in range(5)
    ]
    standards, _ = cross_fit(manifest, enrolled, folds, excluded, 0)
    return fit_detector(manifest, enrolled, None, standards, np.random.default_rng(0))


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Correlation of ranks."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


@dataclass(frozen=True)
class Case:
    """A machine: what is enrolled, what is held out, and how that scores in fp32."""

    name: str
    normal: FloatArray
    held_out: list[FloatArray]
    detector: Detector
    exact: Scores

    @classmethod
    def of(cls, kind: str, fault: str, networks: NetworkSet, enrol_s: float) -> Case:
        """A simulated one."""
        sound = sound_of(kind, enrol_s + HELD_OUT_S)
        cut = round(enrol_s * networks.bundle.manifest.sample_rate)
        held_out = [sound[cut:]]
        held_out += [sound_of(kind, HELD_OUT_S, fault, severity) for severity in SEVERITIES]
        detector = learned(networks, sound[:cut])
        return cls(kind, sound[:cut], held_out, detector, scores(networks, detector, held_out))


def compared(bundle: Bundle, networks: NetworkSet, cases: list[Case]) -> dict[str, object]:
    """An engine against fp32: enrolled with it, and with a profile that was learned in fp32.

    The change of a score s is given as a share of 1 + |s|: normal sound scores between -2 and 2.
    """
    correlations, moved = {}, 0.0
    for case in cases:
        own = scores(networks, learned(networks, case.normal), case.held_out)
        for part, values in case.exact.items():
            correlations[f"{case.name} {part}"] = round(spearman(values, own[part]), 5)
        kept = scores(networks, case.detector, case.held_out)["fused"]
        change = np.abs(kept - case.exact["fused"]) / (1.0 + np.abs(case.exact["fused"]))
        moved = max(moved, float(change.max()))
    return {
        "golden_distance": golden_distance(bundle, networks),
        "spearman": correlations,
        "passes": min(correlations.values()) >= LEAST_CORRELATION,
        "largest_change_with_the_profile_of_fp32": round(moved, 5),
    }


def study(bundle: Bundle, enrol_s: float) -> dict[str, object]:
    """All figures of one bundle."""
    exact = open_proven(bundle, Candidate("onnxruntime", "fp32"), 1)
    cases = [Case.of(kind, fault, exact, enrol_s) for kind, fault in MACHINES]
    normal = [case.normal for case in cases]
    (network,) = bundle.manifest.networks
    opened, sizes, refused = {"onnxruntime fp32": exact}, {}, {}
    for recipe in RECIPES:
        file, label = quantised(bundle, normal, recipe), str(recipe)
        opened[label] = NetworkSet(bundle, {network.id: OnnxEngine(file, label)})
        sizes[label] = len(file)
    for candidate in (Candidate("openvino", "fp32"), Candidate("openvino", "bf16")):
        try:
            opened[str(candidate)] = open_proven(bundle, candidate, 1)
        except EdgeAsdError as error:  # noqa: PERF203 - twice
            refused[str(candidate)] = str(error)
    spent = windows_s(opened, 1)
    base = spent["onnxruntime fp32"]
    return {
        "bundle": bundle.label,
        "bytes": {"fp32": len(bundle.network(network.id, "fp32")), **sizes},
        "refused": refused,
        "window_ms": {name: round(1e3 * value, 3) for name, value in spent.items()},
        "of_fp32": {name: round(value / base, 3) for name, value in spent.items()},
        **{n: compared(bundle, one, cases) for n, one in opened.items() if one is not exact},
    }


def golden_distance(bundle: Bundle, networks: NetworkSet) -> float:
    """Largest cosine distance from the golden embeddings."""
    samples = bundle.golden.waveforms.astype(np.float32) / np.float32(32768.0)
    features = {
        name: compute(spec, samples, bundle.manifest.sample_rate)
        for name, spec in bundle.manifest.features.items()
    }
    found = networks.embed(features)
    return max(
        float(cosine_distance(found[name], wanted).max())
        for name, wanted in bundle.golden.embeddings.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, action="append", help="default: the built-in one")
    parser.add_argument("--enrol-s", type=float, default=120.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for path in arguments.bundle or [builtin_bundle()]:
        found = study(load_bundle(path), arguments.enrol_s)
        print(json.dumps(found, indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
