"""The logs of a run: a CSV file with one row a step and, where wanted, TensorBoard's."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO

from edge_asd.errors import StorageError, UsageError

TENSORBOARD = "tensorboard"
"""Folder of TensorBoard's log within that of a run."""


class StepLog(Protocol):
    """Takes one row a step."""

    def write(self, step: int, terms: dict[str, float], rate: float, seconds: float) -> None:
        """Append loss terms, learning rate and time spent so far."""


class CsvLog:
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
        """Append a row and hand it to the operating system.

        Raises:
            StorageError: It cannot be written.
        """
        numbers = [f"{value:.6g}" for value in (rate, seconds, *terms.values())]
        try:
            if self._empty:
                self._writer.writerow(["step", "learning_rate", "seconds", *terms])
                self._empty = False
            self._writer.writerow([step, *numbers])
            self._file.flush()
        except OSError as error:
            raise _cannot_write(self._file.name, error) from error


class TensorBoardLog:
    """Curves for TensorBoard; rows after the step at which it is opened go, as they are redone.

    Args:
        folder: Of TensorBoard's files.
        step: Where the run stands.
    """

    def __init__(self, folder: Path, step: int) -> None:
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional package

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, step: int, terms: dict[str, float], rate: float, seconds: float) -> None:
        """Add a point to every curve."""
        for name, value in {**terms, "learning_rate": rate, "seconds": seconds}.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


def check_tensorboard() -> None:
    """Refuse, before anything is done, what lacks its package.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--tensorboard: not installed: pip install tensorboard, or leave it out")


@contextmanager
def csv_log(path: Path, step: int) -> Iterator[CsvLog]:
    """Open the log of a run that stands at ``step``; later rows, which will be redone, go.

    Raises:
        StorageError: The file cannot be written.
    """
    kept: list[str] = []
    try:
        if step and path.is_file():
            kept = path.read_text(encoding="utf-8").splitlines()[: step + 1]  # header, then steps
        file = path.open("w", encoding="utf-8", newline="")
        file.writelines(f"{line}\n" for line in kept)
    except OSError as error:
        raise _cannot_write(str(path), error) from error
    try:
        yield CsvLog(file, empty=not kept)
    finally:
        # Every row was handed over when it was written, or has failed and said so already.
        with suppress(OSError):
            file.close()


@contextmanager
def step_logs(path: Path, step: int, *, tensorboard: bool = False) -> Iterator[list[StepLog]]:
    """Open the logs of a run that stands at ``step``.

    Args:
        path: Of the CSV file; TensorBoard's folder is beside it.
        step: Steps done; rows of later ones go.
        tensorboard: Whether to write TensorBoard's too.

    Raises:
        StorageError: They cannot be written.
        UsageError: TensorBoard is not installed.
    """
    with ExitStack() as stack:
        logs: list[StepLog] = [stack.enter_context(csv_log(path, step))]
        if tensorboard:
            curves = TensorBoardLog(path.parent / TENSORBOARD, step)
            logs.append(stack.enter_context(closing(curves)))
        yield logs


def _cannot_write(path: str, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot write the log: {error.strerror}")
