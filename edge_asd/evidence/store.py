"""Keeping evidence within its quota, whatever else is on the disk and whatever dies in between.

Space is reserved in the index before anything is written; what retention has to delete for it goes
first. The folders are the truth: opening the store makes the index agree with them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from edge_asd.errors import StorageError
from edge_asd.evidence import folders
from edge_asd.evidence.limits import EvidenceError, Limits
from edge_asd.evidence.records import Cause, EvidenceRecord, Kept, Refusal, Usage
from edge_asd.evidence.retention import too_old
from edge_asd.evidence.stock import Stock

FOLDER = "evidence"
PRUNE_EVERY_S = 600.0
MEASURE_EVERY_S = 10.0
CLOSE_S = 1.0

logger = logging.getLogger(__name__)


def free_bytes(folder: Path) -> int:
    """What the file system of ``folder`` has left for whoever is not root.

    Raises:
        OSError: It cannot be asked.
    """
    answer = os.statvfs(folder)
    return answer.f_bavail * answer.f_frsize


class EvidenceStore:
    """The evidence of all monitors; one process writes, every thread of it may.

    Nothing is touched before `open`, which the other methods call where it is needed: a disk that
    cannot be used at the start is tried again with every piece of evidence.

    Args:
        directory: The state directory.
        quota_bytes: Disk space that evidence may take, reservations included.
        free_floor_bytes: Evidence never leaves less free on the file system.
        keep_s: Age at which evidence is deleted.
        worst_per_monitor: So many of the highest scores of a monitor go last.
        clock: Wall time, seconds since 1970 UTC.
        free: Free bytes of a file system.
    """

    def __init__(
        self,
        directory: Path,
        *,
        quota_bytes: int = 512 * 10**6,
        free_floor_bytes: int = 256 * 10**6,
        keep_s: float = 90 * 86400.0,
        worst_per_monitor: int = 20,
        clock: Callable[[], float] = time.time,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.root = directory / FOLDER
        self._limits = Limits(quota_bytes, free_floor_bytes, keep_s, worst_per_monitor)
        self._clock, self._free = clock, free
        self._lock = threading.RLock()
        self._stock: Stock | None = None
        self._written = 0
        self._refused: Counter[Refusal] = Counter()
        self._failure = ""
        self._failed_bytes = 0
        self._deleted: Counter[Cause] = Counter()
        self._usage = Usage(quota_bytes, free_floor_bytes=free_floor_bytes)
        self._pruned_at = self._measured_at = -PRUNE_EVERY_S

    def limit(self, *, quota_bytes: int, free_floor_bytes: int, keep_s: float) -> None:
        """Keep within other limits from now on."""
        with self._lock:
            self._limits = replace(
                self._limits,
                quota_bytes=quota_bytes,
                free_floor_bytes=free_floor_bytes,
                keep_s=keep_s,
            )
            if self._stock is not None:
                self._stock.limits = self._limits
            self._pruned_at = -PRUNE_EVERY_S

    def open(self) -> None:
        """Make the index agree with the folders, and clear away what a crash left.

        Raises:
            StorageError: The folder cannot be used; a later call tries again.
        """
        with self._opened():
            pass

    def write(self, record: EvidenceRecord, files: Mapping[str, bytes]) -> Kept:
        """Keep the evidence of an alert; what has to go for it goes first.

        Args:
            record: Whose it is.
            files: Contents by name.

        Raises:
            EvidenceError: It is not kept, and nothing of it is left.
            ValueError: A file has a name that cannot be used.
        """
        contents = folders.with_record(record, files)
        size = folders.disk_bytes(len(data) for data in contents.values())
        try:
            kept = self._write(record, contents, size)
        except EvidenceError as error:
            self._failed_bytes = size
            self.refuse(record.event_id, error.refusal, str(error))
            raise
        with self._lock:
            self._written += 1
            self._failure = ""
        self.measure()
        return kept

    def refuse(self, event_id: str, refusal: Refusal, text: str) -> None:
        """Count that an alert has no evidence, and remember why for whoever looks for it."""
        with self._lock:
            self._refused[refusal] += 1
            self._failure = text
        if refusal is not Refusal.TWICE:
            with suppress(StorageError), self._opened() as stock:
                stock.index.note(event_id, text)  # it counts, even if it cannot be written down

    def find(self, event_id: str) -> Kept | None:
        """Evidence of one alert.

        Raises:
            StorageError: It cannot be read.
        """
        return next((kept for kept in self.kept() if kept.record.event_id == event_id), None)

    def kept(self) -> list[Kept]:
        """All evidence, oldest first.

        Raises:
            StorageError: It cannot be read.
        """
        with self._opened() as stock:
            return stock.kept()

    def prune(self) -> int:
        """Delete what is too old or too much.

        Returns:
            How many pieces of evidence were deleted.

        Raises:
            StorageError: The index or the folder cannot be used.
        """
        self._pruned_at = self._clock()
        with self._opened() as stock:
            with suppress(StorageError):  # of a full disk all the more must go
                stock.index.correct_times()
            number = stock.retry()
            old = too_old(stock.candidates(), self._clock(), self._limits.keep_s)
            number += stock.delete(old)[0]
            helps = True
            while helps and (decision := stock.plan(0)).victims:
                deleted, helps = stock.delete(decision)
                number += deleted
            if stock.plan(self._failed_bytes).refusal is None:
                self._failure = ""  # what was refused would fit now
        self.measure()
        return number

    def look(self) -> None:
        """Prune and measure now and then; cheap, and never raises.

        Whoever writes calls it often: the first call is what clears away the leavings of a crash.
        """
        now_s = self._clock()
        if abs(now_s - self._pruned_at) < PRUNE_EVERY_S:
            if abs(now_s - self._measured_at) >= MEASURE_EVERY_S:
                self.measure()
            return
        try:
            self.prune()
        except StorageError as error:
            self._failure = str(error)
            logger.warning("evidence not pruned error=%s", error)

    def usage(self) -> Usage:
        """How much there is, as last measured: it touches no disk and waits for nobody."""
        return replace(
            self._usage,
            written=self._written,
            refused=dict(self._refused),
            deleted=dict(self._deleted),
            failure=self._failure or self._usage.failure,
        )

    def measure(self) -> Usage:
        """How much there is now; never raises."""
        self._measured_at = self._clock()
        empty = Usage(self._limits.quota_bytes, free_floor_bytes=self._limits.free_floor_bytes)
        try:
            with self._opened() as stock:
                kept = stock.kept()
                pinned = [one for one in kept if one.pinned]
                self._usage = replace(
                    empty,
                    used_bytes=stock.used_bytes(),
                    pinned_bytes=sum(one.bytes for one in pinned),
                    free_bytes=stock.free_bytes(),
                    kept=len(kept),
                    pinned=len(pinned),
                    stuck=len(stock.stuck) + len(stock.leftovers.drafts),
                    foreign=stock.leftovers.foreign,
                )
        except StorageError as error:
            self._usage = replace(self._usage, failure=str(error))
        return self.usage()

    def close(self) -> None:
        """Close the index; it opens again where it is needed. A disk that hangs keeps nobody."""
        if not self._lock.acquire(timeout=CLOSE_S):
            logger.warning("evidence is still in use, its index is left open")
            return
        try:
            if self._stock is not None:
                self._stock.index.close()
                self._stock = None
        finally:
            self._lock.release()

    def _write(self, record: EvidenceRecord, contents: Mapping[str, bytes], size: int) -> Kept:
        folder = folders.folder_of(record)
        kept = folders.kept_of(record, self.root / folder, contents)
        with self._opened() as stock:
            self._admit(stock, record, folder, size)
        try:
            # Not under the lock: a slow disk keeps neither metrics nor another monitor waiting.
            with self._translated():
                folders.write_folder(self.root, folder, contents)
            with self._opened():
                self._settle(stock, kept, folder)
        except BaseException:
            with self._lock:
                stock.release(record.event_id, folder)
            raise
        return kept

    def _settle(self, stock: Stock, kept: Kept, folder: Path) -> None:
        try:
            stock.settle(kept)
        except BaseException:
            folders.delete(self.root, folder)
            raise

    def _admit(self, stock: Stock, record: EvidenceRecord, folder: Path, size: int) -> None:
        """Reserve space, having deleted what must go for it."""
        helps = True
        while True:
            if stock.knows(record.event_id):
                text = f"{record.event_id}: this alert has evidence already"
                raise EvidenceError(Refusal.TWICE, text)
            decision = stock.plan(size)
            if decision.refusal is Refusal.FREE_SPACE or (decision.for_space and not helps):
                raise self._limits.too_full(self.root, size, stock.free_bytes())
            if decision.refusal is not None:
                may_go = sum(one.bytes for one in stock.candidates() if not one.pinned)
                raise self._limits.too_much(self.root, size, stock.used_bytes() - may_go)
            if decision.victims:
                _, helps = stock.delete(decision)
            elif stock.reserve(record, folder, size):
                return

    @contextmanager
    def _opened(self) -> Iterator[Stock]:
        """The stock, under the lock, with every failure of the disk translated."""
        with self._lock, self._translated():
            if self._stock is None:
                self.root.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._stock = Stock(self.root, self._limits, self._clock, self._free, self._deleted)
            yield self._stock

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except EvidenceError:
            raise
        except StorageError as error:
            raise self._refused_by_disk(str(error)) from error
        except OSError as error:
            text = f"{self.root}: evidence cannot be used: {error.strerror or error}"
            raise self._refused_by_disk(f"{text}; free space or correct the permissions") from error

    def _refused_by_disk(self, text: str) -> EvidenceError:
        """SQLite does not say why it cannot open a file; the file system may."""
        with suppress(OSError):
            if os.statvfs(self.root).f_flag & os.ST_RDONLY:
                text = f"{self.root}: its file system is read-only; mount it to be written"
        return EvidenceError(Refusal.DISK, text)
