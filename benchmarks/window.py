"""What one window costs on this machine, stage by stage, and what the frame cache saves.

Ratios are taken within one run, alternating, because machines are noisy.

    python benchmarks/window.py [--bundle FILE] [--windows N]
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from edge_asd.bundle import builtin_bundle, load_bundle
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import open_networks
from edge_asd.features import FeatureExtractor, compute
from edge_asd.records import Window
from edge_asd.score import Views, cross_fit, fit_detector
from edge_asd.score.views import concatenate


def median_ms(spent: list[float]) -> float:
    """Median in milliseconds."""
    return 1e3 * float(np.median(spent))


def timed(action: Callable[[], object], spent: list[float]) -> None:
    """Run once and note the time."""
    begun = time.perf_counter()
    action()
    spent.append(time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=builtin_bundle())
    parser.add_argument("--windows", type=int, default=200)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    manifest = bundle.manifest
    embedder = WindowEmbedder(open_networks(bundle))
    fresh = FeatureExtractor(manifest.features, manifest.sample_rate)
    total = manifest.window_samples + arguments.windows * manifest.hop_samples
    sound = np.random.default_rng(0).normal(0, 0.05, total).astype(np.float32)
    incremental: list[float] = []
    offline: list[float] = []
    inference: list[float] = []
    views: list[Views] = []
    for number in range(arguments.windows):
        start = number * manifest.hop_samples
        samples = sound[start : start + manifest.window_samples]
        window = Window(samples, start, 0, 0.0)
        timed(lambda window=window: fresh.extract(window), incremental)
        timed(
            lambda samples=samples: [
                compute(spec, samples[None], manifest.sample_rate)
                for spec in manifest.features.values()
            ],
            offline,
        )
        views.append(embedder.embed(window))
        inference.append(embedder.spent_s["inference"])
    enrolled = concatenate(views)
    folds = np.arange(len(enrolled)) * 5 // len(enrolled)
    standards, _ = cross_fit(manifest, enrolled, folds, [folds == f for f in range(5)], 0)
    detector = fit_detector(manifest, enrolled, None, standards, np.random.default_rng(0))
    scoring: list[float] = []
    for view in views:
        timed(lambda view=view: detector.score(view), scoring)
    whole = median_ms(incremental) + median_ms(inference) + median_ms(scoring)
    hop_ms = 1e3 * manifest.hop_samples / manifest.sample_rate
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{bundle.label} on {platform.machine()}, onnxruntime {onnxruntime.__version__}, 1 thread"
    )
    print(f"features, frames cached  {median_ms(incremental):8.2f} ms")
    print(f"features, from scratch   {median_ms(offline):8.2f} ms")
    print(f"inference                {median_ms(inference):8.2f} ms")
    print(f"scoring                  {median_ms(scoring):8.2f} ms")
    print(f"a window                 {whole:8.2f} ms, one every {hop_ms:.0f} ms")
    print(f"share of a core          {100 * whole / hop_ms:8.2f} %")
    print(f"ratio from scratch/cached{median_ms(offline) / median_ms(incremental):8.2f}")
    print(f"peak memory              {memory_mb:8.0f} MB")


if __name__ == "__main__":
    main()
