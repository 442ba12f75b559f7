"""Whatever is done in whatever order: within quota, whole, and what is pinned is there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.evidence import (
    HOUR_S,
    PIECE_BYTES,
    WALL_S,
    Clock,
    disk_usage,
    files,
    kept_numbers,
    opened,
    record,
    tree,
    whole,
)

from edge_asd.evidence import folders
from edge_asd.evidence.limits import EvidenceError
from edge_asd.evidence.records import Cause, Refusal

PIECES = 4


class StoreMachine(RuleBasedStateMachine):
    """A store on a disk of its own, with restarts, users and other programs."""

    def __init__(self):
        super().__init__()
        memory = Path("/dev/shm")
        self.state = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.clock = Clock()
        self.others = 0  # bytes that other programs take
        self.pinned = set()
        self.store = opened(
            self.state,
            pieces=PIECES,
            floor=PIECE_BYTES,
            clock=self.clock,
            keep_s=30 * HOUR_S,
            free=lambda _: 8 * PIECE_BYTES - disk_usage(self.store) - self.others,
        )
        self.number = 0

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.state)

    @rule(size=st.integers(0, 40_000), score=st.floats(0, 10), monitor=st.sampled_from("ab"))
    def write(self, size, score, monitor):
        self.number += 1
        self.clock.now_s = WALL_S + self.number * HOUR_S
        alert = record(self.number, monitor, score=score)
        before = set(kept_numbers(self.store))
        try:
            assert whole(self.store.write(alert, files(self.number, size)))
        except EvidenceError as error:
            refusal = error.refusal
        else:
            return
        assert refusal in {Refusal.QUOTA, Refusal.FREE_SPACE}
        assert set(kept_numbers(self.store)) == before, "refused, and yet something went"

    @precondition(lambda self: self.store.kept())
    @rule(data=st.data())
    def pin(self, data):
        kept = data.draw(st.sampled_from(self.store.kept()))
        assert folders.pin(kept.folder)
        self.pinned.add(kept.folder)

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def unpin(self, data):
        folder = data.draw(st.sampled_from(sorted(self.pinned)))
        folders.unpin(folder)
        self.pinned.discard(folder)

    @rule(hours=st.integers(0, 40))
    def prune(self, hours):
        self.clock.now_s += hours * HOUR_S
        self.store.prune()
        old = self.clock.now_s - 30 * HOUR_S
        assert all(one.pinned or one.record.created_at >= old for one in self.store.kept())

    @rule(pieces=st.integers(0, 8))
    def others_take_space(self, pieces):
        self.others = pieces * PIECE_BYTES

    @precondition(lambda self: self.store.kept())
    @rule(data=st.data())
    def user_removes(self, data):
        kept = data.draw(st.sampled_from(self.store.kept()))
        shutil.rmtree(kept.folder)
        self.pinned.discard(kept.folder)

    @rule(lose_index=st.booleans())
    def restart(self, lose_index):
        before = self.store.kept()
        self.store.close()
        if lose_index:
            for path in self.store.root.glob("index.db*"):
                path.unlink()
        assert self.store.kept() == before

    @invariant()
    def everything_is_whole_and_within_the_quota(self):
        kept = self.store.kept()
        usage = self.store.measure()
        assert usage.used_bytes == disk_usage(self.store) <= PIECES * PIECE_BYTES
        assert all(map(whole, kept))
        assert {one.folder for one in kept if one.pinned} == self.pinned
        assert usage.pinned == len(self.pinned)
        assert usage.stuck == usage.foreign == 0
        assert set(usage.deleted) <= set(Cause)
        assert not [path for path in tree(self.store.root) if "/." in path]


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
