"""What the commands share: errors as one line, progress bars, Ctrl-C as a wish."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from edge_asd.errors import EdgeAsdError

INTERRUPTED = 130
_SAME_S = 1.0
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class CommandGroup(click.Group):
    """Commands whose foreseen errors are one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; see the class."""
        try:
            return super().invoke(ctx)
        except EdgeAsdError as error:
            click.echo(f"edge-asd-train: {error}", err=True)
            sys.exit(error.exit_code)


@contextmanager
def progress_bars(*, shown: bool = True) -> Iterator[Progress]:
    """Bars on standard error; a task has a field ``terms`` for its numbers."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[terms]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bars:
        yield bars


@contextmanager
def interruptible(
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a wish to stop; another Ctrl-C ends at once.

    A second one within a second counts as the same: ``torchrun`` passes on a Ctrl-C that the
    terminal has sent to every process already.
    """
    asked_at: float | None = None

    def ask(number: int, _frame: object) -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = clock()
        elif number == signal.SIGINT and clock() - asked_at > _SAME_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked_at is not None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
