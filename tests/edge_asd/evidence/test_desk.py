"""Evidence as the daemon sees it: clips go in, and what became of each comes out once."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import replace

import pytest
from brokers import eventually
from support.alerts import WALL_S, alert, clip_of, keep_reservoir, noise
from support.sound import machine

from edge_asd.config import EvidenceConfig
from edge_asd.errors import StorageError
from edge_asd.evidence import desk as desk_module
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.evidence.keeper import QUEUE_CLIPS
from edge_asd.profile import profile_dir
from edge_asd.steady import SteadyClock

IDS = [f"0192f0a0-0000-7000-8000-{number:012d}" for number in range(20)]


class Bench:
    def __init__(self, folder, manifest, profile, **config) -> None:
        self.folder, self.profile = folder, profile
        self.counted = Counter()
        keep_reservoir(profile_dir(folder, profile.monitor) / "reservoir", machine("pump", 20.0))
        self.desk = EvidenceDesk(
            EvidenceConfig(**({"free_floor_mb": 0} | config)),
            "hall",
            folder,
            manifest,
            clock=SteadyClock(lambda: WALL_S + 60.0, lambda: 0.0),
            count=lambda result: self.counted.update([result]),
        )

    def submit(self, number=0, samples=None):
        clip = clip_of(noise(2.0) if samples is None else samples)
        self.desk.submit(replace(clip, event=alert(id=IDS[number])), self.profile)

    def settled(self, count=1):
        """What became of clips, once that is known of so many."""
        found = []

        def complete():
            found.extend(self.desk.settled())
            return len(found) >= count

        eventually(complete, what="evidence")
        return found


@pytest.fixture
def bench_of(tmp_path, tiny_bundle, pump_profile):
    desks = []

    def build(**config):
        bench = Bench(tmp_path, tiny_bundle.manifest, pump_profile, **config)
        desks.append(bench.desk)
        return bench

    yield build
    for desk in desks:
        desk.close()


def test_a_clip_becomes_files_that_the_reference_names(bench_of):
    bench = bench_of()
    bench.desk.start()
    assert bench.desk.idle
    bench.submit()
    (settled,) = bench.settled()
    assert (settled.monitor, settled.event_id) == ("pump-1", IDS[0])
    root, told = bench.folder / "evidence", settled.evidence
    data = (root / told.clip).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (told.bytes, told.sha256)
    assert (root / told.spectrogram).read_bytes().startswith(b"\x89PNG")
    assert (root / told.details).exists()
    assert not told.clip.startswith("/")
    assert bench.counted == {"kept": 1}
    assert list(bench.desk.settled()) == []  # told once
    eventually(lambda: bench.desk.idle)
    assert bench.desk.usage().used_bytes > told.bytes
    assert bench.desk.failure == ""


def test_a_picture_is_sent_only_if_asked_for_and_only_if_small(bench_of, caplog):
    wishes = (
        ({}, False),
        ({"publish_picture": True}, True),
        ({"publish_picture": True, "picture_max_kb": 1.0}, False),
    )
    for number, (config, sent) in enumerate(wishes):
        bench = bench_of(**config)
        bench.desk.start()
        with caplog.at_level(logging.WARNING):
            bench.submit(number)
            (settled,) = bench.settled()
        assert settled.evidence.spectrogram is not None
        kept = (bench.folder / "evidence" / settled.evidence.spectrogram).read_bytes()
        assert settled.picture == (kept if sent else None)
        bench.desk.close()
    assert "more than picture_max_kb" in caplog.text


def test_without_normal_sound_there_is_still_the_clip(bench_of):
    bench = bench_of(publish_picture=True)
    for piece in (profile_dir(bench.folder, "pump-1") / "reservoir").iterdir():
        piece.unlink()
    bench.desk.start()
    bench.submit()
    (settled,) = bench.settled()
    assert (bench.folder / "evidence" / settled.evidence.clip).exists()
    assert bench.counted == {"kept": 1}


def test_what_does_not_fit_is_refused_told_without_evidence_and_said(bench_of):
    bench = bench_of(quota_mb=0.001)
    bench.desk.start()
    bench.submit()
    (settled,) = bench.settled()
    assert (settled.evidence, settled.picture) == (None, None)
    assert bench.counted == {"refused": 1}
    assert bench.desk.failure
    assert not list((bench.folder / "evidence").rglob("clip.flac"))


def test_a_disk_that_refuses_is_said_until_it_takes_again(bench_of, monkeypatch):
    bench = bench_of()
    bench.desk.start()
    write = bench.desk._store.write

    def refuse(*_):
        raise StorageError("the disk is full; make space")

    monkeypatch.setattr(bench.desk._store, "write", refuse)
    bench.submit(0)
    assert bench.settled()[0].evidence is None
    assert bench.desk.failure == "the disk is full; make space"
    monkeypatch.setattr(bench.desk._store, "write", write)
    bench.submit(1)
    assert bench.settled()[0].evidence is not None
    assert bench.desk.failure == ""
    assert bench.counted == {"refused": 1, "kept": 1}


def test_a_sound_that_cannot_be_kept_does_not_stop_the_next_one(bench_of):
    bench = bench_of()
    bench.desk.start()
    bench.submit(0, samples=noise(0.0))
    bench.submit(1)
    first, second = bench.settled(2)
    assert (first.event_id, first.evidence) == (IDS[0], None)
    assert second.evidence is not None


def test_more_clips_than_can_wait_are_dropped_counted_and_nobody_waits(bench_of):
    bench = bench_of()  # not started: nothing is taken out
    for number in range(QUEUE_CLIPS + 3):
        bench.submit(number)
    assert bench.counted == {"dropped": 3}
    bench.desk.miss(IDS[10])
    assert bench.counted == {"dropped": 4}
    assert not bench.desk.idle
    bench.desk.start()
    settled = bench.settled(QUEUE_CLIPS)
    assert [one.event_id for one in settled] == IDS[:QUEUE_CLIPS]
    assert bench.counted == {"dropped": 4, "kept": QUEUE_CLIPS}


def test_closing_keeps_what_waits(bench_of, monkeypatch):
    monkeypatch.setattr(desk_module, "_CLOSE_S", 60.0)  # this machine may be busy
    bench = bench_of()
    bench.submit(0)
    bench.submit(1)
    bench.desk.start()
    bench.desk.close()
    assert len(list((bench.folder / "evidence").rglob("clip.flac"))) == 2


def test_closing_a_desk_that_was_never_started_tells_what_is_lost(bench_of):
    bench = bench_of()
    bench.submit(0)
    bench.desk.close()
    (settled,) = bench.settled()
    assert settled.evidence is None
    assert bench.counted == {"refused": 1}


def test_evidence_of_an_earlier_run_counts_on(bench_of):
    before = bench_of()
    before.desk.start()
    before.submit()
    before.settled()
    before.desk.close()
    after = bench_of()
    after.desk.start()
    eventually(lambda: after.desk.usage().kept == 1)
    assert after.desk.usage().used_bytes == before.desk.usage().used_bytes
