"""How much evidence is kept and for how long, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.errors import StorageError
from edge_asd.evidence.records import Cause, Refusal

_MEGA = 1e6


class EvidenceError(StorageError):
    """Evidence is not kept; nothing of it is left on the disk."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows."""

    quota_bytes: int
    """Disk space of all evidence, what is being written included."""
    free_floor_bytes: int
    """Evidence never leaves less free on its file system."""
    keep_s: float
    """Age at which it is deleted."""
    worst_per_monitor: int
    """So many of the highest scores of a monitor go last."""

    def why_deleted(self, cause: Cause) -> str:
        """For people who look for it."""
        return {
            Cause.QUOTA: f"deleted to keep all evidence within {_mb(self.quota_bytes)} "
            "(evidence.quota_mb)",
            Cause.FREE_SPACE: f"deleted to keep {_mb(self.free_floor_bytes)} of the disk free",
            Cause.AGE: f"deleted after {self.keep_s / 86400.0:g} days",
        }[cause]

    def too_full(self, where: object, size: int, free_bytes: int) -> EvidenceError:
        """The file system has no room, and deleting evidence would not make enough."""
        return EvidenceError(
            Refusal.FREE_SPACE,
            f"{where}: {_mb(free_bytes)} are free and {_mb(self.free_floor_bytes)} are to stay "
            f"free, {_mb(size)} of evidence are not kept: free space on its file system",
        )

    def too_much(self, where: object, size: int, held_bytes: int) -> EvidenceError:
        """It does not fit beside the ``held_bytes`` that may not go."""
        text = f"{where}: {_mb(size)} of evidence do not fit into the quota of "
        text += _mb(self.quota_bytes)
        if held_bytes:
            text += f" beside {_mb(held_bytes)} that are pinned or cannot be deleted: unpin some "
            text += "(edge-asd events unpin) or"
        else:
            text += ":"
        return EvidenceError(Refusal.QUOTA, f"{text} raise evidence.quota_mb")


def _mb(size: int) -> str:
    """A size for people, as disks are sold: millions of bytes."""
    return f"{size / _MEGA:.1f} MB"
