"""Evidence on the disk: a folder an alert, complete or not there at all.

``<monitor>/<yyyy-mm>/<time>_<event-id>/`` holds the files and ``record.json``, which names them
with their hashes. A folder is made beside its place under ``.writing-…`` and renamed once all of it
is on the disk. Deleting begins with renaming ``record.json`` to ``.deleting.json``: from there on
it is no evidence any more, and whoever finds it goes on deleting. Only what ``record.json`` names
is ever deleted. A file ``pinned`` in it is an operator's wish to keep it; making and removing that
file is all that pinning is, so that it needs no daemon.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_asd.clock import parse_rfc3339, rfc3339
from edge_asd.evidence.records import EvidenceRecord, Kept, KeptFile
from edge_asd.files import sync_folder
from edge_asd.records import Severity

RECORD = "record.json"
DELETING = ".deleting.json"
PINNED = "pinned"
WRITING_PREFIX = ".writing-"
BLOCK_BYTES = 4096  # what a file system hands out; a folder takes one itself

_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9]+)+")
_LATEST_S = 253_402_300_799  # the last second of the year 9999


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _RecordFile(BaseModel):
    """``record.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: Literal[1] = Field(alias="schema")
    event_id: str
    monitor: str
    device: str
    started_at: str
    created_at: str
    severity: Severity
    score: float | None
    provisional: bool
    files: dict[str, _File]


def folder_of(record: EvidenceRecord) -> Path:
    """Where evidence lies below the root; names sort by the time the alert began."""
    # Rounded as in record.json: 4.9997 s is 5.000 s there, and a name with another second would not
    # be recognised as ours.
    seconds = round(record.started_at * 1000) // 1000
    began = time.gmtime(min(max(0, seconds), _LATEST_S))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", began)
    return Path(record.monitor, time.strftime("%Y-%m", began), f"{stamp}_{record.event_id}")


def writing_folder(folder: Path) -> Path:
    """Where a folder lies until it is complete."""
    return folder.with_name(WRITING_PREFIX + folder.name)


def with_record(record: EvidenceRecord, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Everything that goes into the folder.

    Raises:
        ValueError: A file has a name that is taken or cannot be a file's.
    """
    for name in files:
        if not _FILE_NAME.fullmatch(name) or name in {RECORD, PINNED}:
            raise ValueError(f"evidence cannot hold a file named {name!r}")
    fields = {
        "schema": 1,
        "event_id": record.event_id,
        "monitor": record.monitor,
        "device": record.device,
        "started_at": rfc3339(record.started_at),
        "created_at": rfc3339(record.created_at),
        "severity": record.severity.value,
        "score": record.score if math.isfinite(record.score) else None,
        "provisional": record.provisional,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        },
    }
    return {**files, RECORD: (json.dumps(fields, indent=1) + "\n").encode()}


def kept_of(record: EvidenceRecord, place: Path, contents: Mapping[str, bytes]) -> Kept:
    """What a folder with these contents holds."""
    files = {
        name: KeptFile(name, len(data), hashlib.sha256(data).hexdigest())
        for name, data in contents.items()
        if name != RECORD
    }
    return Kept(record, place, files, disk_bytes(len(data) for data in contents.values()))


def disk_bytes(sizes: Iterable[int]) -> int:
    """Space a folder with files of these sizes takes."""
    return BLOCK_BYTES + sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes)


def write_folder(root: Path, folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder so that after a crash it is complete or not there.

    Args:
        root: The folder of all evidence; it exists.
        folder: Relative to it.
        contents: As ``with_record`` made them.

    Raises:
        OSError: It failed; nothing is left, unless that could not be removed either.
    """
    place = root / folder
    draft = writing_folder(place)
    _make_folders(root, folder.parent)
    os.mkdir(draft, 0o750)  # noqa: PTH102 - calls of os are what the crash tests count
    try:
        for name, data in contents.items():
            _write_file(draft / name, data)
        sync_folder(draft)
        os.rename(draft, place)  # noqa: PTH104
    except BaseException:
        with contextlib.suppress(OSError):
            discard(draft)
        raise
    try:
        sync_folder(place.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            delete(root, folder)
        raise


def discard(draft: Path) -> None:
    """Remove a folder that never became evidence.

    Raises:
        OSError: It cannot be removed.
    """
    for name in os.listdir(draft):  # noqa: PTH208
        os.unlink(draft / name)  # noqa: PTH108
    os.rmdir(draft)  # noqa: PTH106
    sync_folder(draft.parent)


def read_folder(root: Path, folder: Path) -> Kept | None:
    """Evidence in a folder; None where nothing says that it is ours.

    A file that is missing or was cut off does not matter: what is left is still evidence, and takes
    space.

    Raises:
        OSError: It cannot be read.
    """
    listed = _listed(root / folder / RECORD, folder)
    if listed is None:
        return None
    record, files = listed
    return Kept(record, root / folder, files, occupied(root / folder, files))


def occupied(place: Path, files: Iterable[str]) -> int:
    """Space that evidence takes now.

    Raises:
        OSError: It cannot be asked.
    """
    sizes = []
    for name in (*files, RECORD, DELETING):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(os.lstat(place / name).st_size)
    return disk_bytes(sizes)


def is_pinned(place: Path) -> bool:
    """Whether an operator asked for it to stay; in doubt it does."""
    return not _missing(place / PINNED)


def is_gone(place: Path) -> bool:
    """Whether somebody removed it; in doubt, as on a disk that cannot be read, it is there."""
    return _missing(place / RECORD) and _missing(place / DELETING)


def pin(place: Path) -> bool:
    """Ask for evidence to stay.

    Returns:
        False if it has just been deleted.

    Raises:
        OSError: It cannot be said there.
    """
    marker = place / PINNED
    try:
        descriptor = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except FileNotFoundError:
        return False
    os.close(descriptor)
    # Who deletes renames the record first and looks for the pin then: one of us sees the other.
    if _missing(place / RECORD):
        with contextlib.suppress(OSError):
            os.unlink(marker)  # noqa: PTH108
            os.rmdir(place)  # noqa: PTH106
        return False
    sync_folder(place)
    return True


def unpin(place: Path) -> None:
    """Leave it to retention again.

    Raises:
        OSError: It cannot be said there.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place / PINNED)  # noqa: PTH108
        sync_folder(place)


def delete(root: Path, folder: Path) -> bool:
    """Delete evidence, or go on deleting it; files that are not ours stay, and so does the folder.

    Returns:
        False if it has just been pinned: then it is whole.

    Raises:
        OSError: It cannot be deleted; it is whole, or a later call goes on.
    """
    place = root / folder
    with contextlib.suppress(FileNotFoundError):
        os.rename(place / RECORD, place / DELETING)  # noqa: PTH104
        if is_pinned(place):
            os.rename(place / DELETING, place / RECORD)  # noqa: PTH104
            return False
        sync_folder(place)
    try:
        listed = _listed(place / DELETING, folder)
    except FileNotFoundError:
        listed = None
    failed = _unlink_all(place, listed[1] if listed else ())
    if failed is not None:
        raise failed
    # The list goes last: a crash loses no name.
    _unlink_all(place, [DELETING])
    with contextlib.suppress(FileNotFoundError):
        remove_empty(place)
        sync_folder(place.parent)
    return True


def remove_empty(folder: Path) -> None:
    """Remove a folder if nothing is in it."""
    try:
        os.rmdir(folder)  # noqa: PTH106
    except OSError:
        if not os.listdir(folder):  # noqa: PTH208 - it is empty and stays all the same
            raise


def _unlink_all(place: Path, names: Iterable[str]) -> OSError | None:
    """Delete what can be deleted; returns what stood in the way of the rest."""
    failed = None
    for name in names:
        try:
            os.unlink(place / name)  # noqa: PTH108
        except OSError as error:  # noqa: PERF203 - the others are to go all the same
            if not isinstance(error, FileNotFoundError):
                failed = error
    return failed


def _listed(file: Path, folder: Path) -> tuple[EvidenceRecord, dict[str, KeptFile]] | None:
    """What ``record.json`` says, if it is that of this folder.

    Raises:
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(os.lstat(file).st_mode):  # a pipe would block us for ever
        return None
    try:
        parsed = _RecordFile.model_validate_json(file.read_bytes())
        record = EvidenceRecord(
            event_id=parsed.event_id,
            monitor=parsed.monitor,
            device=parsed.device,
            started_at=parse_rfc3339(parsed.started_at),
            created_at=parse_rfc3339(parsed.created_at),
            severity=parsed.severity,
            score=math.nan if parsed.score is None else parsed.score,
            provisional=parsed.provisional,
        )
    except (ValidationError, ValueError, RecursionError):
        return None
    if folder_of(record) != folder or not all(map(_FILE_NAME.fullmatch, parsed.files)):
        return None
    files = {n: KeptFile(n, file.bytes, file.sha256) for n, file in parsed.files.items()}
    return record, files


def _missing(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _make_folders(root: Path, folder: Path) -> None:
    """Make the folders of a monitor and a month durable."""
    for path in (root / folder.parent, root / folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o750)  # noqa: PTH102
            sync_folder(path.parent)


def _write_file(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
