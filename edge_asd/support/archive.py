"""One archive of bounded size: pieces of text, and sound only where it was asked for."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import StorageError, UsageError
from edge_asd.evidence.store import EvidenceStore

PIECE_BYTES = 4 * 2**20
"""Of a longer text the end is kept, which is the newest of a log."""
EVIDENCE_BYTES = 64 * 2**20

_CUT = "… the beginning is cut off …\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive."""

    name: str
    content: bytes


def piece(name: str, text: str) -> Entry:
    """A text, cut to the bound."""
    content = text.encode(errors="replace")
    if len(content) > PIECE_BYTES:
        content = _CUT.encode() + content[-PIECE_BYTES:]
    return Entry(name, content)


def evidence_of(state_dir: Path, event_ids: Iterable[str]) -> Iterator[Entry]:
    """Sound and picture of alerts.

    Raises:
        UsageError: An alert has no evidence, or all of it is too much.
        StorageError: It cannot be read.
    """
    wanted = tuple(event_ids)
    if not wanted:
        return
    store = EvidenceStore(state_dir)
    total = 0
    try:
        for event_id in wanted:
            kept = store.find(event_id)
            if kept is None:
                raise UsageError(f"--with-evidence {event_id}: there is none; see: edge-asd events")
            for name in sorted(kept.files):
                content = _content(kept.path(name))
                total += len(content)
                if total > EVIDENCE_BYTES:
                    megabytes = EVIDENCE_BYTES // 2**20
                    raise UsageError(f"--with-evidence: more than {megabytes} MB; ask for less")
                yield Entry(f"evidence/{event_id}/{name}", content)
    finally:
        store.close()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; leave out --with-evidence") from error


def write_archive(path: Path, folder: str, entries: Iterable[Entry], now_s: float) -> int:
    """Write a new archive that only its owner can read.

    Args:
        path: Where; it must not be there yet.
        folder: Name of the one folder in it.
        entries: What it holds.
        now_s: Wall time, for the dates of its files.

    Returns:
        Its size in bytes.

    Raises:
        StorageError: It cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; choose another with --out") from error
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for entry in entries:
                info = tarfile.TarInfo(f"{folder}/{entry.name}")
                info.size, info.mtime, info.mode = len(entry.content), int(now_s), 0o600
                tar.addfile(info, io.BytesIO(entry.content))
        return path.stat().st_size
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            text = f"{path}: {error.strerror}; free space, or choose another with --out"
            raise StorageError(text) from error
        raise
