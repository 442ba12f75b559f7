"""Pictures of ``docs/performance.md``; one whose figures are missing is not drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.performance.figures import Run
from benchmarks.performance.targets import straight_line
from edge_asd_train.evaluate.canvas import (
    BLUE,
    COLOURS,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    STYLES,
    VERMILION,
    WIDTH,
    save,
)

MARKERS = ("o", "s", "^", "D")
_KINDS = {"alternative": VERMILION, "pipeline": BLUE, "engine": GREEN}


def draw(folder: Path, run: Run) -> list[str]:
    """Draw what there are figures for.

    Args:
        folder: Where to.
        run: What was measured.

    Returns:
        Names of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in (
        ("contest", _contest),
        ("monitors", _monitors),
        ("latency", _latency),
        ("steady", _steady),
    ):
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        figure = picture(run)
        if figure is not None:
            save(figure, path)
            drawn.append(name)
    return drawn


def _contest(run: Run) -> Figure | None:
    """Windows a second of everybody, slowest first."""
    contest = run.part("contest")
    if contest is None:
        return None
    rates = {name: one["windows_per_s"] for name, one in contest["contestants"].items()}
    names = sorted(rates, key=lambda name: -rates[name]["median"])
    medians = np.asarray([rates[name]["median"] for name in names])
    ends = np.asarray([[rates[name][end] for name in names] for end in ("low", "high")])
    figure = Figure(figsize=(WIDTH, 0.42 * len(names) + 1.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    colours = [_KINDS[name.partition(",")[0]] for name in names]
    axes.barh(names, medians, xerr=np.abs(ends - medians), color=colours, ecolor=GREY, capsize=3)
    for place, median in enumerate(medians):
        axes.annotate(f" {median:.0f}", (0, place), va="center", color="white", fontsize=10)
    axes.set_xlabel("windows a second on one core (median of turns, bar: 10th to 90th percentile)")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.set_title("FeatEx on windows of 10 s: the alternative, the whole pipeline, engines alone")
    return figure


def _monitors(run: Run) -> Figure | None:
    """Cost and lateness over the number of monitors."""
    measured = {
        name: (bench, bench["details"]["capacity"])
        for name, bench in run.benches().items()
        if (bench.get("details") or {}).get("capacity")
    }
    if not measured:
        return None
    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, (bench, capacity)) in enumerate(measured.items()):
        look = {"color": COLOURS[number], "marker": MARKERS[number % len(MARKERS)], "linestyle": ""}
        points = capacity["points"]
        monitors = [one["monitors"] for one in points]
        left.plot(monitors, [100 * one["busy"] for one in points], **look, label=name)
        _draw_line(left, [one for one in points if one["sustained"]], COLOURS[number])
        _draw_daemon(left, bench, COLOURS[number])
        look["linestyle"] = STYLES[number % len(STYLES)]
        right.plot(monitors, [one["lateness_ms"]["p99"] for one in points], **look, label=name)
    hop_ms = max(1e3 * capacity["hop_s"] for _, capacity in measured.values())
    right.axhline(hop_ms / 2, color=GREY, linestyle=":", label="half a hop")
    right.set_yscale("log")
    left.set_ylabel("busy, % of one core")
    right.set_ylabel("from the last sample to the score, p99, ms")
    for axes in (left, right):
        axes.set_xlabel("monitors at a hop of about a second, in real time, on one core")
        axes.set_xlim(left=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    left.set_ylim(bottom=0)
    figure.suptitle("What monitors cost, and how late their windows are")
    return figure


def _draw_line(axes: Axes, points: list[dict[str, Any]], colour: str) -> None:
    """The straight line through points."""
    if len(points) < 2:
        return
    monitors = [one["monitors"] for one in points]
    slope, offset, _ = straight_line(monitors, [one["busy"] for one in points])
    ends = np.asarray([0, max(monitors)])
    axes.plot(ends, 100 * (slope * ends + offset), color=colour, linewidth=1.0)


def _draw_daemon(axes: Axes, bench: dict[str, Any], colour: str) -> None:
    """Whole daemons with some monitors."""
    details = bench["details"]
    points = [tuple(one) for one in (details.get("scale") or {}).get("cpu_shares", [])]
    loaded = details.get("loaded")
    points += [(loaded["monitors"], loaded["cpu_share"])] if loaded else []
    if points:
        monitors, shares = zip(*sorted(points), strict=True)
        label = "… as a whole daemon"
        axes.plot(monitors, 100 * np.asarray(shares), "x:", color=colour, label=label)


def _latency(run: Run) -> Figure | None:
    """Distribution of the delays until PUBACK."""
    measured = {
        (name, kind): bench["details"][kind]
        for name, bench in run.benches().items()
        for kind in ("latency", "loaded")
        if (bench.get("details") or {}).get(kind)
    }
    if not measured:
        return None
    figure = Figure(figsize=(WIDTH, 5.0), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(name for name, _ in measured))
    for (name, kind), one in measured.items():
        delays = np.sort(one["delays_ms"])
        share = 1 - (np.arange(len(delays)) + 0.5) / len(delays)
        style = "-" if kind == "latency" else "--"
        label = f"{name}: {_monitors_text(one)}"
        axes.plot(delays, share, style, color=COLOURS[names.index(name)], label=label)
    for limit_ms in (100, 500):
        axes.axvline(limit_ms, color=GREY, linestyle=":")
    axes.axhline(0.01, color=ORANGE, linewidth=0.8, label="one event in a hundred")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("from a window's last sample to the broker's PUBACK, ms")
    axes.set_ylabel("share of events that took longer")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    axes.set_title("Delay of events with one monitor, and at 80 % of capacity")
    return figure


def _monitors_text(delivery: dict[str, Any]) -> str:
    count = delivery["monitors"]
    return "one monitor" if count == 1 else f"{count} monitors"


def _steady(run: Run) -> Figure | None:
    """Cost of a window, and memory, over hours of sound."""
    steady = run.part("steady")
    if steady is None:
        return None
    figure = Figure(figsize=(WIDTH, 4.2), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steady["at_h"], steady["cpu_ms"], color=BLUE, marker=".", linestyle="")
    left.axhline(float(np.median(steady["cpu_ms"])), color=VERMILION, label="median")
    left.set_ylabel("processor time of a window, ms")
    right.plot(steady["at_h"], steady["rss_mb"], color=BLUE)
    right.set_ylabel("resident memory of the measuring process, MB")
    for axes, values in ((left, steady["cpu_ms"]), (right, steady["rss_mb"])):
        axes.set_xlabel("sound listened to, hours")
        axes.set_ylim(0, 1.3 * max(values))
        axes.grid(visible=True, alpha=0.3)
    left.legend()
    figure.suptitle(f"One monitor's pipeline ({steady['engine']}), window after window")
    return figure
