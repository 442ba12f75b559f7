"""What makes the bands network work on machines it never heard: many variations, quickly.

    edge-asd-train simulate --out SIM --clips 200 --seed 1
    python benchmarks/first_shot_bands.py --data SIM --clips FOLDER --out OUT [--machines 400]
        [--rows NAME,...] [--seeds 1]

Band statistics of all clips are computed once; training then takes seconds in place of minutes. It
is the training of ``edge-asd-train fit --recipe general`` but for one thing: the random colour of a
window is added to the statistics, at the centres of the bands, and not to the spectrogram. Every
variation is trained twice, each time without half of the machine kinds, and measured on those.
``first_shot_study.py`` does the same through ``fit`` itself, and for any network. FOLDER keeps the
rendered training clips, OUT the statistics and results.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from first_shot_study import FOLDS, RULES, kind_of, training_clips
from torch import Tensor, nn

from edge_asd.features import StftMagnitude, mel_filterbank
from edge_asd.score import fit_held_out, named_scorers
from edge_asd.score.views import Views
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.decode import read_clip
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.evaluate.rules import evaluate
from edge_asd_train.evaluate.sections import SectionScores
from edge_asd_train.frontend import FrontEnd
from edge_asd_train.losses import EpisodeLoss, SubclusterAdaCos
from edge_asd_train.nets.bands import LIFT, BandStatistics, _correction

SCORERS = ("published", "knn", "ldn")
RATE = 16_000
FRAMINGS = {
    "short": (StftMagnitude(), 128),
    "long": (StftMagnitude(n_fft=4096, hop_length=2048), 256),
}
SETTLE = 20
TERMS, LOWEST = 6, 1.0 / 160.0  # of the colour; as in augment/colour.py


@dataclass(frozen=True)
class Options:
    """One variation; the defaults are those of the recipe ``general``."""

    framings: tuple[str, ...] = ("short",)
    statistics: tuple[int, ...] = (0, 1, 2)
    """Mean, spread, change."""
    channels: int = 32
    kernel: int = 7
    colour_db: float = 1.0
    lift: float = LIFT
    machines: int = 16
    normal: int = 8
    faulty: int = 6
    softness: float = 0.03
    steps: int = 400
    heard: int = 10**9
    classes: bool = False


@dataclass(frozen=True)
class Row:
    """A name in the table and what differs."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("as `general`"),
    Row("no training", {"channels": 0, "steps": 0}),
    Row("10 machines heard", {"heard": 10, "machines": 8}),
    Row("50 machines heard", {"heard": 50}),
    Row("100 machines heard", {"heard": 100}),
    Row("classes in place of episodes", {"classes": True}),
    Row("correction of 8 channels", {"channels": 8}),
    Row("correction of 128 channels", {"channels": 128}),
    Row("correction sees 1 band a layer", {"kernel": 1}),
    Row("correction sees 15 bands a layer", {"kernel": 15}),
    Row("mean alone", {"statistics": (0,)}),
    Row("mean and spread", {"statistics": (0, 1)}),
    Row("frames of 4096 in place of 1024", {"framings": ("long",)}),
    Row("frames of 1024 and 4096", {"framings": ("short", "long")}),
    Row("no colour", {"colour_db": 0.0}),
    Row("colour 3 dB", {"colour_db": 3.0}),
    Row("cosine distance (no lift)", {"lift": 0.0, "softness": 0.1}),
    Row("1600 steps", {"steps": 1600}),
)


class Net(nn.Module):
    """The bands network behind its statistics, with one correction a framing."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.norms, self.corrections = nn.ModuleDict(), nn.ModuleDict()
        for name in options.framings:
            self.norms[name] = nn.BatchNorm1d(3 * FRAMINGS[name][1])
            if options.channels:
                self.corrections[name] = _correction(options.channels, options.kernel)

    def forward(self, statistics: dict[str, Tensor]) -> Tensor:
        """Statistics (B, 3, M) by framing -> embeddings (B, D + 1)."""
        parts = []
        for name in self.options.framings:
            x = statistics[name]
            z = self.norms[name](x.flatten(1)).view_as(x)
            if self.options.channels:
                z = z + self.corrections[name](z)
            z = z[:, list(self.options.statistics)].flatten(1)
            parts.append(z / math.sqrt(z.shape[1] * len(self.options.framings)))
        z = torch.cat(parts, dim=1)
        return torch.cat([z, torch.full_like(z[:, :1], self.options.lift)], dim=1)


def statistics_of(path: Path, windows: Any, count: int) -> dict[str, Tensor]:
    """Statistics of windows, kept in a file."""
    if not path.exists():
        ends = {name: FrontEnd({"x": spec}) for name, (spec, _) in FRAMINGS.items()}
        measures = {name: BandStatistics(*given, RATE) for name, given in FRAMINGS.items()}
        found: dict[str, list[Any]] = {name: [] for name in FRAMINGS}
        with torch.no_grad():
            for first in range(0, count, 16):
                batch = np.stack([windows(i) for i in range(first, min(count, first + 16))])
                for name, end in ends.items():
                    heard = end(torch.from_numpy(batch))["x"]
                    found[name].append(measures[name](heard).numpy())
        np.savez(path, **{name: np.concatenate(parts) for name, parts in found.items()})
    with np.load(path) as kept:
        return {name: torch.from_numpy(kept[name]) for name in FRAMINGS}


def coloured(batch: dict[str, Tensor], spread_db: float, seed: int) -> dict[str, Tensor]:
    """One smooth random response a window, added to the means."""
    if not spread_db:
        return batch
    generator = torch.Generator().manual_seed(seed)
    weights = spread_db * torch.randn(len(next(iter(batch.values()))), TERMS, generator=generator)
    found = {}
    for name, x in batch.items():
        spec, bands = FRAMINGS[name]
        filters = mel_filterbank(RATE, spec.n_fft, bands, 0.0, RATE / 2)
        centre = torch.from_numpy(filters.argmax(axis=0) / (spec.n_fft / 2)).float()
        place = 1.0 - centre.clamp_min(LOWEST).log() / math.log(LOWEST)
        order = torch.arange(1, TERMS + 1)
        response = weights @ torch.cos(math.pi * order[:, None] * place)
        found[name] = x.clone()
        found[name][:, 0] += response - response.mean(1, keepdim=True)
    return found


def trained(
    options: Options, clips: ClipStore, heard: list[int], stats: dict[str, Tensor], seed: int
) -> Net:
    """A network trained on some machines, in inference mode."""
    torch.manual_seed(seed)
    net = Net(options)
    of_machine = [
        tuple(np.flatnonzero((clips.machines == m) & (clips.faulty == f)) for f in (False, True))
        for m in heard
    ]
    names = np.unique(clips.labels[np.concatenate([np.concatenate(own) for own in of_machine])])
    size = net({name: x[:2] for name, x in stats.items()}).shape[1]
    episodes = EpisodeLoss(options.machines, options.normal, options.faulty, options.softness)
    head = SubclusterAdaCos(size, len(names)) if options.classes else None
    learned = [*net.parameters(), *(episodes if head is None else head).parameters()]
    adam = torch.optim.Adam(learned, lr=1e-3, eps=1e-7)

    def chosen(step: int) -> np.ndarray:
        rng = np.random.default_rng([seed, 0, step])
        drawn = rng.choice(len(of_machine), options.machines, replace=False)
        counts = (options.normal, options.faulty)
        return np.concatenate(
            [
                rng.choice(own, n, replace=False)
                for m in drawn
                for own, n in zip(of_machine[m], counts, strict=True)
            ]
        )

    def batch(rows: np.ndarray, step: int) -> dict[str, Tensor]:
        return coloured({n: stats[n][rows] for n in options.framings}, options.colour_db, step)

    for step in range(options.steps):
        fall = 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * step / options.steps))
        adam.param_groups[0]["lr"] = 1e-3 * fall * min(1.0, (step + 1) / 30)
        rows = chosen(step)
        z = net(batch(rows, step))
        if head is None:
            loss = episodes(z).total
        else:
            labels = torch.from_numpy(np.searchsorted(names, clips.labels[rows]))
            loss = head(z, nn.functional.one_hot(labels, len(names)).float())
        adam.zero_grad()
        loss.backward()
        adam.step()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        for step in range(options.steps, options.steps + SETTLE):
            net(batch(chosen(step), step))
    return net.eval()


def scored(z: np.ndarray, files: tuple[ClipFile, ...], machine: str, scorer: str) -> SectionScores:
    """A machine's tests, scored by what its training clips taught."""

    def views(split: str, domain: str | None = None) -> Views:
        rows = [
            i
            for i, one in enumerate(files)
            if one.machine == machine and one.split == split and domain in (None, one.domain)
        ]
        return Views({"net": z[rows][:, None]}, {}, np.zeros(len(rows), np.float32))

    tests = [one for one in files if one.machine == machine and one.split == "test"]
    specs = named_scorers(scorer, "net")
    detector, _ = fit_held_out(specs, "mean", views("train", "source"), views("train", "target"))
    return SectionScores(
        machine=machine,
        section="00",
        names=tuple(one.path.name for one in tests),
        scores=detector.score(views("test")).scores.astype(np.float64),
        anomalous=np.asarray([bool(one.anomalous) for one in tests]),
        domains=np.asarray([int(one.domain == "target") for one in tests]),
    )


def main() -> None:
    """Train and measure every row, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--machines", type=int, default=400)
    parser.add_argument("--rows", help="Names joined by commas; all by default.")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = index_folder(arguments.data).files
    clips = training_clips(arguments.clips, arguments.machines)
    heard = statistics_of(
        arguments.out / "train.npz", lambda i: clips.window(i, 0, 10 * RATE), len(clips)
    )
    tests = statistics_of(
        arguments.out / "test.npz",
        lambda i: (read_clip(files[i].path, RATE) / 32768.0).astype(np.float32),
        len(files),
    )
    machines = sorted({one.machine for one in files})
    print("| variation | " + " | ".join(SCORERS) + " | minutes |\n|---|---|---|---|---|")
    results: dict[str, Any] = {}
    for row in ROWS:
        if arguments.rows and row.name not in arguments.rows.split(","):
            continue
        started = time.monotonic()
        options = Options(**row.changes)
        officials: dict[str, list[float]] = {name: [] for name in SCORERS}
        for seed in range(arguments.seeds):
            sections: dict[str, list[SectionScores]] = {name: [] for name in SCORERS}
            for left_out in FOLDS:
                known = [
                    i for i, name in enumerate(clips.machine_names) if kind_of(name) not in left_out
                ]
                net = trained(options, clips, known[: options.heard], heard, seed)
                with torch.no_grad():
                    z = net(tests).numpy()
                for machine in (one for one in machines if kind_of(one) in left_out):
                    for name in SCORERS:
                        sections[name].append(scored(z, files, machine, name))
            for name, found in sections.items():
                officials[name].append(100.0 * evaluate(found, RULES).official)
        results[row.name] = officials
        cells = [
            f"{np.mean(v):.1f}" + (f" ± {np.std(v, ddof=1):.1f}" if len(v) > 1 else "")
            for v in officials.values()
        ]
        minutes = (time.monotonic() - started) / 60
        print(f"| {row.name} | " + " | ".join(cells) + f" | {minutes:.1f} |", flush=True)
        (arguments.out / "bands.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
