"""Evidence for the tests of keeping it: no sound in it, only bytes."""

from __future__ import annotations

import hashlib
import random

from edge_asd.clock import uuid7
from edge_asd.evidence.records import EvidenceRecord
from edge_asd.evidence.store import EvidenceStore
from edge_asd.records import Severity

WALL_S = 1_790_000_000.0
HOUR_S = 3600.0
CLIP_BYTES = 20_000
PIECE_BYTES = 4096 * (5 + 1 + 1 + 1)  # clip, details, record, folder


class Clock:
    """Wall time that stands until it is set."""

    def __init__(self, now_s=WALL_S):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def event_id(number, monitor="pump-1"):
    """The same id for the same number."""
    return uuid7(WALL_S + number * HOUR_S, random.Random(f"{monitor} {number}"))


def record(number=0, monitor="pump-1", *, score=10.0, created_at=None, severity="alarm"):
    """An alert that began ``number`` hours into the tests."""
    began = WALL_S + number * HOUR_S
    return EvidenceRecord(
        event_id=event_id(number, monitor),
        monitor=monitor,
        device="press-hall-3",
        started_at=began,
        created_at=began if created_at is None else created_at,
        severity=Severity(severity),
        score=score,
    )


def files(number=0, size=CLIP_BYTES):
    """A clip that differs from alert to alert, and its details."""
    return {
        "clip.flac": random.Random(number).randbytes(size),
        "event.json": b'{"schema": 1}\n',
    }


def opened(state, *, pieces=4, floor=0, **options):
    """A store with room for so many pieces."""
    options = {"clock": Clock(), "worst_per_monitor": 1} | options
    return EvidenceStore(state, quota_bytes=pieces * PIECE_BYTES, free_floor_bytes=floor, **options)


def whole(kept):
    """Whether every file is as it was written."""
    return all(
        hashlib.sha256(kept.path(name).read_bytes()).hexdigest() == file.sha256
        for name, file in kept.files.items()
    )


def tree(folder):
    """Every path below a folder, the index left out."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.name.startswith("index.db")
    )


def fill(store, numbers=range(4), **fields):
    """Write evidence of alerts with these numbers."""
    for number in numbers:
        store.write(record(number, **fields), files(number))


def kept_numbers(store):
    """Numbers of the alerts that have evidence."""
    return [round((kept.record.started_at - WALL_S) / HOUR_S) for kept in store.kept()]


def disk_usage(store):
    """Bytes that evidence takes, as ``du`` counts, without the folders of monitors and months."""
    return sum(
        -(-path.stat().st_size // 4096) * 4096
        for path in store.root.glob("*/*/**/*")
        if path.exists()
    )
