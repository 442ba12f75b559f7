"""Which evidence goes so that new evidence fits: a pure decision.

Pinned evidence never goes. The highest scores of every monitor go only when everything else has
gone, and never so that other programs get more room: to keep space free they only make room for new
evidence of the same size. Otherwise the oldest goes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_asd.evidence.records import Cause, Refusal


@dataclass(frozen=True, slots=True)
class Candidate:
    """Evidence as retention sees it."""

    event_id: str
    monitor: str
    bytes: int
    created_at: float
    score: float
    pinned: bool
    """Or it cannot be deleted."""


@dataclass(frozen=True, slots=True)
class Room:
    """What space there is."""

    quota_bytes: int
    used_bytes: int
    """Everything that counts towards the quota: kept, reserved, left over."""
    free_bytes: int
    """What would be free on the file system if all that is reserved were written."""
    floor_bytes: int
    """How much of that is to stay free."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do."""

    victims: tuple[tuple[str, Cause], ...] = ()
    """Ids to delete, in order."""
    refusal: Refusal | None = None
    """Then nothing is deleted: it would not help."""

    @property
    def for_space(self) -> bool:
        """Whether something is to go for the sake of the file system."""
        return any(cause is Cause.FREE_SPACE for _, cause in self.victims)


def worst(candidates: Iterable[Candidate], number: int) -> set[str]:
    """Ids of the highest scores of every monitor; pinned ones are safe anyway and do not count."""
    by_monitor: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if not candidate.pinned and not math.isnan(candidate.score):
            by_monitor.setdefault(candidate.monitor, []).append(candidate)
    return {
        candidate.event_id
        for group in by_monitor.values()
        for candidate in sorted(group, key=lambda c: (c.score, c.created_at), reverse=True)[:number]
    }


def plan(
    candidates: Sequence[Candidate], room: Room, need_bytes: int, worst_per_monitor: int
) -> Plan:
    """Make room for ``need_bytes`` more.

    With ``need_bytes`` 0 it is tidied up as far as possible, and never refused.
    """
    plain, precious = _in_order(candidates, worst_per_monitor)
    over = room.used_bytes + need_bytes - room.quota_bytes
    victims, _ = _take(plain + precious, over, Cause.QUOTA)
    freed = sum(one.bytes for one, _ in victims)
    if need_bytes and freed < over:
        return Plan(refusal=Refusal.QUOTA)
    chosen = {one.event_id for one, _ in victims}
    short = room.floor_bytes + need_bytes - room.free_bytes - freed
    more, short = _take([c for c in plain if c.event_id not in chosen], short, Cause.FREE_SPACE)
    if short > need_bytes:
        if need_bytes:
            return Plan(refusal=Refusal.FREE_SPACE)
        short = 0  # the worst are not given up for others
    last, short = _take([c for c in precious if c.event_id not in chosen], short, Cause.FREE_SPACE)
    if short > 0 and need_bytes:
        return Plan(refusal=Refusal.FREE_SPACE)
    return Plan(tuple((one.event_id, cause) for one, cause in victims + more + last))


def too_old(candidates: Iterable[Candidate], now_s: float, keep_s: float) -> Plan:
    """What has outlived its time; the worst go with the others, pinned ones stay."""
    return Plan(
        tuple(
            (candidate.event_id, Cause.AGE)
            for candidate in candidates
            if not candidate.pinned and now_s - candidate.created_at > keep_s
        )
    )


def _in_order(
    candidates: Sequence[Candidate], worst_per_monitor: int
) -> tuple[list[Candidate], list[Candidate]]:
    """What may go: what goes first, and the worst; both oldest first."""
    high = worst(candidates, worst_per_monitor)
    may_go = sorted(
        (c for c in candidates if not c.pinned), key=lambda c: (c.created_at, c.event_id)
    )
    return (
        [c for c in may_go if c.event_id not in high],
        [c for c in may_go if c.event_id in high],
    )


def _take(
    ordered: Sequence[Candidate], wanted_bytes: int, cause: Cause
) -> tuple[list[tuple[Candidate, Cause]], int]:
    """The first ones until enough is freed, and how much is still missing."""
    taken: list[tuple[Candidate, Cause]] = []
    for candidate in ordered:
        if wanted_bytes <= 0:
            break
        taken.append((candidate, cause))
        wanted_bytes -= candidate.bytes
    return taken, wanted_bytes
