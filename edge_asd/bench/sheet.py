"""A sheet with charts: axes, lines, bars and what is written beside them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from edge_asd.evidence.plot import Box, Scale

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

INK, GREY, LIGHT, PAPER = (20, 20, 20), (95, 95, 95), (225, 225, 225), (255, 255, 255)
BLUE, ORANGE, GREEN, PURPLE = (0, 90, 160), (200, 90, 0), (30, 120, 60), (120, 70, 150)
_SIZES = (12, 14, 22)
_LEGEND = 18  # pixels from one line of a legend to the next


class Sheet:
    """White paper of so many pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._fonts = {size: ImageFont.load_default(size) for size in _SIZES}

    def png(self) -> bytes:
        """The sheet as a file."""
        out = io.BytesIO()
        self._image.quantize(64).save(out, "PNG", optimize=True)
        return out.getvalue()

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 12,
        colour: Colour = INK,
        anchor: str = "lm",
    ) -> None:
        """One line; the font that comes with Pillow has Latin letters only."""
        shown = text.encode("latin-1", "replace").decode("latin-1")
        self._draw.text((x, y), shown, fill=colour, font=self._fonts[size], anchor=anchor)

    def width_of(self, text: str, size: int = 12) -> float:
        """Pixels that a line takes."""
        return self._fonts[size].getlength(text)

    def heading(self, box: Box, text: str) -> None:
        """Name a chart."""
        self.text(box.left, box.top - 14, text, size=14)

    def axes(self, box: Box, across: Scale, up: Scale, *, below: str, powers: bool = False) -> None:
        """A frame, a grid and its numbers; with ``powers`` those below are powers of ten."""
        for value in up.ticks(6):
            y = up.pixel(value)
            self._draw.line((box.left, y, box.right - 1, y), fill=LIGHT)
            self.text(box.left - 6, y, f"{value:g}", anchor="rm")
        whole = range(math.ceil(across.low), math.floor(across.high) + 1)
        for value in whole if powers else across.ticks(8):
            x, shown = across.pixel(value), 10.0**value if powers else value
            self._draw.line((x, box.top, x, box.bottom - 1), fill=LIGHT)
            self.text(x, box.bottom + 11, f"{shown:g}", anchor="mm")
        self._draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=INK)
        self.text((box.left + box.right) / 2, box.bottom + 28, below, colour=GREY, anchor="mm")

    def line(
        self, across: Scale, up: Scale, points: Points, colour: Colour, *, dots: bool = False
    ) -> None:
        """Points joined by a line; what lies above the chart is drawn at its edge."""
        pixels = [(across.pixel(x), up.pixel(min(y, up.high))) for x, y in points]
        self._draw.line(pixels, fill=colour, width=2)
        for x, y in pixels if dots else ():
            self._draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)

    def level(self, box: Box, up: Scale, value: float, text: str) -> None:
        """A dashed line right across, named."""
        y = up.pixel(value)
        for x in range(box.left, box.right - 4, 8):
            self._draw.line((x, y, x + 4, y), fill=GREY)
        self.text(box.left + 6, y - 8, text, colour=GREY)

    def bar(self, box: Box, colour: Colour) -> None:
        """A filled rectangle."""
        self._draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), fill=colour)

    def legend(self, box: Box, entries: Sequence[tuple[str, Colour]]) -> None:
        """What the colours mean, in the upper left corner of a chart."""
        for number, (text, colour) in enumerate(entries):
            y = box.top + 12 + _LEGEND * number
            self._draw.line((box.left + 10, y, box.left + 30, y), fill=colour, width=3)
            self.text(box.left + 36, y, text)
