"""The sheet an alert is drawn on: panels, axes, colour bars and what is written beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_asd.evidence.colours import ByteArray, difference_colours, level_colours, painted
from edge_asd.evidence.compare import Comparison, Deviation, Heard
from edge_asd.evidence.plot import Box, Scale, coarsened, frequency_row, frequency_ticks
from edge_asd.evidence.tap import Marks
from edge_asd.evidence.view import FrontEnd
from edge_asd.records import FloatArray

WIDTH, HEIGHT = 1200, 700
LEFT = 70
"""Where the text begins."""

_Colour = tuple[int, int, int]
_INK, _GREY, _LIGHT, _PAPER = (20, 20, 20), (95, 95, 95), (205, 205, 205), (255, 255, 255)
_NOW = (190, 80, 0)
_BAR_GAP, _BAR_WIDTH = 16, 14
_LINE = 19  # pixels from one label to the next


class Page:
    """A sheet of 1200 x 700 pixels; times are seconds from the start of the alert.

    Args:
        front_end: The frequency axis of all panels.
        squares: Panels are drawn in squares of so many pixels.
    """

    def __init__(self, front_end: FrontEnd, squares: int = 1) -> None:
        self.front_end, self.squares = front_end, squares
        self._image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._fonts = {size: ImageFont.load_default(size) for size in (12, 13, 15, 22)}

    def png(self) -> bytes:
        """The sheet as a file."""
        out = io.BytesIO()
        indexed(np.asarray(self._image)).save(out, "PNG", optimize=True)
        return out.getvalue()

    def caption(self, title: str, lines: Sequence[str], note: str) -> None:
        """A title, the lines below it, and a note at the foot."""
        self._text(LEFT, 22, title, 22)
        for number, line in enumerate(lines):
            self._text(LEFT, 47 + 18 * number, line, 15, _GREY)
        self._text(LEFT, HEIGHT - 12, note)

    def heading(self, box: Box, text: str) -> None:
        """Name a panel."""
        self._text(box.left, box.top - 11, text, 13, _GREY)

    def foot(self, box: Box, text: str) -> None:
        """Name what the axis below a panel counts."""
        self._text((box.left + box.right) / 2, box.bottom + 28, text, 12, _GREY, anchor="mm")

    def levels(self, box: Box, picture: FloatArray, low: float, high: float) -> None:
        """Levels (H, W) in dB as colours between two of them."""
        self._paste(box, painted(coarsened(picture, self.squares), low, high, level_colours()))

    def differences(self, box: Box, picture: FloatArray, extent: float) -> None:
        """Differences (H, W) in dB as colours, up to an extent either way."""
        colours = difference_colours()
        self._paste(box, painted(coarsened(picture, self.squares), -extent, extent, colours))

    def bar(self, beside: Box, low: float, high: float, *, sign: bool = False) -> None:
        """What the colours of a panel mean; ``sign`` for differences."""
        left = beside.right + _BAR_GAP
        box = Box(left, beside.top, left + _BAR_WIDTH, beside.bottom)
        ramp = np.linspace(high, low, box.height)[:, None].repeat(box.width, axis=1)
        self._paste(
            box, painted(ramp, low, high, difference_colours() if sign else level_colours())
        )
        self._frame(box)
        scale = Scale(low, high, box.bottom - 1, box.top)
        for value in scale.ticks(8):
            y = scale.pixel(value)
            self._draw.line((box.right, y, box.right + 4, y), fill=_INK)
            self._text(box.right + 8, y, f"{value:+g}" if sign and value else f"{value:g}", 12)
        self._text(box.left, box.top - 11, "dB", 12, _GREY)

    def axes(self, box: Box, across: Scale, *, named: bool) -> None:
        """Frame, numbers below and, where named, frequencies at the left."""
        self._frame(box)
        for value in across.ticks(max(3, box.width // 70)):
            x = across.pixel(value)
            self._draw.line((x, box.bottom, x, box.bottom + 4), fill=_INK)
            self._text(x, box.bottom + 12, f"{value:g}", 12, anchor="mm")
        for row, text in frequency_ticks(self.front_end, box):
            self._draw.line((box.left - 4, row, box.left - 1, row), fill=_INK)
            if named:
                self._text(box.left - 7, row, text, 12, anchor="rm")

    def marks(self, box: Box, time: Scale, marks: Marks, *, on_dark: bool) -> None:
        """Where the alert begins and, dashed, where it was raised; named where it is dark.

        A bar above shows what it rests on: the windows that counted.
        """
        raised_s = marks.decided_s - marks.event_s
        ends = (time.pixel(marks.evidence_s - marks.event_s), time.pixel(raised_s))
        left, right = (min(max(x, box.left), box.right - 1) for x in ends)
        self._draw.rectangle((left, box.top - 4, right, box.top - 2), fill=_GREY)
        for seconds, text, dash in ((0.0, "begins", box.height), (raised_s, "raised", 6)):
            x = time.pixel(seconds)
            if not box.left < x < box.right - 1:
                continue
            for top in range(box.top, box.bottom, 2 * dash):
                end = min(top + dash, box.bottom) - 1
                self._draw.line((x, top, x, end), fill=_PAPER if on_dark else _INK, width=2)
            tip = [(x - 5, box.top - 8), (x + 5, box.top - 8), (x, box.top)]
            self._draw.polygon(tip, fill=_INK)
            if on_dark:
                self._text(x, box.top - 16, text, 12, anchor="mm")

    def deviations(self, box: Box, span: tuple[int, int], found: Sequence[Deviation]) -> None:
        """Outline bands that stand out between two columns, and say by how much."""
        left, right = (min(max(x, box.left + 1), box.right - 2) for x in span)
        found = sorted(found, key=lambda one: -one.from_hz)  # from the top
        middles = []
        for one in found:
            top = frequency_row(self.front_end, box, one.to_hz)
            bottom = frequency_row(self.front_end, box, one.from_hz)
            # Around the bands, not over them: they may be a pixel high.
            self._draw.rectangle((left, top - 2, right, bottom + 2), outline=_INK)
            middles.append((top + bottom) / 2)
        for one, middle, y in zip(found, middles, spaced(middles, box), strict=True):
            self._label(box, (left, middle), y, one.text)

    def shape(self, box: Box, heard: Heard, comparison: Comparison) -> None:
        """Mean level of every band: enrolled, with twice its spread to either side, and now."""
        normal, now = comparison.normal, heard.levels.mean_db
        usual, spread = normal.usual.mean_db, 2 * normal.spread.mean_db
        low = float(min(usual.min(), now.min())) - 2.0
        high = float(max(usual.max(), now.max())) + 2.0
        scale = Scale(low, high, box.left, box.right - 1)
        rows = [frequency_row(self.front_end, box, hz) for hz in self.front_end.centres_hz]

        def line(values: FloatArray) -> list[tuple[int, int]]:
            inside = np.clip(values, low, high)
            return [(scale.pixel(v), y) for v, y in zip(inside, rows, strict=True)]

        self._draw.polygon([*line(usual - spread), *line(usual + spread)[::-1]], fill=_LIGHT)
        self._draw.line(line(usual), fill=_GREY, width=2)
        self._draw.line(line(now), fill=_NOW, width=2)
        self.axes(box, scale, named=True)
        self._text(box.right - 6, box.top + 12, "normal", 12, _GREY, anchor="rm")
        self._text(box.right - 6, box.top + 27, "alert", 12, _NOW, anchor="rm")

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 13,
        colour: _Colour = _INK,
        *,
        anchor: str = "lm",
    ) -> None:
        # The font that comes with Pillow has Latin letters only.
        shown = text.encode("latin-1", "replace").decode("latin-1")
        self._draw.text((x, y), shown, fill=colour, font=self._fonts[size], anchor=anchor)

    def _label(self, box: Box, target: tuple[int, float], y: float, text: str) -> None:
        """A line on paper at the left edge with a leader to its target; beside it if too near."""
        width = round(self._fonts[13].getlength(text))
        left = box.left + 8
        if left + width + 16 <= target[0]:
            self._draw.line((left + width, y, target[0], target[1]), fill=_INK)
        else:
            left = min(target[0] + 8, box.right - width - 8)
        self._draw.rectangle((left - 4, y - 9, left + width + 4, y + 9), fill=_PAPER)
        self._text(left, y, text)

    def _paste(self, box: Box, pixels: ByteArray) -> None:
        self._image.paste(Image.fromarray(np.ascontiguousarray(pixels)), (box.left, box.top))

    def _frame(self, box: Box) -> None:
        corners = (box.left - 1, box.top - 1, box.right, box.bottom)
        self._draw.rectangle(corners, outline=_INK)


def indexed(pixels: ByteArray) -> Image.Image:
    """Pixels (H, W, 3) in 256 colours: a third of the file, and the panels stay as they are.

    The colours of the maps are kept, the others are those used most; rarer ones, at the edges of
    letters, take the nearest of them.
    """
    packing = np.asarray([65536, 256, 1], np.uint32)
    packed = pixels.astype(np.uint32) @ packing
    found, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    maps = np.concatenate([level_colours(), difference_colours()]).astype(np.uint32)
    counts[np.isin(found, maps @ packing)] += packed.size
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.int64)
    kept = np.argsort(-counts, kind="stable")[:256]
    nearest = np.square(colours[:, None] - colours[kept]).sum(axis=2).argmin(axis=1)
    image = Image.fromarray(nearest.astype(np.uint8)[index.reshape(packed.shape)])
    image.putpalette(colours[kept].astype(np.uint8).tobytes())
    return image


def spaced(wanted: Sequence[float], box: Box) -> list[float]:
    """Heights of labels near the wanted ones, in their order, none of which covers another.

    Args:
        wanted: Ascending.
        box: Which they stay in, if they fit.
    """
    placed: list[float] = []
    lowest = box.top + 10.0
    for y in wanted:
        placed.append(max(y, lowest))
        lowest = placed[-1] + _LINE
    highest = box.bottom - 10.0
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], highest)
        highest = placed[index] - _LINE
    return placed
