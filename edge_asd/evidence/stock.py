"""What the store reckons with: the index and the folders together, and deleting from both."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge_asd.errors import StorageError
from edge_asd.evidence import folders
from edge_asd.evidence.index import Entry, Index, Stage
from edge_asd.evidence.limits import Limits
from edge_asd.evidence.reconcile import reconcile
from edge_asd.evidence.records import Cause, EvidenceRecord, Kept
from edge_asd.evidence.retention import Candidate, Plan, Room, plan

logger = logging.getLogger(__name__)


class Stock:
    """Not thread-safe: the store holds its lock.

    Args:
        root: The folder of all evidence; it exists.
        limits: What retention goes by.
        clock: Wall time, seconds since 1970 UTC.
        free: Free bytes of a file system.
        deleted: Counts what is deleted.

    Raises:
        OSError: The folder cannot be read.
        StorageError: The index cannot be used.
    """

    def __init__(
        self,
        root: Path,
        limits: Limits,
        clock: Callable[[], float],
        free: Callable[[Path], int],
        deleted: Counter[Cause],
    ) -> None:
        self.root = root
        self.limits = limits
        self.deleted = deleted
        self.stuck: dict[str, Cause] = {}
        """Ids of what should go and could not be deleted when it was last tried."""
        self._free = free
        self._writing: dict[str, int] = {}  # bytes reserved by our threads
        self._said: set[str] = set()
        self.index = Index(root, clock=clock)
        self._moved_aside = self.index.moved_aside
        try:
            self.leftovers = reconcile(root, self.index, ())
        except BaseException:
            self.index.close()
            raise

    def entries(self) -> list[Entry]:
        """What takes space, kept or half deleted, oldest first; live reservations are apart.

        Raises:
            OSError: The folder cannot be read.
            StorageError: The index cannot be used.
        """
        rows = self.index.entries()
        if self._renewed():
            rows = self.index.entries()
        entries = []
        for entry in rows:
            event_id = entry.kept.record.event_id
            reserved = entry.stage is Stage.RESERVED
            if not reserved and not folders.is_gone(entry.kept.folder):
                entries.append(entry)
            elif event_id not in self._writing:  # somebody removed it, or its writer failed
                with suppress(StorageError):
                    self.index.drop(event_id)
        return entries

    def knows(self, event_id: str) -> bool:
        """Whether an alert has evidence, or will have."""
        ids = {entry.kept.record.event_id for entry in self.entries()}
        return event_id in ids or event_id in self._writing

    def kept(self) -> list[Kept]:
        """All evidence, oldest first, with whether it is pinned."""
        return [
            replace(entry.kept, pinned=folders.is_pinned(entry.kept.folder))
            for entry in self.entries()
            if entry.stage is Stage.KEPT
        ]

    def used_bytes(self) -> int:
        """Everything that counts towards the quota."""
        occupied = sum(entry.kept.bytes for entry in self.entries())
        return occupied + sum(self._writing.values()) + self.leftovers.bytes

    def free_bytes(self) -> int:
        """What will be free once everything that is reserved is written."""
        return self._free(self.root) - sum(self._writing.values())

    def candidates(self) -> list[Candidate]:
        """Evidence as retention sees it."""
        return [
            Candidate(
                event_id=kept.record.event_id,
                monitor=kept.record.monitor,
                bytes=kept.bytes,
                created_at=kept.record.created_at,
                score=kept.record.score,
                pinned=kept.pinned or kept.record.event_id in self.stuck,
            )
            for kept in self.kept()
        ]

    def plan(self, need_bytes: int) -> Plan:
        """What to delete so that ``need_bytes`` fit."""
        room = Room(
            quota_bytes=self.limits.quota_bytes,
            used_bytes=self.used_bytes(),
            free_bytes=self.free_bytes(),
            floor_bytes=self.limits.free_floor_bytes,
        )
        return plan(self.candidates(), room, need_bytes, self.limits.worst_per_monitor)

    def reserve(self, record: EvidenceRecord, folder: Path, size: int) -> bool:
        """Count ``size`` bytes before they are written.

        Returns:
            False if the index turned out damaged and was made anew: plan again.

        Raises:
            StorageError: Nothing was reserved.
        """
        self.index.reserve(record, folder, size)
        if self._renewed():
            return False
        self._writing[record.event_id] = size
        return True

    def settle(self, kept: Kept) -> None:
        """A reservation has become evidence.

        Raises:
            StorageError: The index does not know it; the reservation stands.
        """
        self.index.keep(kept)
        del self._writing[kept.record.event_id]

    def release(self, event_id: str, folder: Path) -> None:
        """A reservation has come to nothing; what cannot be removed of it counts on."""
        del self._writing[event_id]
        draft = folders.writing_folder(folder)
        if os.path.lexists(self.root / draft):
            self.leftovers = self.leftovers.joined(draft).retried(self.root)
        with suppress(StorageError):  # a reservation without a writer does not count
            self.index.drop(event_id)

    def delete(self, decision: Plan) -> tuple[int, bool]:
        """Delete what was decided on, as far as possible.

        Returns:
            How many pieces of evidence it was, and whether it freed space as it should have: where
            a snapshot holds on to what is deleted, deleting more would not help either.
        """
        used, free = self.used_bytes(), self.free_bytes()
        by_id = {entry.kept.record.event_id: entry for entry in self.entries()}
        victims = [(by_id[one], cause) for one, cause in decision.victims if one in by_id]
        number = sum(self._delete(entry, cause) for entry, cause in victims)
        helps = self.free_bytes() - free >= (used - self.used_bytes()) // 2
        return number, helps or not decision.for_space

    def retry(self) -> int:
        """Try once more what could not be deleted; returns how many pieces of evidence it was."""
        self.leftovers = self.leftovers.retried(self.root)
        causes, self.stuck = self.stuck, {}
        return sum(
            self._delete(entry, causes.get(entry.kept.record.event_id, Cause.QUOTA))
            for entry in self.entries()
            if entry.stage is Stage.DELETING
        )

    def _delete(self, entry: Entry, cause: Cause) -> bool:
        event_id = entry.kept.record.event_id
        try:
            if not folders.delete(self.root, entry.folder):
                return False  # pinned at this very moment
        except OSError as error:
            self._leave(entry, cause, error)
            return False
        self.stuck.pop(event_id, None)
        self.deleted[cause] += 1
        logger.info("evidence deleted event=%s cause=%s", event_id, cause.value)
        with suppress(StorageError):  # a row without a folder does not count
            self.index.drop(event_id, self.limits.why_deleted(cause))
        return True

    def _leave(self, entry: Entry, cause: Cause, error: OSError) -> None:
        """It could not be deleted: it counts on, and that is said once."""
        event_id = entry.kept.record.event_id
        self.stuck[event_id] = cause
        if event_id not in self._said:
            self._said.add(event_id)
            logger.warning(
                "evidence cannot be deleted folder=%s error=%s",
                entry.kept.folder,
                error.strerror,
            )
        with suppress(StorageError, OSError):
            if not os.path.lexists(entry.kept.folder / folders.RECORD):
                rest = folders.occupied(entry.kept.folder, entry.kept.files)
                self.index.leave_over(entry, rest)

    def _renewed(self) -> bool:
        """Whether the index was damaged and made anew; then it learns everything again."""
        if self.index.moved_aside == self._moved_aside:
            return False
        self._moved_aside = self.index.moved_aside
        self.leftovers = reconcile(self.root, self.index, self._writing)
        return True
