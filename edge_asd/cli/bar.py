"""A progress bar on stderr; for what mostly takes no time it appears late."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

PATIENCE_S = 1.0
"""For what mostly takes no time."""


class Bar:
    """See the module; silent where nobody watches.

    Args:
        quiet: Never appear.
        after_s: Appear once it has taken so long.
        clock: Monotonic seconds.
    """

    def __init__(
        self, *, quiet: bool, after_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._after_s = clock, after_s
        self._from_s = clock()
        self._shown = False
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()

    def update(self, done: float, text: str) -> None:
        """Show the share that is done, once it has taken long enough."""
        if not self._shown and self._clock() - self._from_s >= self._after_s:
            self._shown = True
            self._progress.start()
        self._progress.update(self._task, completed=done, description=text)
