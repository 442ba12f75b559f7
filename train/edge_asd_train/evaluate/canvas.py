"""What the pictures of an evaluation have in common: colours, sizes, a grid of panels, the file.

Colours are those of Okabe and Ito, which colour-blind people tell apart; line styles and markers
say the same once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_asd.errors import StorageError

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, BLACK)
STYLES = ("-", "--", "-.", ":")

DPI = 100
WIDTH = 12.0  # inches: 1200 px
_COLUMNS = 4

Shown = TypeVar("Shown")


def grid(
    path: Path,
    items: Sequence[Shown],
    panel: Callable[[Axes, Shown], None],
    title: str,
    axis_labels: tuple[str, str],
    *,
    legend: bool = False,
) -> None:
    """Write one panel an item, four in a row.

    Args:
        path: Where to.
        items: What is shown, at least one.
        panel: Draws an item.
        title: Above the picture.
        axis_labels: Below and to the left of the panels at the edge.
        legend: Put one for all panels below them.

    Raises:
        StorageError: The picture cannot be written.
    """
    columns = min(_COLUMNS, len(items))
    rows = -(-len(items) // columns)
    height = WIDTH / columns * 0.95 * rows + 0.8
    figure = Figure(figsize=(WIDTH, min(height, 6.5 * rows + 0.8)), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for number, (axes, item) in enumerate(zip(panels.flat, items, strict=False)):
        panel(axes, item)
        if number + columns >= len(items):
            axes.set_xlabel(axis_labels[0])
        if number % columns == 0:
            axes.set_ylabel(axis_labels[1])
    for axes in panels.flat[len(items) :]:
        axes.set_visible(False)
    if legend:
        shown = [axes.get_legend_handles_labels() for axes in panels.flat]
        named = {label: handle for handles in shown for handle, label in zip(*handles, strict=True)}
        figure.legend(
            list(named.values()), list(named), loc="outside lower center", ncols=len(named)
        )
    figure.suptitle(title)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a picture.

    Raises:
        StorageError: It cannot be written.
    """
    try:
        figure.savefig(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot write the picture: {error.strerror}") from error
