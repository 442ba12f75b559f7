"""Draws the dashboards from a Prometheus, with the dashboards' own queries and layout.

    python tools/dashboard_pictures.py --prometheus http://localhost:9090 --begin T --end T

Grafana is not needed, and draws the same in its own style. T is in seconds since 1970.
"""

from __future__ import annotations

import argparse
import json
import math
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from matplotlib import dates, patches, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards"
COLUMNS, COLUMN_IN, ROW_IN = 24, 0.58, 0.31
HEAD_IN = 0.42
INK, FAINT, PAPER, CARD = "#22252b", "#70757f", "#eef0f3", "#ffffff"
COLOURS = {
    "green": "#56a64b",
    "orange": "#ff9830",
    "red": "#e02f44",
    "purple": "#a352cc",
    "blue": "#5794f2",
}
CYCLE = ("#3274d9", "#ff780a", "#56a64b", "#a352cc", "#e02f44", "#0aa3a3", "#8f3bb8", "#b877d9")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve."""

    labels: dict[str, str]
    legend: str
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """What is drawn: times in seconds since 1970, and the values of the dashboard's variables."""

    begin_s: float
    end_s: float
    step_s: float
    variables: dict[str, str]


class Prometheus:
    """Answers queries."""

    def __init__(self, address: str, span: Span) -> None:
        self._address, self.span = address, span

    def series(self, target: Json) -> list[Series]:
        """The curves of a query."""
        span, query = self.span, target["expr"]
        for name, value in span.variables.items():
            query = query.replace(name, value)
        if target["instant"]:
            answer = self._ask("query", query=query, time=span.end_s)
            values = [[one["value"]] for one in answer]
        else:
            limits = {"start": span.begin_s, "end": span.end_s, "step": span.step_s}
            answer = self._ask("query_range", query=query, **limits)
            values = [one["values"] for one in answer]
        return [
            Series(one["metric"], _legend(target["legendFormat"], one["metric"]), _points(points))
            for one, points in zip(answer, values, strict=True)
        ]

    def _ask(self, path: str, **arguments: object) -> list[Json]:
        url = f"{self._address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return list(json.load(answer)["data"]["result"])


def _legend(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def _points(values: list[list[Any]]) -> list[tuple[float, float]]:
    return [(float(at), float(value)) for at, value in values]


def _number(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit, short."""
    if math.isnan(value):
        return ""
    scale, name = _scaled(unit, abs(value))
    digits = f".{decimals}f" if decimals is not None else ".3g"
    return f"{value / scale:{digits}} {name}".strip()


def _scaled(unit: str, largest: float) -> tuple[float, str]:
    """What values of a unit are divided by to be read easily, and what the quotient is called."""
    if unit == "s":
        if 0 < largest < 1:
            return 1e-3, "ms"
        return (60.0, "min") if largest > 120 else (1.0, "s")
    known = {"percentunit": (0.01, "%"), "bytes": (2.0**20, "MiB"), "dB": (1.0, "dB")}
    return known.get(unit, (1.0, "/s" if unit == "ops" else ""))


def _colour(name: str) -> str:
    return COLOURS.get(name, name)


def _mapping(panel: Json) -> dict[int, Json]:
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    return {int(value): text for value, text in mappings[0]["options"].items()} if mappings else {}


def _draw_stat(axes: Axes, panel: Json, found: list[Series], _span: Span) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    value = found[0].points[-1][1] if found and found[0].points else math.nan
    known = _mapping(panel).get(int(value)) if not math.isnan(value) else None
    if known is not None:
        text, colour = known["text"], known["color"]
    else:
        text = _number(value, defaults["unit"], defaults.get("decimals")) or "no data"
        steps = defaults["thresholds"]["steps"]
        colour = [s["color"] for s in steps if s["value"] is None or value >= s["value"]][-1]
    axes.axis("off")
    size = 25 if len(text) < 6 else 19
    axes.text(
        0.5, 0.45, text, color=_colour(colour), fontsize=size, ha="center", va="center",
        fontweight="bold", transform=axes.transAxes,
    )  # fmt: skip


def _draw_table(axes: Axes, panel: Json, found: list[Series], _span: Span) -> None:
    axes.axis("off")
    names = panel["transformations"][0]["options"]["include"]["names"]
    rows = [[series.labels.get(name, "") for name in names] for series in found]
    widths = [max(len(row[i]) for row in [names, *rows]) + 3 for i in range(len(names))]
    left = [sum(widths[:i]) / sum(widths) for i in range(len(widths))]
    for line, row in enumerate([names, *rows]):
        for x, cell in zip(left, row, strict=True):
            weight, colour = ("bold", FAINT) if line == 0 else ("normal", INK)
            axes.text(
                x, 0.93 - 0.16 * line, cell, fontsize=8, color=colour, fontweight=weight,
                transform=axes.transAxes,
            )  # fmt: skip


def _wall(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, tz=timezone.utc)


def _time_axis(axes: Axes, span: Span) -> None:
    axes.set_xlim(_wall(span.begin_s), _wall(span.end_s))  # type: ignore[arg-type]
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=7))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.tick_params(labelsize=7, colors=FAINT, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_curves(axes: Axes, panel: Json, found: list[Series], span: Span) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = sorted(found, key=lambda series: series.legend)
    largest = max((abs(value) for one in found for _, value in one.points), default=0.0)
    scale, unit = _scaled(defaults["unit"], largest)
    if defaults["custom"]["stacking"]["mode"] == "normal":
        times = sorted({at for series in found for at, _ in series.points})
        known = [dict(series.points) for series in found]
        axes.stackplot(
            [_wall(at) for at in times],  # type: ignore[arg-type]
            *([values.get(at, 0.0) / scale for at in times] for values in known),
            labels=[series.legend for series in found],
            colors=CYCLE,
            alpha=0.75,
            linewidth=0,
        )
    else:
        for index, series in enumerate(found):
            points = _with_gaps(series.points, span.step_s)
            axes.plot(
                [_wall(at) for at, _ in points],  # type: ignore[arg-type]
                [value / scale for _, value in points],
                color=CYCLE[index % len(CYCLE)],
                linewidth=1.1,
                label=series.legend,
            )
    _time_axis(axes, span)
    axes.grid(axis="y", color="#e3e5e8", linewidth=0.6)
    if "min" in defaults:
        axes.set_ylim(bottom=defaults["min"] / scale)
    if "max" in defaults or not largest:
        axes.set_ylim(top=defaults.get("max", scale) / scale)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=defaults["unit"] == "short"))
    axes.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: f"{value:.4g} {unit}".strip())
    )
    if found:
        axes.legend(
            loc="upper left", bbox_to_anchor=(-0.02, -0.12), ncols=_legend_columns(panel),
            fontsize=6.5, frameon=False, handlelength=1.0, labelcolor=INK, columnspacing=1.2,
        )  # fmt: skip
    else:
        axes.text(0.5, 0.5, "no data", color=FAINT, ha="center", transform=axes.transAxes)


def _legend_columns(panel: Json) -> int:
    return max(1, min(4, round(panel["gridPos"]["w"] / 4)))


def _with_gaps(points: list[tuple[float, float]], step_s: float) -> list[tuple[float, float]]:
    """The same curve, broken where samples are missing."""
    found: list[tuple[float, float]] = []
    for at, value in points:
        if found and at - found[-1][0] > 2.5 * step_s:
            found.append((at - step_s, math.nan))
        found.append((at, value))
    return found


def _draw_states(axes: Axes, panel: Json, found: list[Series], span: Span) -> None:
    known = _mapping(panel)
    found = sorted(found, key=lambda series: series.legend, reverse=True)
    for row, series in enumerate(found):
        for begin_s, end_s, value in _stretches(series.points, span.step_s):
            shown = known.get(int(value), {"text": f"{value:g}", "color": FAINT})
            begin, end = (dates.date2num(_wall(at)) for at in (begin_s, end_s))
            axes.add_patch(
                patches.Rectangle(
                    (begin, row - 0.4), end - begin, 0.8, color=_colour(shown["color"]), linewidth=0
                )
            )
            share = (end_s - begin_s) / (span.end_s - span.begin_s)
            if share * panel["gridPos"]["w"] > 0.16 * len(shown["text"]):
                axes.text(
                    (begin + end) / 2, row, shown["text"], fontsize=6.5, color="white",
                    ha="center", va="center",
                )  # fmt: skip
    _time_axis(axes, span)
    axes.set_ylim(-0.6, max(len(found), 1) - 0.4)
    axes.set_yticks(range(len(found)), [series.legend for series in found])
    if not found:
        axes.text(0.5, 0.5, "none", color=FAINT, ha="center", transform=axes.transAxes)


def _stretches(
    points: list[tuple[float, float]], step_s: float
) -> list[tuple[float, float, float]]:
    """(begin, end, value) of what stays the same."""
    found: list[tuple[float, float, float]] = []
    for at, value in (point for point in points if not math.isnan(point[1])):
        if found and found[-1][2] == value and at - found[-1][1] < 2.5 * step_s:
            found[-1] = (found[-1][0], at, value)
        else:
            if found and at - found[-1][1] < 2.5 * step_s:
                found[-1] = (found[-1][0], at, found[-1][2])
            found.append((at, at + step_s, value))
    return found


_DRAW: dict[str, Callable[[Axes, Json, list[Series], Span], None]] = {
    "stat": _draw_stat,
    "timeseries": _draw_curves,
    "state-timeline": _draw_states,
    "table": _draw_table,
}


def draw(dashboard: Json, prometheus: Prometheus, caption: str) -> Figure:
    """A dashboard as a picture."""
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    size = (COLUMNS * COLUMN_IN, height * ROW_IN + HEAD_IN)
    figure = Figure(figsize=size, facecolor=PAPER)
    top = size[1] - HEAD_IN
    figure.text(0.008, 1 - 0.2 / size[1], dashboard["title"], fontsize=13, color=INK, va="center")
    figure.text(0.992, 1 - 0.2 / size[1], caption, fontsize=8, color=FAINT, va="center", ha="right")
    for panel in panels:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN_IN, top - (place["y"] + place["h"]) * ROW_IN
        wide, high = place["w"] * COLUMN_IN, place["h"] * ROW_IN
        _card(figure, (x, y, wide, high), panel["title"])
        found = [one for target in panel["targets"] for one in prometheus.series(target)]
        axes = figure.add_axes(_inside(panel, (x, y, wide, high), size, found), facecolor="none")
        _DRAW[panel["type"]](axes, panel, found, prometheus.span)
    return figure


def _card(figure: Figure, box: tuple[float, float, float, float], title: str) -> None:
    wide, high = figure.get_size_inches()
    x, y, w, h = box
    figure.add_artist(
        patches.Rectangle(
            ((x + 0.04) / wide, (y + 0.04) / high),
            (w - 0.08) / wide,
            (h - 0.08) / high,
            facecolor=CARD,
            edgecolor="#d5d8dc",
            linewidth=0.6,
            transform=figure.transFigure,
            zorder=-1,
        )
    )
    figure.text(
        (x + 0.14) / wide, (y + h - 0.2) / high, title, fontsize=8.5, color=INK, va="center",
        fontweight="bold",
    )  # fmt: skip


def _inside(
    panel: Json, box: tuple[float, float, float, float], size: tuple[float, float], found: list[Any]
) -> tuple[float, float, float, float]:
    """Where the axes of a panel lie, as shares of the figure."""
    x, y, w, h = box
    left, right, above, below = 0.18, 0.18, 0.34, 0.14
    if panel["type"] == "timeseries":
        left, below = 0.68, 0.38 + 0.16 * math.ceil(len(found) / _legend_columns(panel))
    if panel["type"] == "state-timeline":
        longest = max((len(one.legend) for one in found), default=4)
        left, below = 0.3 + 0.062 * longest, 0.34
    return (
        (x + left) / size[0],
        (y + below) / size[1],
        (w - left - right) / size[0],
        (h - above - below) / size[1],
    )


def main() -> None:
    """Draw both dashboards."""
    parser = argparse.ArgumentParser(description="Draw the dashboards.")
    parser.add_argument("--prometheus", default="http://localhost:9090", metavar="URL")
    parser.add_argument("--begin", type=float, required=True, metavar="T")
    parser.add_argument("--end", type=float, required=True, metavar="T")
    parser.add_argument("--instance", default="press-hall-3:9108", help="Of the second picture.")
    parser.add_argument("--out", type=Path, default=Path("docs/monitoring"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    variables = {
        "$__rate_interval": "30s",
        "$__range": f"{math.ceil(given.end - given.begin)}s",
        "$job": "edge-asd",
        "$instance": given.instance,
        "$monitor": ".*",
    }
    span = Span(given.begin, given.end, 5.0, variables)
    captions = {"fleet": "", "device": f"Device {given.instance}"}
    for name, caption in captions.items():
        dashboard = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        figure = draw(dashboard, Prometheus(given.prometheus, span), caption)
        figure.savefig(given.out / f"{name}.png", dpi=100)


if __name__ == "__main__":
    main()
