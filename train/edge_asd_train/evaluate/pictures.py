"""Pictures of an evaluation: ROC curves, score histograms, embedding maps, training curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from edge_asd.errors import DataError
from edge_asd.records import FloatArray
from edge_asd_train.evaluate.canvas import (
    BLACK,
    BLUE,
    COLOURS,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    STYLES,
    VERMILION,
    WIDTH,
    grid,
    save,
)
from edge_asd_train.evaluate.rank import MAX_FPR, auc
from edge_asd_train.evaluate.rules import TERMS
from edge_asd_train.evaluate.sections import DOMAINS, SectionScores

MAX_TSNE = 2000
"""Points of a section from which on the plane is that of the principal components."""
MIN_TSNE = 12

_SMOOTHED = 50  # parts of a run over which a training curve is averaged


@dataclass(frozen=True, slots=True)
class Group:
    """Clips that look alike in the plane of embeddings."""

    name: str
    marker: str
    colour: str
    size: float = 18.0


GROUPS = (
    Group("training, source", ".", GREY),
    Group("training, target", "^", GREEN),
    Group("test, normal", "o", BLUE),
    Group("test, anomalous", "x", VERMILION),
    Group("test, not told", "+", ORANGE),
)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSection:
    """One embedding a clip of a section."""

    label: str
    z: FloatArray
    """(N, D)."""
    groups: NDArray[np.int64]
    """(N,), index into ``GROUPS``."""


def roc_curves(path: Path, sections: Sequence[SectionScores], title: str) -> None:
    """ROC curve of every section: the normal clips of each domain against all anomalous ones.

    Raises:
        StorageError: The picture cannot be written.
    """

    def panel(axes: Axes, section: SectionScores) -> None:
        axes.axvspan(0.0, MAX_FPR, color="#E8E8E8", label=f"pAUC: up to {MAX_FPR:g}")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        keys = ("auc_source", "auc_target") if section.of_domain("target").any() else ("auc",)
        for key, colour, style in zip(keys, COLOURS, STYLES, strict=False):
            chosen = TERMS[key].clips(section)
            scores, truth = section.scores[chosen], section.anomalous[chosen]
            if truth.any() and not truth.all():
                label = f"{TERMS[key].title} {auc(scores, truth):.3f}"
                axes.plot(*roc_points(scores, truth), color=colour, linestyle=style, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.01)
        axes.set_aspect("equal")
        axes.set_title(section.label, fontsize=10)
        axes.legend(fontsize=7, loc="lower right")

    grid(path, sections, panel, title, ("false-positive rate", "true-positive rate"))


def score_histograms(
    path: Path, sections: Sequence[SectionScores], thresholds: Sequence[float], title: str
) -> None:
    """Scores of every section by domain and label, and the threshold of its decisions.

    Normal clips are counted upwards and anomalous ones downwards, so that neither hides the other.

    Raises:
        StorageError: The picture cannot be written.
    """

    def panel(axes: Axes, shown: tuple[SectionScores, float]) -> None:
        section, threshold = shown
        bins = min(30, max(8, len(section.names) // 5))
        edges = np.histogram_bin_edges(section.scores, bins=bins).tolist()
        two = section.of_domain("target").any()
        for anomalous, colour in ((False, BLUE), (True, VERMILION)):
            for domain in DOMAINS:
                chosen = section.of_domain(domain) & (section.anomalous == anomalous)
                if not chosen.any():
                    continue
                source = domain == "source"
                axes.hist(
                    section.scores[chosen],
                    bins=edges,
                    weights=np.full(int(chosen.sum()), -1.0 if anomalous else 1.0),
                    histtype="stepfilled" if source else "step",
                    color=colour,
                    alpha=0.45 if source else 1.0,
                    linewidth=1.4,
                    label=("anomalous" if anomalous else "normal") + (f", {domain}" if two else ""),
                )
        axes.axhline(0.0, color=BLACK, linewidth=0.8)
        axes.axvline(threshold, color=BLACK, linewidth=1.0, linestyle=":", label="threshold")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        axes.set_title(section.label, fontsize=10)

    both = list(zip(sections, thresholds, strict=True))
    labels = ("anomaly score (no unit)", "clips (anomalous: downwards)")
    grid(path, both, panel, title, labels, legend=True)


def embedding_map(path: Path, sections: Sequence[EmbeddedSection], title: str) -> None:
    """Embeddings of every section in a plane, by t-SNE where there are fewer than 2000 of them.

    Raises:
        StorageError: The picture cannot be written.
    """

    def panel(axes: Axes, section: EmbeddedSection) -> None:
        points, method = in_a_plane(section.z)
        for number, group in enumerate(GROUPS):
            chosen = section.groups == number
            if chosen.any():
                axes.scatter(
                    points[chosen, 0],
                    points[chosen, 1],
                    s=group.size,
                    marker=group.marker,
                    color=group.colour,
                    linewidths=0.8,
                    alpha=0.8,
                    label=group.name,
                )
        axes.set_title(f"{section.label} ({method})", fontsize=10)
        axes.set_xticks([])  # distances in the plane have no unit
        axes.set_yticks([])

    labels = ("first dimension (no unit)", "second dimension (no unit)")
    grid(path, sections, panel, title, labels, legend=True)


def training_curves(path: Path, log: Path, title: str) -> None:
    """Loss terms and learning rate of a run over its steps.

    Args:
        path: Where to.
        log: ``log.csv`` of the run.
        title: Above the picture.

    Raises:
        DataError: The log cannot be read.
        StorageError: The picture cannot be written.
    """
    columns = read_log(log)
    step = columns.pop("step")
    rate = columns.pop("learning_rate", None)
    for other in ("seconds", "epoch", "clips_per_s"):
        columns.pop(other, None)
    figure = Figure(figsize=(WIDTH, 6.0), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = max(1, len(step) // _SMOOTHED)
    for number, (name, values) in enumerate(columns.items()):
        colour = COLOURS[number % len(COLOURS)]
        above.plot(step, values, color=colour, linewidth=0.5, alpha=0.25)
        above.plot(
            step[width - 1 :],
            np.convolve(values, np.full(width, 1.0 / width), "valid"),
            color=colour,
            linestyle=STYLES[number % len(STYLES)],
            label=name,
        )
    above.set_ylabel("loss (nats)" + (f", mean of {width} steps" if width > 1 else ""))
    above.legend()
    above.grid(visible=True, alpha=0.3)
    if rate is not None:
        below.plot(step, rate, color=BLACK)
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    below.grid(visible=True, alpha=0.3)
    figure.suptitle(title)
    save(figure, path)


def roc_points(
    scores: NDArray[np.float64], anomalous: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-positive rates at every threshold, from (0, 0) to (1, 1).

    >>> fpr, tpr = roc_points(np.array([1.0, 2, 2, 3]), np.array([False, False, True, True]))
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # ties are one step
    hits = np.cumsum(anomalous[order])[ends]
    rates = (ends + 1 - hits) / np.sum(~anomalous), hits / np.sum(anomalous)
    fpr, tpr = (np.concatenate([[0.0], rate]) for rate in rates)
    return fpr, tpr


def in_a_plane(z: FloatArray) -> tuple[NDArray[np.float64], str]:
    """Points (N, D) -> (N, 2), and the name of the method; always the same for the same points."""
    count = len(z)
    if MIN_TSNE <= count < MAX_TSNE:
        perplexity = min(30.0, (count - 1) / 3.0)
        plane = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(z)
        return np.asarray(plane, np.float64), "t-SNE"
    found = np.zeros((count, 2))
    if count > 1:
        size = min(2, z.shape[1])
        found[:, :size] = PCA(size, random_state=0).fit_transform(z)
    return found, "principal components"


def read_log(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of a run's log; cells that are empty are not a number.

    Raises:
        DataError: It is missing, empty or holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        cells = [[float(cell) if cell else np.nan for cell in row] for row in rows]
        table = np.asarray(cells, np.float64).reshape(len(cells), len(header))
    except OSError as error:
        raise DataError(f"{path}: cannot read the log: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not the log of a run ({error})") from error
    if "step" not in header or not len(table):
        raise DataError(f"{path}: not the log of a run (no steps in it)")
    return {name: table[:, number] for number, name in enumerate(header)}
