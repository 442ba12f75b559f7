"""The picture of an alert as the model hears it: normal sound beside it, the difference below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.evidence.compare import Comparison, Heard
from edge_asd.evidence.page import LEFT, Page
from edge_asd.evidence.plot import Box, Scale, raster
from edge_asd.evidence.tap import Marks
from edge_asd.evidence.view import FrontEnd
from edge_asd.records import FloatArray

MAX_BYTES = 200_000

_TOP, _MIDDLE, _LOWER, _BOTTOM, _RIGHT, _GAP = 98, 352, 410, 644, 1096, 26
_LEAST_NORMAL = 150  # pixels
_CALM_S = 0.25  # a difference is averaged over so much time: frames of noise scatter by 5 dB
_FOOT = "seconds from the start of the alert; the bar above marks the windows it rests on"
_SQUARES = (1, 2, 3, 4)  # pixels; coarser where noise makes a file too large


@dataclass(frozen=True, slots=True)
class Caption:
    """What is written around a picture."""

    title: str
    lines: tuple[str, ...]
    note: str = ""
    """At the foot, such as why there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the panels lie; times are seconds from the start of the alert."""

    alert: Box
    time: Scale
    normal: Box | None = None
    normal_time: Scale | None = None
    shape: Box | None = None
    """Mean levels over frequency."""
    difference: Box | None = None


def layout(marks: Marks, clip_s: float, normal_s: float | None) -> Layout:
    """Panels for a clip and, where there is one, an example of normal sound of so many seconds."""
    span = -marks.event_s, clip_s - marks.event_s
    if normal_s is None:
        return Layout(Box(LEFT, _TOP, _RIGHT, _BOTTOM), Scale(*span, LEFT, _RIGHT))
    # A second is as wide in both, so that rhythms can be compared, unless one would vanish.
    width = _RIGHT - LEFT - _GAP
    equal = round(width * normal_s / (normal_s + clip_s))
    split = LEFT + min(max(_LEAST_NORMAL, equal), width // 2)
    left = split + _GAP
    return Layout(
        alert=Box(left, _TOP, _RIGHT, _MIDDLE),
        time=Scale(*span, left, _RIGHT),
        normal=Box(LEFT, _TOP, split, _MIDDLE),
        normal_time=Scale(0.0, normal_s, LEFT, split),
        shape=Box(LEFT, _LOWER, split, _BOTTOM),
        difference=Box(left, _LOWER, _RIGHT, _BOTTOM),
    )


def draw_picture(
    heard: Heard,
    marks: Marks,
    comparison: Comparison | None,
    front_end: FrontEnd,
    caption: Caption,
) -> bytes:
    """Draw an alert.

    Args:
        heard: Its sound as the model hears it.
        marks: Where the alert begins and was raised.
        comparison: Normal sound and what differs, None where that is not known.
        front_end: The frequency axis.
        caption: What is written around it.

    Returns:
        A PNG of 1200 x 700 pixels below 200 kB.
    """
    for squares in _SQUARES:
        page = Page(front_end, squares)
        page.caption(caption.title, caption.lines, caption.note)
        if comparison is None:
            _draw_alone(page, heard, marks)
        else:
            _draw_compared(page, heard, marks, comparison)
        png = page.png()
        if len(png) <= MAX_BYTES:
            break
    return png


def _draw_alone(page: Page, heard: Heard, marks: Marks) -> None:
    places = layout(marks, heard.spectrogram.duration_s, None)
    shown = raster(
        heard.spectrogram.seen_from(marks.event_s), page.front_end, places.alert, places.time
    )
    low, high = _range([shown])
    page.levels(places.alert, shown, low, high)
    page.bar(places.alert, low, high)
    _dress(page, places.alert, places.time, marks, "this alert", named=True, on_dark=True)
    page.foot(places.alert, _FOOT)


def _draw_compared(page: Page, heard: Heard, marks: Marks, comparison: Comparison) -> None:
    example, front_end = comparison.normal.example, page.front_end
    places = layout(marks, heard.spectrogram.duration_s, example.duration_s)
    if not (places.normal and places.normal_time and places.shape and places.difference):
        raise RuntimeError("a layout with normal sound has all panels")
    spectrogram = heard.spectrogram.seen_from(marks.event_s)
    usual = raster(example, front_end, places.normal, places.normal_time)
    shown = raster(spectrogram, front_end, places.alert, places.time)
    low, high = _range([usual, shown])
    page.levels(places.normal, usual, low, high)
    page.axes(places.normal, places.normal_time, named=True)
    page.heading(places.normal, "normal, for comparison")
    page.levels(places.alert, shown, low, high)
    page.bar(places.alert, low, high)
    _dress(page, places.alert, places.time, marks, "this alert", named=False, on_dark=True)

    differing = spectrogram.minus(comparison.normal.usual.mean_db)
    change = raster(differing, front_end, places.difference, places.time, _CALM_S)
    extent = _extent(change)
    page.differences(places.difference, change, extent)
    page.bar(places.difference, -extent, extent, sign=True)
    heading = "difference from normal: orange is louder, blue is softer"
    _dress(page, places.difference, places.time, marks, heading, named=False, on_dark=False)
    begin, end = (places.time.pixel(at_s - marks.event_s) for at_s in heard.span_s)
    found = [one for one in comparison.deviations if one.quantity == "level"]
    page.deviations(places.difference, (begin, end), found)
    page.shape(places.shape, heard, comparison)
    page.heading(places.shape, "mean level, dB")
    page.foot(places.difference, _FOOT)


def _dress(
    page: Page, box: Box, time: Scale, marks: Marks, heading: str, *, named: bool, on_dark: bool
) -> None:
    page.axes(box, time, named=named)
    page.heading(box, heading)
    page.marks(box, time, marks, on_dark=on_dark)


def _range(pictures: Sequence[FloatArray]) -> tuple[float, float]:
    """Levels at the ends of the colours: all but the rarest, and never less than 20 dB."""
    values = np.concatenate([picture[~np.isnan(picture)] for picture in pictures])
    low, high = (float(value) for value in np.percentile(values, (1.0, 99.8)))
    return min(low, high - 20.0), high


def _extent(change: FloatArray) -> float:
    """Decibels at the ends of the colours of a difference."""
    return float(np.clip(np.percentile(np.abs(change[~np.isnan(change)]), 99.5), 6.0, 24.0))
