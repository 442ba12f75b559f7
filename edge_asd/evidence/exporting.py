"""Copies of evidence in a folder or a ZIP file: complete or not there, and never over anything."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from typing_extensions import Self

from edge_asd.errors import DataError, StorageError
from edge_asd.evidence.folders import RECORD
from edge_asd.evidence.records import Kept


@dataclass(frozen=True, slots=True)
class Contents:
    """What evidence consists of."""

    files: dict[str, bytes]
    """By name, with the record that names them."""
    damaged: tuple[str, ...]
    """Names of those that are missing or not as they were written."""


def contents_of(kept: Kept) -> Contents:
    """Read evidence and check it.

    Raises:
        DataError: A file cannot be read.
    """
    files, damaged = {}, []
    for name in (*kept.files, RECORD):
        try:
            files[name] = kept.path(name).read_bytes()
        except FileNotFoundError:  # noqa: PERF203 - removed by hand, or deleted just now
            damaged.append(name)
        except OSError as error:
            raise DataError(f"{kept.path(name)}: cannot be read: {error.strerror}") from error
        else:
            listed = kept.files.get(name)
            if listed and hashlib.sha256(files[name]).hexdigest() != listed.sha256:
                damaged.append(name)
    return Contents(files, tuple(damaged))


class Target(Protocol):
    """Where copies go; a context manager that keeps nothing of what failed."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def add(self, name: str, at: str, files: Mapping[str, bytes]) -> None:
        """Copy one alert as a folder ``name``; ``at`` is when it began, RFC 3339."""


class FolderTarget:
    """A folder that gets a folder an alert; what is in it already stays as it is.

    Raises:
        StorageError: It cannot be written, or an alert is there already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        with _storage(self._path):
            if not self._path.is_dir():
                self._path.mkdir(parents=True)
                self._made.append(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for folder in reversed(self._made):
                shutil.rmtree(folder, ignore_errors=True)

    def add(self, name: str, at: str, files: Mapping[str, bytes]) -> None:  # noqa: ARG002
        """Copy one alert as a folder ``name``."""
        folder = self._path / name
        with _storage(folder):
            folder.mkdir()
            self._made.append(folder)
            for file, data in files.items():
                with (folder / file).open("xb") as copy:
                    copy.write(data)
                    copy.flush()
                    os.fsync(copy.fileno())  # it may be a stick that is about to be pulled out


class ZipTarget:
    """A new ZIP file.

    Raises:
        StorageError: It cannot be written, or is there already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> Self:
        with _storage(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Under its own name at once: a stick may know neither links nor a safe rename.
            self._file = self._path.open("xb")
            self._zip = zipfile.ZipFile(self._file, "w")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None or self._zip is None:
            return
        try:
            with _storage(self._path), self._file:
                self._zip.close()
                self._file.flush()
                os.fsync(self._file.fileno())
        except BaseException:
            self._path.unlink(missing_ok=True)
            if error is None:
                raise
        if error is not None:
            self._path.unlink(missing_ok=True)

    def add(self, name: str, at: str, files: Mapping[str, bytes]) -> None:
        """Copy one alert as a folder ``name`` within the file."""
        year = max(1980, int(at[:4]))  # ZIP knows no earlier one
        month, day, hour, minute, second = (int(at[i : i + 2]) for i in (5, 8, 11, 14, 17))
        assert self._zip is not None
        with _storage(self._path):
            for file, data in files.items():
                when = (year, month, day, hour, minute, second)
                member = zipfile.ZipInfo(f"{name}/{file}", when)
                member.external_attr = 0o644 << 16
                self._zip.writestr(member, data)


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise StorageError(f"{path}: exists already; nothing is overwritten") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
