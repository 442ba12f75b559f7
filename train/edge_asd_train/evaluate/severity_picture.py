"""Picture of a first-shot evaluation: AUC over the severity of faults, and fault by fault."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_asd_train.evaluate.canvas import BLACK, BLUE, DPI, GREEN, GREY, VERMILION, WIDTH, save
from edge_asd_train.evaluate.severity import AUDIBLE_AUC, FirstShot


def severity_curve(path: Path, found: FirstShot, title: str) -> None:
    """AUC over severity beside the AUC of each fault; clips are counted at every point.

    Args:
        path: Where to.
        found: With at least one bin.
        title: Above the picture.

    Raises:
        StorageError: The picture cannot be written.
    """
    height = max(5.5, 1.5 + 0.28 * len(found.faults))
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_severity(left, found)
    _draw_faults(right, found)
    figure.suptitle(f"{title}\n{found.headline}")
    save(figure, path)


def _draw_severity(axes: Axes, found: FirstShot) -> None:
    middles = [(one.low + one.high) / 2 for one in found.severity]
    values = [one.graded.auc for one in found.severity]
    axes.plot(middles, values, color=BLUE, marker="o", label="mean of the machines")
    for middle, one in zip(middles, found.severity, strict=True):
        axes.annotate(
            f"{one.graded.clips} clips",
            (middle, one.graded.auc),
            xytext=(5, -12),
            textcoords="offset points",
            fontsize=8,
        )
    low, high = found.severity[0].low, found.severity[-1].high
    axes.axhline(AUDIBLE_AUC, color=VERMILION, linestyle="--", label=f"AUC {AUDIBLE_AUC:g}")
    axes.axhline(0.5, color=GREY, linestyle=":", label="chance")
    if found.audible_from is not None:
        axes.axvspan(found.audible_from, high, color=GREEN, alpha=0.12, label="heard from here on")
    axes.set_xlim(low, high + 0.02)  # room for the last number of clips
    axes.set_ylim(min(0.4, *values) - 0.05, 1.02)
    axes.set_xlabel("severity of the fault (0 normal, 1 clearly audible)")
    axes.set_ylabel("AUC against the machine's normal test clips")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")


def _draw_faults(axes: Axes, found: FirstShot) -> None:
    worst_first = sorted(found.faults.items(), key=lambda named: named[1].auc)
    places = range(len(worst_first))
    values = [graded.auc for _, graded in worst_first]
    axes.hlines(places, 0.5, values, color=GREY, linewidth=1.0)
    axes.plot(values, places, color=BLACK, marker="s", linestyle="")
    axes.axvline(AUDIBLE_AUC, color=VERMILION, linestyle="--")
    axes.axvline(0.5, color=GREY, linestyle=":")
    names = [f"{name} ({graded.clips})" for name, graded in worst_first]
    axes.set_yticks(list(places), names, fontsize=8)
    axes.set_xlim(min(0.4, *values) - 0.05, 1.02)
    axes.set_xlabel("AUC over all severities")
    axes.set_ylabel("fault (clips)")
    axes.grid(visible=True, axis="x", alpha=0.3)
