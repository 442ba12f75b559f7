"""The log of a run: a CSV file with one row a step."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edge_asd.errors import StorageError


class StepLog:
    """Rows of step, learning rate, seconds and loss terms.

    Args:
        file: Open for writing text.
        empty: Whether the header is still to be written.
    """

    def __init__(self, file: TextIO, *, empty: bool) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._empty = empty

    def write(self, step: int, terms: dict[str, float], rate: float, seconds: float) -> None:
        """Append a row and hand it to the operating system."""
        if self._empty:
            self._writer.writerow(["step", "learning_rate", "seconds", *terms])
            self._empty = False
        numbers = [f"{value:.6g}" for value in (rate, seconds, *terms.values())]
        self._writer.writerow([step, *numbers])
        self._file.flush()


@contextmanager
def step_log(path: Path, step: int) -> Iterator[StepLog]:
    """Open the log of a run that stands at ``step``; later rows, which will be redone, go.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        kept: list[str] = []
        if step and path.is_file():
            kept = path.read_text(encoding="utf-8").splitlines()[: step + 1]  # header, then steps
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in kept)
            yield StepLog(file, empty=not kept)
    except OSError as error:
        raise StorageError(f"{path}: cannot write the log: {error.strerror}") from error
