"""What was measured as one picture: stages, capacity, lateness, latency."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_asd.bench.lateness import SHARE_OF_HOP
from edge_asd.bench.machine import summary
from edge_asd.bench.result import BenchResult, Capacity, Delivery, Throughput
from edge_asd.bench.sheet import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, Sheet
from edge_asd.evidence.plot import Box, Scale

_WIDTH, _HEIGHT = 1200, 760
_STAGES = Box(60, 130, 580, 330)
_BUSY = Box(660, 130, 1170, 330)
_LATE = Box(60, 430, 580, 690)
_DELIVERY = Box(660, 430, 1170, 690)
_HEADROOM = 1.05


def draw(result: BenchResult) -> bytes:
    """Draw a result as a PNG; a chart of what was not measured says why."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    title = f"{result.bundle} on {result.engine} {result.precision}"
    sheet.text(_STAGES.left, 34, title, size=22)
    sheet.text(_STAGES.left, 64, summary(result.machine), size=14, colour=GREY)
    missing = result.missing
    sheet.heading(_STAGES, "Time of one window, ms")
    if result.throughput:
        _stages(sheet, _STAGES, result.throughput)
    else:
        _absent(sheet, _STAGES, missing.get("engine_windows_per_s", ""))
    sheet.heading(_BUSY, "Monitors of one core: how busy it is, %")
    sheet.heading(_LATE, "Monitors of one core: windows judged so late, ms")
    if result.capacity and result.capacity.points:
        _busy(sheet, _BUSY, result.capacity)
        _late(sheet, _LATE, result.capacity)
    else:
        for box in (_BUSY, _LATE):
            _absent(sheet, box, missing.get("monitors_per_core", ""))
    sheet.heading(_DELIVERY, "Last sample until PUBACK: share of events, %")
    deliveries = [one for one in (result.latency, result.loaded) if one]
    if deliveries:
        _delivery(sheet, _DELIVERY, deliveries)
    else:
        _absent(sheet, _DELIVERY, missing.get("latency_ms", ""))
    return sheet.png()


def _absent(sheet: Sheet, box: Box, reason: str) -> None:
    words, line, y = f"not measured: {reason}".split(), "", box.top + 20
    for word in words:
        if sheet.width_of(f"{line} {word}") > box.width:
            sheet.text(box.left, y, line, colour=GREY)
            line, y = "", y + 18
        line = f"{line} {word}".strip()
    sheet.text(box.left, y, line, colour=GREY)


def _stages(sheet: Sheet, box: Box, found: Throughput) -> None:
    stages = found.stages_ms
    parts = (
        ("features", stages.features, BLUE),
        ("engine", stages.inference, ORANGE),
        ("score", stages.score, GREEN),
        ("rest", stages.rest, PURPLE),
    )
    whole = sum(value for _, value, _ in parts) or 1.0
    across = Scale(0.0, whole, box.left, box.right)
    begin = 0.0
    for number, (name, value, colour) in enumerate(parts):
        left, right = across.pixel(begin), across.pixel(begin + value)
        if right > left:
            sheet.bar(Box(left, box.top + 10, right, box.top + 60), colour)
        begin += value
        y = box.top + 84 + 20 * number
        sheet.bar(Box(box.left, y - 6, box.left + 12, y + 6), colour)
        sheet.text(box.left + 20, y, f"{name} {value:.2f} ms, {100 * value / whole:.0f} %")
    for number, (name, spread) in enumerate(
        (("engine alone", found.engine), ("whole pipeline", found.pipeline))
    ):
        text = f"{name}: {spread.median:.1f} windows/s"
        sheet.text(box.left + 250, box.top + 84 + 20 * number, text, size=14)
    ratio = found.pipeline.median / found.engine.median
    sheet.text(box.left + 250, box.top + 124, f"ratio {ratio:.2f}", size=14)


def _busy(sheet: Sheet, box: Box, found: Capacity) -> None:
    across = Scale(0.0, _HEADROOM * found.points[-1].monitors, box.left, box.right - 1)
    up = Scale(0.0, 120.0, box.bottom - 1, box.top)
    sheet.axes(box, across, up, below="monitors")
    sheet.level(box, up, 100.0, "one core")
    points = [(float(point.monitors), 100.0 * point.busy) for point in found.points]
    sheet.line(across, up, [(0.0, 0.0), *points], BLUE, dots=True)
    _mark(sheet, box, across, found)


def _late(sheet: Sheet, box: Box, found: Capacity) -> None:
    bound = 1e3 * SHARE_OF_HOP * found.hop_s
    across = Scale(0.0, _HEADROOM * found.points[-1].monitors, box.left, box.right - 1)
    up = Scale(0.0, 1.5 * bound, box.bottom - 1, box.top)
    sheet.axes(box, across, up, below="monitors")
    sheet.level(box, up, bound, "half a hop")
    for colour, values in (
        (ORANGE, [point.lateness_ms.p99 for point in found.points]),
        (BLUE, [point.lateness_ms.p50 for point in found.points]),
    ):
        points = [(float(p.monitors), v) for p, v in zip(found.points, values, strict=True)]
        sheet.line(across, up, points, colour, dots=True)
    sheet.legend(box, [("99 of 100 windows", ORANGE), ("half of the windows", BLUE)])
    _mark(sheet, box, across, found)


def _mark(sheet: Sheet, box: Box, across: Scale, found: Capacity) -> None:
    """The capacity."""
    if found.monitors:
        x = across.pixel(found.monitors)
        sheet.bar(Box(x, box.top, x + 1, box.bottom), GREY)
        sheet.text(x - 6, box.bottom - 14, f"sustained: {found.monitors}", colour=INK, anchor="rm")


def _delivery(sheet: Sheet, box: Box, deliveries: Sequence[Delivery]) -> None:
    """Cumulative: how many events were there after so long."""
    longest = max(one.latency_ms.worst for one in deliveries)
    decades = max(2, math.ceil(math.log10(longest)))
    across = Scale(0.0, decades, box.left, box.right - 1)
    up = Scale(0.0, 100.0, box.bottom - 1, box.top)
    sheet.axes(box, across, up, below="ms", powers=True)
    entries = []
    for one, colour in zip(deliveries, (BLUE, ORANGE), strict=False):
        delays = [math.log10(max(1.0, delay)) for delay in sorted(one.delays_ms)]
        shares = [100.0 * number / len(delays) for number in range(len(delays) + 1)]
        # A step up at every delay: (delay, share before), (delay, share from then on).
        steps = [(x, share) for n, x in enumerate(delays) for share in shares[n : n + 2]]
        sheet.line(across, up, [(0.0, 0.0), *steps, (across.high, 100.0)], colour)
        who = "one monitor" if one.monitors == 1 else f"{one.monitors} monitors"
        entries.append((f"{who}: p99 {one.latency_ms.p99:.0f} ms", colour))
    for number, (text, colour) in enumerate(entries):
        sheet.text(box.right - 10, box.bottom - 16 - 18 * number, text, colour=colour, anchor="rm")
