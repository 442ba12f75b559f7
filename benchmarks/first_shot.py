"""First-shot detection on real machines: a few normal clips are all the device ever hears.

For every machine the normal clips are split many times into clips to enrol on and clips to keep
aside; anomalous clips and the kept ones are scored, and the area under the ROC curve is taken. The
product is compared on the same splits with the level alone and with the nearest neighbour on the
mean and standard deviation of the log-mel spectrogram. Everything is also measured with every
recording 12 dB softer: a device cannot know how sensitive its microphone is.

    python benchmarks/first_shot.py --recordings DIR [--bundle FILE] [--json FILE] [--fusions]

``--fusions`` compares other scorers and fusions of the same network instead.

DIR holds ``mimii_ch0`` (MIMII, channel 0) and ``drone_prop``. A clip shorter than a window is
tiled; the score of a longer one is the mean over its windows.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats

from edge_asd.audio import db_to_factor, level_dbfs
from edge_asd.bundle import Bundle, builtin_bundle, load_bundle
from edge_asd.bundle.manifest import LevelScorer, Manifest, ScorerSpec
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import open_networks
from edge_asd.features import LogMelStatistics, compute
from edge_asd.score import CentreScorer, Detector, cross_fit, fit_detector, named_scorers
from edge_asd.score.views import Views, concatenate
from edge_asd.scoring import read_mono

SPLITS = 100
TRAIN_SHARE = 0.7
SPEEDS_PERCENT = range(20, 61)


@dataclass(frozen=True)
class Machine:
    """One machine's clips at the bundle's rate, and how its normals are split."""

    name: str
    normal: list[np.ndarray]
    anomalous: list[np.ndarray]
    splits: list[tuple[np.ndarray, np.ndarray]]


def auc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Area under the ROC curve; ties count half."""
    ranks = scipy.stats.rankdata(np.concatenate([normal, anomalous]))
    n, m = len(normal), len(anomalous)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def random_splits(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """A hundred random 70/30 splits."""
    rng = np.random.default_rng(0)
    kept = round(TRAIN_SHARE * count)
    orders = [rng.permutation(count) for _ in range(SPLITS)]
    return [(order[:kept], order[kept:]) for order in orders]


def contiguous_splits(groups: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits that keep aside a contiguous 30 % of every group's clips, at ten positions."""
    by_group = [np.flatnonzero(np.asarray(groups) == group) for group in sorted(set(groups))]
    splits = []
    for position in range(10):
        aside = []
        for members in by_group:
            size = max(1, round((1 - TRAIN_SHARE) * len(members)))
            first = round(position * (len(members) - size) / 9)
            aside.append(members[first : first + size])
        test = np.concatenate(aside)
        splits.append((np.setdiff1d(np.arange(len(groups)), test), test))
    return splits


def mimii(root: Path, unit: str, rate: int) -> Machine:
    """A MIMII fan."""
    folder = root / "mimii_ch0" / "fan" / unit
    normal, anomalous = (
        [read_mono(path, rate, 0) for path in sorted((folder / kind).glob("*.wav"))]
        for kind in ("normal", "anomaly")
    )
    return Machine(f"MIMII fan {unit}", normal, anomalous, random_splits(len(normal)))


def drone(root: Path, rate: int) -> Machine:
    """The propeller drone: with its propeller is normal, without it is not."""
    found: dict[str, list[tuple[int, np.ndarray]]] = {"prop": [], "no-prop": []}
    seen = set()
    for kind, clips in found.items():
        for path in sorted((root / "drone_prop" / "clips" / kind / "m1").glob("*.wav")):
            matched = re.search(r"_(\d+)pct_", path.name)
            digest = hashlib.sha256(path.read_bytes()).digest()
            if not matched or int(matched[1]) not in SPEEDS_PERCENT or digest in seen:
                continue
            seen.add(digest)
            clips.append((int(matched[1]), read_mono(path, rate, 0)))
    normal = found["prop"]
    return Machine(
        "drone, 20-60 % speed",
        [samples for _, samples in normal],
        [samples for _, samples in found["no-prop"]],
        contiguous_splits([speed for speed, _ in normal]),
    )


def softer(machine: Machine, drop_db: float) -> Machine:
    """The same recordings as a less sensitive microphone would have stored them, in 16 bits."""
    factor = db_to_factor(-drop_db) * 32768

    def soften(samples: np.ndarray) -> np.ndarray:
        return (np.round(samples * factor) / 32768).astype(np.float32)

    return Machine(
        f"{machine.name}, {drop_db:.0f} dB softer",
        [soften(samples) for samples in machine.normal],
        [soften(samples) for samples in machine.anomalous],
        machine.splits,
    )


class Contest:
    """All methods on one machine."""

    def __init__(
        self,
        embedder: WindowEmbedder,
        machine: Machine,
        fusions: Mapping[str, Manifest] | None = None,
    ) -> None:
        self.embedder, self.machine = embedder, machine
        self.fusions = fusions
        manifest = embedder.manifest
        self.rate = manifest.sample_rate
        self.levels = {
            kind: np.asarray([level_dbfs(samples) for samples in clips])
            for kind, clips in self._kinds()
        }
        self.log_mel = {kind: self._log_mel(clips) for kind, clips in self._kinds()}
        self._views: dict[tuple[str, int, float], Views] = {}

    def _kinds(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        yield "normal", self.machine.normal
        yield "anomalous", self.machine.anomalous

    def _log_mel(self, clips: list[np.ndarray]) -> np.ndarray:
        spec, length = LogMelStatistics(), self.embedder.manifest.window_samples
        rows = [
            compute(spec, np.resize(samples, length)[None].astype(np.float32), self.rate)
            for samples in clips
        ]
        return np.concatenate(rows)

    def run(self) -> dict[str, list[float]]:
        """AUC of every method on every split."""
        found: dict[str, list[float]] = {}
        for train, test in self.machine.splits:
            for method, (normal, anomalous) in self._scores(train, test).items():
                found.setdefault(method, []).append(auc(normal, anomalous))
        return found

    def _scores(
        self, train: np.ndarray, test: np.ndarray
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        usual = np.median(self.levels["normal"][train])
        off_level = {kind: np.abs(levels - usual) for kind, levels in self.levels.items()}
        bank = self.log_mel["normal"][train]
        distances = {
            kind: np.linalg.norm(rows[:, None] - bank[None], axis=-1).min(axis=1)
            for kind, rows in self.log_mel.items()
        }
        scores = {
            "level alone": (off_level["normal"][test], off_level["anomalous"]),
            "log-mel nearest neighbour": (distances["normal"][test], distances["anomalous"]),
        }
        return scores | self._product(train, test, float(usual))

    def _product(
        self, train: np.ndarray, test: np.ndarray, usual_dbfs: float
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        gain_db = round(self.embedder.manifest.reference_dbfs - usual_dbfs, 2)
        source = self._embed("normal", train, gain_db)
        kept = self._embed("normal", test, gain_db)
        faulty = self._embed("anomalous", np.arange(len(self.machine.anomalous)), gain_db)
        found = {}
        for name, manifest in (self.fusions or {"edge-asd": self.embedder.manifest}).items():
            detector = fitted(manifest, *source)
            fused = [(detector.score(views), counts) for views, counts in (kept, faulty)]
            found[name] = of_clips([(one.scores, counts) for one, counts in fused])
            if self.fusions is None:
                for part, scorer in detector.scorers.items():
                    if isinstance(scorer, CentreScorer):
                        parts = [(one.parts[part], counts) for one, counts in fused]
                        found["its network alone"] = of_clips(parts)
        return found

    def _embed(self, kind: str, index: np.ndarray, gain_db: float) -> tuple[Views, np.ndarray]:
        clips = self.machine.normal if kind == "normal" else self.machine.anomalous
        views = []
        for number in index:
            key = (kind, int(number), gain_db)
            if key not in self._views:
                _, self._views[key], _ = self.embedder.embed_clip(
                    clips[number] * np.float32(db_to_factor(gain_db))
                )
            views.append(self._views[key])
        return concatenate(views), np.asarray([len(view) for view in views])


def of_clips(scored: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean scores of the windows of every clip, for normal and for anomalous clips."""
    normal, anomalous = (
        np.add.reduceat(scores, np.cumsum(counts) - counts) / counts for scores, counts in scored
    )
    return normal, anomalous


def fitted(manifest: Manifest, source: Views, counts: np.ndarray) -> Detector:
    """A detector that learned these clips, standardised by cross-fitting over five folds."""
    folds = np.repeat(np.arange(len(counts)) * 5 // len(counts), counts)
    standards, _ = cross_fit(manifest, source, folds, [folds == fold for fold in range(5)], 0)
    return fit_detector(manifest, source, None, standards, np.random.default_rng(0))


def with_log_mel(bundle: Bundle) -> Bundle:
    """The bundle with a log-mel scorer, whose feature is then computed."""
    manifest = bundle.manifest
    if any(scorer.kind == "neighbours" for scorer in manifest.scorers):
        return bundle
    (log_mel,) = named_scorers("log_mel", manifest.networks[0].id)
    scorers = (*manifest.scorers, log_mel)
    return dataclasses.replace(bundle, manifest=manifest.model_copy(update={"scorers": scorers}))


def fusions(manifest: Manifest) -> dict[str, Manifest]:
    """Other scorers and rules for the same network."""
    network_id = manifest.networks[0].id
    centres, knn, ldn, log_mel = (
        named_scorers(name, network_id)[0] for name in ("published", "knn", "ldn", "log_mel")
    )
    chosen: dict[str, tuple[list[ScorerSpec], str]] = {
        "network, centres": ([centres], "mean"),
        "network, nearest neighbour": ([knn], "mean"),
        "network, local density": ([ldn], "mean"),
        "log-mel": ([log_mel], "mean"),
    }
    for rule in ("mean", "max"):
        chosen[f"centres, log-mel: {rule}"] = ([centres, log_mel], rule)
        for spread_db in (0.5, 1.0, 2.0):
            level = LevelScorer(id="level", spread_db=spread_db)
            chosen[f"centres, level {spread_db:g} dB: {rule}"] = ([centres, level], rule)
            name = f"centres, log-mel, level {spread_db:g} dB: {rule}"
            chosen[name] = ([centres, log_mel, level], rule)
    chosen["local density, level 0.5 dB: mean"] = ([ldn, LevelScorer(id="level")], "mean")
    return {
        name: manifest.model_copy(update={"scorers": tuple(scorers), "fusion": rule})
        for name, (scorers, rule) in chosen.items()
    }


def transposed(results: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: a row a method, a column a machine."""
    machines = list(results)
    lines = ["| scorers: fusion | " + " | ".join(machines) + " |", "|---|" + "---|" * len(machines)]
    for method in results[machines[0]]:
        values = [results[machine][method] for machine in machines]
        cells = [f"{np.mean(value):.3f} ({np.min(value):.3f})" for value in values]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: a row a machine, mean and minimum AUC of every method."""
    methods = list(next(iter(results.values())))
    lines = [
        "| machine | " + " | ".join(methods) + " |",
        "|---|" + "---|" * len(methods),
    ]
    for machine, scores in results.items():
        cells = [f"{np.mean(scores[m]):.3f} ({np.min(scores[m]):.3f})" for m in methods]
        lines.append(f"| {machine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, default=builtin_bundle())
    parser.add_argument("--fusions", action="store_true", help="Compare fusions instead.")
    parser.add_argument("--json", type=Path, help="Also write every split's AUC here.")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    if arguments.fusions:
        bundle = with_log_mel(bundle)
    embedder = WindowEmbedder(open_networks(bundle))
    rate = bundle.manifest.sample_rate
    root = arguments.recordings
    machines = [mimii(root, "id_00_0dB", rate), mimii(root, "id_02_0dB", rate), drone(root, rate)]
    others = fusions(bundle.manifest) if arguments.fusions else None
    if not arguments.fusions:
        machines += [softer(machine, 12.0) for machine in machines]
    results = {}
    for machine in machines:
        print(f"{machine.name} ...", file=sys.stderr)
        results[machine.name] = Contest(embedder, machine, others).run()
    print(f"AUC of {bundle.label} ({bundle.sha256[:12]}), mean (minimum) over splits\n")
    print(transposed(results) if arguments.fusions else table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
