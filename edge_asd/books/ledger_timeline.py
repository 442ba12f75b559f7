"""One monitor's seconds in memory: spent, perhaps still to be scored, then settled and written.

A second belongs to whatever covers its midpoint. Everything is whole seconds of steady time, coded
as stretches, so that what is kept grows with the changes and not with the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

KEPT_STRETCHES = 2048
"""Settled stretches that stay in memory after they were written, for questions about them."""
WAITING_STRETCHES = 4096
"""Settled stretches that wait for the disk at most; beyond it the older half is condensed."""


class Account(str, Enum):
    """What became of a second."""

    SCORED = "scored"
    """A window that was scored covers it."""
    GAPPED = "gapped"
    """Audio was lost, or is not enough for a window."""
    DROPPED = "dropped"
    """There was audio, but no time to score it."""
    INHIBITED = "inhibited"
    """An operator asked for silence."""
    IDLE = "idle"
    """The machine was off."""
    BASELINING = "baselining"
    """Normal sound was being learned."""
    MICROPHONE_FAULT = "microphone_fault"
    """The microphone was missing, dead or covered."""
    STARTING = "starting"
    """The daemon was up, and its first audio was not there yet."""
    DOWN = "down"
    """No daemon was running, or it was killed before it had written the second down."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive seconds of one account: [begin_s, end_s)."""

    begin_s: int
    end_s: int
    account: Account


Sums = dict[Account, int]


def no_seconds() -> Sums:
    """Every account with nothing in it."""
    return dict.fromkeys(Account, 0)


def whole(at_s: float) -> int:
    """First second whose midpoint is not before a moment.

    >>> [whole(at_s) for at_s in (9.5, 9.51, 10.5)]
    [9, 10, 10]
    """
    return math.ceil(at_s - 0.5)


def tally(stretches: Iterable[Stretch], begin_s: int, end_s: int, sums: Sums) -> None:
    """Add what of the stretches lies in [begin_s, end_s) to ``sums``."""
    for stretch in stretches:
        seconds = min(stretch.end_s, end_s) - max(stretch.begin_s, begin_s)
        if seconds > 0:
            sums[stretch.account] += seconds


class Timeline:
    """Seconds of one monitor from the moment it was opened; not thread-safe.

    Args:
        opened_s: Its first second.
        settle_s: Time that must have been spent after a second until no window covers it anew.
    """

    def __init__(self, opened_s: int, settle_s: float) -> None:
        self.opened_s = opened_s
        self.settle_s = settle_s
        self.down_s = 0
        """Seconds before the first one in which no daemon ran, as far as they are known."""
        self.written_s = opened_s
        """Seconds before this one are in the file."""
        self.remembered_s = opened_s
        """Seconds from this one on are in memory."""
        self.filed_s = opened_s
        """First second that the file has, or will have."""
        self.late_s = 0
        """Seconds that a window covered after they were settled: they stay what they were."""
        self.condensed = 0
        """Stretches that gave up their order while the disk refused to take them."""
        self._final_s = opened_s
        self._spent_s = opened_s
        self._background: list[Stretch] = []  # from _final_s to _spent_s
        self._scored: list[tuple[int, int]] = []  # sorted, apart from each other
        self._settled: list[Stretch] = []  # from remembered_s to _final_s
        self._sums = no_seconds()  # of everything settled, also of what was forgotten

    def spend(self, until_s: float, account: Account) -> None:
        """Give the seconds up to a moment to an account; those that have one keep it."""
        spent_s = max(self._spent_s, whole(until_s))
        if spent_s > self._spent_s:
            _append(self._background, Stretch(self._spent_s, spent_s, account))
            self._spent_s = spent_s

    def scored(self, begin_s: float, end_s: float) -> None:
        """Mark the seconds that a window covers, those to come included."""
        begin, end = whole(begin_s), whole(end_s)
        self.late_s += max(0, min(end, self._final_s) - max(begin, self.opened_s))
        begin = max(begin, self._final_s)
        if begin >= end:
            return
        apart = [span for span in self._scored if span[1] < begin or span[0] > end]
        touched = [span for span in self._scored if span[1] >= begin and span[0] <= end]
        begin = min([begin, *(span[0] for span in touched)])
        end = max([end, *(span[1] for span in touched)])
        self._scored = sorted([*apart, (begin, end)])

    def settle(self, *, everything: bool = False) -> None:
        """Close the seconds that no window can cover any more; with ``everything`` all of them."""
        final_s = self._spent_s if everything else self._spent_s - math.ceil(self.settle_s)
        if final_s <= self._final_s:
            return
        for stretch in self._overlaid(final_s):
            _append(self._settled, stretch)
            self._sums[stretch.account] += stretch.end_s - stretch.begin_s
        self._background = [
            Stretch(max(final_s, s.begin_s), s.end_s, s.account)
            for s in self._background
            if s.end_s > final_s
        ]
        self._scored = [(max(final_s, a), b) for a, b in self._scored if b > final_s]
        self._final_s = final_s
        self._condense()

    def waiting(self) -> list[Stretch]:
        """Settled stretches that the file lacks, or has in a shorter version."""
        first = len(self._settled)
        while first and self._settled[first - 1].end_s > self.written_s:
            first -= 1
        return self._settled[first:]

    def written(self) -> None:
        """All that is settled is on the disk: forget what is old."""
        self.written_s = self._final_s
        if len(self._settled) > 2 * KEPT_STRETCHES:
            del self._settled[:-KEPT_STRETCHES]
            self.remembered_s = self._settled[0].begin_s

    def lost(self) -> None:
        """The file is a new one: all that is remembered must be written to it."""
        self.filed_s = self.written_s = self.remembered_s
        self.down_s = 0

    def remembers(self, begin_s: int, end_s: int) -> bool:
        """Whether ``totals`` knows all seconds from ``opened_s`` on in [begin_s, end_s)."""
        return begin_s >= self.remembered_s or self._whole(begin_s, end_s)

    def totals(self, begin_s: int, end_s: int) -> Sums:
        """Seconds by account in [begin_s, end_s), of what is remembered.

        Cost: from ``opened_s`` on to the present it does not grow with the time.
        """
        sums = no_seconds()
        if self._whole(begin_s, end_s):
            sums.update(self._sums)
        else:
            tally(self._latest(begin_s), begin_s, end_s, sums)
        tally(self._overlaid(self._spent_s), begin_s, end_s, sums)
        return sums

    def unwritten(self) -> Iterator[Stretch]:
        """Everything that was spent and is not in the file, as it stands."""
        for stretch in (*self.waiting(), *self._overlaid(self._spent_s)):
            begin_s = max(stretch.begin_s, self.written_s)
            yield Stretch(begin_s, stretch.end_s, stretch.account)

    def _whole(self, begin_s: int, end_s: int) -> bool:
        return begin_s <= self.opened_s and end_s >= self._final_s

    def _latest(self, begin_s: int) -> Iterator[Stretch]:
        """Settled stretches, the newest first, back to a second."""
        for stretch in reversed(self._settled):
            if stretch.end_s <= begin_s:
                return
            yield stretch

    def _overlaid(self, until_s: int) -> Iterator[Stretch]:
        """What is spent and not settled, with the windows that were scored laid over it."""
        for stretch in self._background:
            at_s, end_s = stretch.begin_s, min(stretch.end_s, until_s)
            if at_s >= end_s:
                return
            for begin, end in self._scored:
                if end <= at_s:
                    continue
                if begin >= end_s:
                    break
                if begin > at_s:
                    yield Stretch(at_s, begin, stretch.account)
                at_s = min(end, end_s)
                yield Stretch(max(begin, stretch.begin_s), at_s, Account.SCORED)
            if at_s < end_s:
                yield Stretch(at_s, end_s, stretch.account)

    def _condense(self) -> None:
        """Bound what waits for the disk: older seconds keep their account and lose their order."""
        waiting = self.waiting()
        if len(waiting) <= WAITING_STRETCHES:
            return
        # The first one may be the continuation of a row that is in the file.
        older = waiting[1 : len(waiting) // 2]
        sums, at_s = no_seconds(), older[0].begin_s
        tally(older, at_s, older[-1].end_s, sums)
        condensed: list[Stretch] = []
        for account, seconds in sums.items():
            if seconds:
                condensed.append(Stretch(at_s, at_s + seconds, account))
                at_s += seconds
        self.condensed += len(older)
        kept = self._settled[: len(self._settled) - len(waiting) + 1]
        self._settled = [*kept, *condensed, *waiting[len(waiting) // 2 :]]


def _append(stretches: list[Stretch], stretch: Stretch) -> None:
    """Add a stretch that follows the last one, as its continuation where it is one."""
    if stretches and stretches[-1].account is stretch.account:
        stretch = Stretch(stretches.pop().begin_s, stretch.end_s, stretch.account)
    stretches.append(stretch)
