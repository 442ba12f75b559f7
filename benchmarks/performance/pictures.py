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
    """Cost and lateness over the number of monitors, a row a bundle."""
    bundles: dict[str, dict[str, Any]] = {}
    for name, bench in run.benches().items():
        if (bench.get("details") or {}).get("capacity"):
            bundles.setdefault(bench["bundle"], {})[name] = bench
    if not bundles:
        return None
    figure = Figure(figsize=(WIDTH, 4.6 * len(bundles)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(bundles), 2, squeeze=False)
    for (left, right), benches in zip(panels, bundles.values(), strict=True):
        for number, (name, bench) in enumerate(benches.items()):
            _draw_cost(left, name, bench, COLOURS[number])
            _draw_lateness(right, name, bench["details"]["capacity"], number)
            hop_s = bench["details"]["capacity"]["hop_s"]
        right.axhline(1e3 * hop_s / 2, color=GREY, linestyle=":", label="half a hop")
        right.set_yscale("log")
        left.set_ylim(0, 125)
        left.set_ylabel("busy, % of one core")
        right.set_ylabel("last sample to score, p99, ms")
        most = max(bench["details"]["capacity"]["monitors"] for bench in benches.values())
        for axes in (left, right):
            axes.set_xlabel(f"monitors in real time on one core, a window every {hop_s:g} s")
            axes.set_xlim(0, 1.25 * max(1, most))
            axes.grid(visible=True, alpha=0.3)
            axes.legend(fontsize=8)
    figure.suptitle("What monitors cost, and how late their windows are")
    return figure


def _draw_cost(axes: Axes, name: str, bench: dict[str, Any], colour: str) -> None:
    """Pipelines alone with their straight line, and whole daemons."""
    points = bench["details"]["capacity"]["points"]
    for sustained, face in ((True, colour), (False, "none")):
        chosen = [one for one in points if one["sustained"] is sustained]
        axes.plot(
            [one["monitors"] for one in chosen],
            [100 * one["busy"] for one in chosen],
            "o",
            color=colour,
            markerfacecolor=face,
            label=name if sustained else None,
        )
        if sustained and len(chosen) > 1:
            monitors = [one["monitors"] for one in chosen]
            slope, offset, _ = straight_line(monitors, [one["busy"] for one in chosen])
            ends = np.asarray([0, max(monitors)])
            axes.plot(ends, 100 * (slope * ends + offset), color=colour, linewidth=1.0)
    _draw_daemon(axes, bench, colour)


def _draw_lateness(axes: Axes, name: str, capacity: dict[str, Any], number: int) -> None:
    axes.plot(
        [one["monitors"] for one in capacity["points"]],
        [one["lateness_ms"]["p99"] for one in capacity["points"]],
        color=COLOURS[number],
        marker=MARKERS[number % len(MARKERS)],
        linestyle=STYLES[number % len(STYLES)],
        label=name,
    )


def _draw_daemon(axes: Axes, bench: dict[str, Any], colour: str) -> None:
    """Whole daemons with some monitors."""
    details = bench["details"]
    points = [tuple(one) for one in (details.get("scale") or {}).get("cpu_shares", [])]
    loaded = details.get("loaded")
    points += [(loaded["monitors"], loaded["cpu_share"])] if loaded else []
    if points:
        monitors, shares = zip(*sorted(points), strict=True)
        label = "… as a whole daemon, at 80 % with open alerts"
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
