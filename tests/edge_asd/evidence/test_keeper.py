"""Evidence is made behind the worker's back: bounded, in order, and never in its way."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokers import eventually

from edge_asd.errors import StorageError
from edge_asd.evidence import keeper as module
from edge_asd.evidence.compose import Composed
from edge_asd.evidence.keeper import QUEUE_CLIPS, Keeper
from edge_asd.evidence.records import EvidenceRecord, Kept, Refusal
from edge_asd.records import Severity

GENEROUS_S = 60.0


def request(number=1):
    """As much of a request as the keeper looks at."""
    event_id = f"0192f0a0-0000-7000-8000-{number:012d}"
    return SimpleNamespace(
        clip=SimpleNamespace(event=SimpleNamespace(id=event_id)),
        profile=SimpleNamespace(monitor="pump-1"),
        number=number,
    )


class Making:
    """Makes one small file; may be held, and fails for the numbers told."""

    def __init__(self, fails=()):
        self.fails, self.held, self.begun = set(fails), threading.Event(), threading.Semaphore(0)
        self.held.set()
        self.niceness = None

    def compose(self, request):
        self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.begun.release()
        assert self.held.wait(GENEROUS_S)
        if request.number in self.fails:
            raise ValueError("ink is out")
        record = EvidenceRecord(
            event_id=request.clip.event.id,
            monitor="pump-1",
            device="d",
            started_at=0.0,
            created_at=1.0,
            severity=Severity.WARNING,
            score=1.0,
        )
        return Composed(record, {"clip.flac": b"sound", "spectrogram.png": b"picture"})


class Shelf:
    """Keeps ids; refuses those told as a full disk does."""

    looks = 0

    def __init__(self, full_for=()):
        self.ids, self.notes, self.full_for = [], [], set(full_for)

    def write(self, record, files):
        number = int(record.event_id[-12:])
        if number in self.full_for:
            raise StorageError("evidence: no space left on device")
        self.ids.append(number)
        return Kept(record, Path("2026-09/x"), {}, sum(map(len, files.values())))

    def look(self):
        self.looks += 1

    def refuse(self, event_id, refusal, text):
        self.notes.append((int(event_id[-12:]), refusal, text))


@pytest.fixture
def keep():
    """Start keepers; they are closed whatever happens."""
    open_ones = []

    def run(maker=None, shelf=None, told=None, **changes):
        maker, shelf, told = maker or Making(), shelf or Shelf(), [] if told is None else told
        keeper = Keeper(maker, shelf, changes.pop("written", told.append), **changes)
        keeper.start()
        open_ones.append((keeper, maker))
        return keeper, maker, shelf, told

    yield run
    for keeper, maker in open_ones:
        maker.held.set()
        keeper.close(GENEROUS_S)


def test_clips_are_kept_in_order_and_the_outcome_is_told(keep):
    keeper, _, shelf, told = keep()
    assert [keeper.submit(request(n)) for n in (1, 2, 3)] == [True] * 3
    assert keeper.close(GENEROUS_S)
    assert shelf.ids == [1, 2, 3]
    assert [int(one.event_id[-12:]) for one in told] == [1, 2, 3]
    assert all(one.kept is not None and one.kept.bytes == 12 for one in told)
    assert {one.picture for one in told} == {b"picture"}
    assert (keeper.kept, keeper.failed, keeper.refused, keeper.failure) == (3, 0, 0, "")


def test_one_clip_too_many_is_refused_counted_and_noted_and_never_waited_for(keep):
    maker = Making()
    maker.held.clear()
    keeper, _, shelf, told = keep(maker)
    assert keeper.submit(request(0))
    assert maker.begun.acquire(timeout=GENEROUS_S)  # it is in work, the queue is empty
    assert all(keeper.submit(request(1 + n)) for n in range(QUEUE_CLIPS))
    assert not keeper.submit(request(90))
    assert not keeper.submit(request(91))
    assert (keeper.waiting, keeper.refused) == (QUEUE_CLIPS, 2)
    maker.held.set()
    eventually(lambda: len(shelf.notes) == 2, timeout_s=GENEROUS_S, what="the notes")
    assert keeper.close(GENEROUS_S)
    assert shelf.ids == list(range(1 + QUEUE_CLIPS))
    assert shelf.notes == [(n, Refusal.LOST, "too many alerts at once") for n in (90, 91)]
    assert len(told) == 1 + QUEUE_CLIPS


def test_a_full_disk_is_a_text_until_the_next_clip_is_kept(keep):
    keeper, _, shelf, told = keep(shelf=Shelf(full_for={1}))
    keeper.submit(request(1))
    eventually(lambda: keeper.failure, timeout_s=GENEROUS_S, what="the failure")
    assert keeper.failure == "evidence: no space left on device"
    keeper.submit(request(2))
    assert keeper.close(GENEROUS_S)
    assert (keeper.failure, keeper.kept, keeper.failed) == ("", 1, 1)
    assert [(one.kept is None, one.reason) for one in told] == [
        (True, "evidence: no space left on device"),
        (False, ""),
    ]
    assert shelf.notes == []  # the store itself remembers what it refused


def test_what_cannot_be_made_is_noted_and_the_thread_goes_on(keep):
    keeper, _, shelf, told = keep(Making(fails={1}))
    keeper.submit(request(1))
    keeper.submit(request(2))
    assert keeper.close(GENEROUS_S)
    assert shelf.ids == [2]
    assert shelf.notes == [(1, Refusal.LOST, "evidence cannot be made: ink is out")]
    assert "ink is out" in told[0].reason


def test_who_is_told_may_fail_without_harm(keep):
    def refuse(_outcome):
        raise RuntimeError("not now")

    keeper, _, shelf, _ = keep(written=refuse)
    keeper.submit(request(1))
    keeper.submit(request(2))
    assert keeper.close(GENEROUS_S)
    assert shelf.ids == [1, 2]


def test_a_store_that_cannot_even_take_a_note_does_no_harm(keep):
    class Broken(Shelf):
        def refuse(self, *_):
            raise StorageError("read-only")

    keeper, _, shelf, _ = keep(Making(fails={1}), Broken())
    keeper.submit(request(1))
    keeper.submit(request(2))
    assert keeper.close(GENEROUS_S)
    assert shelf.ids == [2]


def test_closing_gives_up_in_time_and_says_what_was_lost(keep):
    maker = Making()
    maker.held.clear()  # as a disk that hangs
    keeper, _, shelf, told = keep(maker)
    for number in (1, 2, 3):
        keeper.submit(request(number))
    assert maker.begun.acquire(timeout=GENEROUS_S)
    assert not keeper.close(0.05)
    lost = [int(one.event_id[-12:]) for one in told if one.kept is None]
    assert lost == [2, 3]
    assert not keeper.submit(request(4))
    maker.held.set()
    eventually(lambda: shelf.ids == [1], timeout_s=GENEROUS_S, what="the clip under way")
    assert keeper.close(GENEROUS_S)


def test_closing_what_was_never_started_or_closed_before_is_fine():
    told = []
    keeper = Keeper(Making(), Shelf(), told.append)
    keeper.submit(request(1))
    assert not keeper.close(GENEROUS_S)
    assert [one.kept for one in told] == [None]
    assert keeper.close(GENEROUS_S)


def test_a_disk_that_hangs_is_a_failure_while_it_hangs(keep):
    now = [0.0]
    maker = Making()
    maker.held.clear()
    keeper, *_ = keep(maker, clock=lambda: now[0])
    keeper.submit(request(1))
    assert maker.begun.acquire(timeout=GENEROUS_S)
    assert keeper.failure == ""
    assert not keeper.idle
    now[0] = module.HANG_S + 1.0
    assert keeper.failure == "evidence has been under way for 61 s; look at the disk"
    maker.held.set()
    eventually(lambda: keeper.idle, timeout_s=GENEROUS_S, what="the end of it")
    assert keeper.failure == ""


def test_the_thread_steps_back_behind_the_others(keep):
    keeper, maker, *_ = keep()
    keeper.submit(request(1))
    assert keeper.close(GENEROUS_S)
    here = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert maker.niceness == min(19, here + 5)
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) == here


def test_alerts_without_a_clip_are_noted_too(keep):
    keeper, _, shelf, _ = keep()
    keeper.miss(request(7).clip.event.id)
    eventually(lambda: shelf.notes, timeout_s=GENEROUS_S, what="the note")
    assert keeper.refused == 1


def test_the_store_is_looked_after_while_nothing_is_to_be_kept(keep):
    _, _, shelf, _ = keep()
    eventually(lambda: shelf.looks >= 2, GENEROUS_S)
