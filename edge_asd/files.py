"""Writing files so that a crash or a full disk leaves the old one whole; files in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge_asd.errors import StorageError


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, flush it to disk and move it into place.

    Raises:
        StorageError: It cannot be written; an older file at ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}; free space or correct the permissions"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def memory_file(data: bytes = b"") -> Iterator[BinaryIO]:
    """A file that is in memory only, with a descriptor for libraries that want one.

    libsndfile takes Python's ``BytesIO`` by callbacks that are compiled while we run, which the
    hardened service may not do.
    """
    with open(os.memfd_create("edge-asd"), "w+b") as file:  # noqa: PTH123 - it has no path
        file.write(data)
        file.seek(0)
        yield file
