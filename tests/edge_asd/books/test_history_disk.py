"""Real file systems that are full or read-only: scores wait and are written afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from support.disks import fill, remount, small_disk

from edge_asd.books.history import WRITE_EVERY_S, History
from edge_asd.books.history_view import read_scores
from edge_asd.steady import SteadyClock

HOP_S, WALL_S = 0.992, 1_790_000_000.0


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MB."""
    with small_disk(tmp_path / "small", "1m") as folder:
        yield folder


class Listening:
    """A monitor with one score after the other, noise that does not compress."""

    def __init__(self, folder):
        self.folder, self.at_s = folder, 0.0
        clock = SteadyClock(lambda: WALL_S + self.at_s, lambda: self.at_s)
        self.history = History(folder, clock)
        self.clock = clock
        self.rng = np.random.default_rng(0)
        self.made = []

    def listen(self, count):
        for _ in range(count):
            self.at_s += HOP_S
            self.made.append(self.rng.normal())
            end_s, score = self.clock.now(), self.made[-1]
            self.history.add("pump", profile_key="a", hop_s=HOP_S, end_s=end_s, score=score)
            self.history.look()

    def assert_all_kept(self):
        self.history.close()
        assert self.history.failure == ""
        kept = read_scores(self.folder, "pump").score
        np.testing.assert_array_equal(kept, np.asarray(self.made, np.float16).astype(np.float32))


@pytest.mark.parametrize("full_at_start", [False, True])
def test_a_full_disk_loses_no_score(disk, full_at_start):
    if full_at_start:
        fill(disk / "ballast")
    listening = Listening(disk)
    listening.listen(1000)
    fill(disk / "ballast")
    listening.listen(20_000)
    assert listening.history.failure
    (disk / "ballast").unlink()
    listening.at_s += WRITE_EVERY_S
    listening.listen(100)
    assert listening.history.failure == ""
    listening.assert_all_kept()


def test_a_read_only_disk_is_told_and_written_to_once_it_can_be(disk):
    listening = Listening(disk)
    listening.listen(1000)
    listening.history.close()
    remount(disk, "ro")
    listening = Listening(disk)
    listening.listen(2000)
    assert str(disk) in listening.history.failure
    remount(disk, "rw")
    listening.listen(100)
    assert listening.history.failure == ""
    listening.history.close()
    assert len(read_scores(disk, "pump").score) == 3100


def test_a_disk_that_stays_full_ends_quietly(disk):
    fill(disk / "ballast")
    listening = Listening(disk)
    listening.listen(1000)
    listening.history.close()
    assert listening.history.failure
