"""A capture thread never gives up, never hides lost audio and always lets go."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from brokers import PATIENCE_S
from support.stopwatch import Stopwatch

from edge_asd.capture import Backoff, CaptureThread, Resampler, capture
from edge_asd.errors import CaptureError, ConfigError, DataError, StallError
from edge_asd.records import Block
from edge_asd.steady import SteadyClock

RATE = 1000
CLOCK = SteadyClock()
QUICK = Backoff(first_s=0.01, limit_s=0.02)


def ramp(n, first=0):
    return np.arange(first, first + n, dtype=np.float32)[:, None]


class Scripted:
    """A source that yields the blocks it was given, then does as told."""

    def __init__(self, blocks, then=None, rate=RATE):
        self.sample_rate = rate
        self._blocks = blocks
        self._then = then
        self.closed = threading.Event()

    def blocks(self):
        for block in self._blocks:
            duration_s = len(block.samples) / self.sample_rate
            yield replace(block, captured_at=CLOCK.now() - duration_s)
        if self._then is not None:
            self._then(self)

    def close(self):
        self.closed.set()


def fail(text="unplugged"):
    def then(_):
        raise CaptureError(text)

    return then


def stay(source):
    source.closed.wait(PATIENCE_S)


def openings(*sources):
    """A factory that hands out sources in order; an exception in their place is raised."""
    left = list(sources)

    def open_source():
        source = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(source, Exception):
            raise source
        return source

    return open_source


def steps(n, size=100, start=0):
    return [Block(ramp(size, start + i * size), start + i * size, 0.0) for i in range(n)]


def until(condition, wait_s=PATIENCE_S):
    end = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def drain(thread, wait_s=PATIENCE_S):
    blocks = []
    end = time.monotonic() + wait_s
    while not thread.spent and time.monotonic() < end:
        block = thread.get(0.05)
        if block is not None:
            blocks.append(block)
    return blocks


def test_a_finite_source_is_handed_over_whole_and_finishes():
    with CaptureThread("a", openings(Scripted(steps(7))), live=False, finite=True) as thread:
        blocks = drain(thread)
        status = thread.status()
    assert [block.start for block in blocks] == list(range(0, 700, 100))
    assert (status.finished, status.error, status.up, status.frames) == (True, None, False, 700)
    assert (status.lost_s, status.dropped_blocks, status.restarts) == (0.0, 0, 0)
    assert thread.sample_rate == RATE


def test_a_late_worker_holds_a_file_back_and_loses_nothing():
    thread = CaptureThread("a", openings(Scripted(steps(50))), live=False, finite=True, queue_s=0.5)
    with thread:
        until(lambda: thread.held_s >= 0.5)
        time.sleep(0.05)
        assert thread.held_s == pytest.approx(0.5)
        assert len(drain(thread)) == 50
    assert thread.status().dropped_blocks == 0


def test_a_late_worker_loses_the_oldest_live_audio_and_sees_the_gap():
    source = Scripted(steps(50), stay)
    with CaptureThread("a", openings(source), live=True, finite=False, queue_s=0.5) as thread:
        until(lambda: thread.status().frames == 5000)
        until(lambda: thread.status().dropped_blocks == 45)
        blocks = [thread.get(PATIENCE_S) for _ in range(5)]
        status = thread.status()
    assert [block.start for block in blocks] == [4500, 4600, 4700, 4800, 4900]
    assert status.lost_s == pytest.approx(4.5)


def test_audio_dropped_in_the_middle_is_a_gap_for_the_resampler():
    go_on = threading.Event()
    source = Scripted(steps(3), None)

    def blocks():
        yield from steps(3)
        go_on.wait(PATIENCE_S)
        yield from steps(50, start=300)

    source.blocks = blocks
    with CaptureThread("a", openings(source), live=True, finite=True, queue_s=0.5) as thread:
        until(lambda: thread.status().frames == 300)
        taken = [thread.get(PATIENCE_S)]
        go_on.set()
        until(lambda: thread.status().finished)
        taken += drain(thread)
    resampler = Resampler(RATE, 800)
    out = [block for taken_block in taken for block in resampler.push(taken_block)]
    out += resampler.flush()
    ends = [block.start + len(block.samples) for block in out]
    assert sum(a.start != end for a, end in zip(out[1:], ends, strict=False)) == 1


def test_a_failed_source_comes_back_after_a_gap_of_at_least_the_time_that_passed(caplog):
    flaky = openings(
        Scripted(steps(3), fail()),
        CaptureError("still away"),
        CaptureError("still away"),
        Scripted(steps(2, start=40), stay),
    )
    caplog.set_level(logging.INFO)
    began = time.monotonic()
    thread = CaptureThread("mic", flaky, live=True, finite=False, backoff=Backoff(0.1, 0.1))
    with thread:
        blocks = [thread.get(PATIENCE_S) for _ in range(5)]
        passed = time.monotonic() - began
        until(lambda: thread.status().up)
        status = thread.status()
    starts = [block.start for block in blocks]
    assert starts[:3] == [0, 100, 200]
    gap = starts[3] - 300
    assert 0.3 * RATE - 100 <= gap <= passed * RATE + 1  # the first block took 100 to be captured
    assert starts[4] == starts[3] + 100
    assert (status.restarts, status.reason, status.finished) == (3, "", False)
    assert status.lost_s == pytest.approx(gap / RATE)
    changes = [record.message for record in caplog.records if "state=" in record.message]
    states = ["state=up", "state=down", "state=down", "state=up"]
    assert [message.split()[1] for message in changes[:4]] == states
    assert "unplugged" in changes[1]
    assert "still away" in changes[2]


def test_a_missing_microphone_is_a_reason_with_progress_and_not_a_hang():
    thread = CaptureThread(
        "mic", openings(CaptureError("no microphone 'USB'")), live=True, finite=False, backoff=QUICK
    )
    with thread:
        until(lambda: thread.status().restarts >= 3)
        status, progress = thread.status(), thread.progress
        assert (status.up, status.finished, status.reason) == (False, False, "no microphone 'USB'")
        until(lambda: thread.progress > progress)


def test_a_long_wait_counts_as_progress_every_second():
    slept = []
    enough, go_on = threading.Event(), threading.Event()

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 40:
            enough.set()
            go_on.wait(PATIENCE_S)

    with CaptureThread(
        "mic",
        openings(CaptureError("away")),
        live=True,
        finite=False,
        backoff=Backoff(8.0, 30.0),
        rng=random.Random(1),
        sleep=sleep,
    ) as thread:
        try:
            assert enough.wait(PATIENCE_S)
            assert thread.progress >= 40
            assert max(slept) <= 1.0
            assert sum(slept) > 30.0
        finally:
            go_on.set()


def test_a_source_that_ends_is_opened_again_unless_it_is_finite():
    with CaptureThread(
        "a", openings(Scripted(steps(1))), live=True, finite=False, backoff=QUICK
    ) as thread:
        until(lambda: thread.status().restarts >= 2)
        assert thread.status().finished is False
        until(lambda: "ended" in thread.status().reason)


@pytest.mark.parametrize("error", [DataError("broken.wav: truncated"), ConfigError("wrong")])
@pytest.mark.parametrize("when", ["opening", "reading"])
def test_what_trying_again_cannot_mend_ends_with_the_error_kept(error, when):
    def then(_):
        raise error

    source = error if when == "opening" else Scripted(steps(1), then)
    with CaptureThread("a", openings(source), live=False, finite=True) as thread:
        blocks = drain(thread)
        status = thread.status()
    assert len(blocks) == (when == "reading")
    assert status.finished
    assert status.error is error
    assert status.reason == str(error)


def test_an_unexpected_exception_is_logged_and_retried(caplog):
    def then(_):
        raise ZeroDivisionError("driver bug")

    with CaptureThread(
        "a", openings(Scripted(steps(1), then)), live=True, finite=False, backoff=QUICK
    ) as thread:
        until(lambda: thread.status().restarts >= 2)
        until(lambda: "ZeroDivisionError: driver bug" in thread.status().reason)
    assert any(record.exc_info for record in caplog.records)


def test_a_source_that_comes_back_at_half_its_rate_is_refused_with_the_remedy():
    sources = openings(Scripted(steps(1), fail()), Scripted(steps(1), stay, rate=RATE // 2))
    with CaptureThread("a", sources, live=True, finite=False, backoff=QUICK) as thread:
        until(lambda: "came back at 500 Hz, was 1000 Hz" in thread.status().reason)
        assert "add rate=1000 to the source" in thread.status().reason
        assert thread.sample_rate == RATE


def test_a_source_that_comes_back_at_twice_its_rate_goes_on_at_the_first():
    sources = openings(Scripted(steps(1), fail()), Scripted(steps(40), stay, rate=2 * RATE))
    with CaptureThread("a", sources, live=True, finite=False, backoff=QUICK) as thread:
        until(lambda: thread.status().frames > 1500)
        assert (thread.sample_rate, thread.status().up) == (RATE, True)


def test_down_is_told_before_a_wedged_source_is_closed():
    let_go, closing = threading.Event(), threading.Event()

    def stall(_):
        raise StallError("silent for 3 s")

    def close():
        closing.set()
        let_go.wait(PATIENCE_S)

    source = Scripted(steps(1), stall)
    source.close = close
    with CaptureThread("a", openings(source), live=True, finite=False, backoff=QUICK) as thread:
        try:
            assert closing.wait(PATIENCE_S)
            assert (thread.status().up, thread.status().reason) == (False, "silent for 3 s")
        finally:
            let_go.set()
        until(lambda: thread.status().stalled >= 1)


def test_a_live_source_that_falls_silent_is_down_while_it_is_waited_for():
    now = [100.0]
    go_on = threading.Event()

    def wait(_):
        go_on.wait(PATIENCE_S)

    thread = CaptureThread(
        "a", openings(Scripted(steps(1), wait)), live=True, finite=False, clock=lambda: now[0]
    )
    with thread:
        until(lambda: thread.status().up)
        now[0] += 1.9
        assert thread.status().up
        now[0] += 0.2
        assert (thread.status().up, thread.status().reason) == (False, "silent for more than 2 s")
        go_on.set()


def test_a_file_that_waits_for_its_worker_is_not_silent():
    now = [100.0]
    thread = CaptureThread(
        *("a", openings(Scripted(steps(50)))),
        live=False, finite=True, queue_s=0.2, clock=lambda: now[0],
    )  # fmt: skip
    with thread:
        until(lambda: thread.held_s >= 0.2)
        now[0] += 3600.0
        assert thread.status().up


def test_an_exception_on_opening_is_retried_too(caplog):
    with CaptureThread(
        "a", openings(ZeroDivisionError("bug")), live=True, finite=False, backoff=QUICK
    ) as thread:
        until(lambda: thread.status().open_failed >= 2)
        assert "ZeroDivisionError: bug" in thread.status().reason
    assert any(record.exc_info for record in caplog.records)


def test_a_new_sound_card_ends_a_long_delay():
    cards = ["none"]
    tried = []

    def open_source():
        tried.append(cards[0])
        if cards[0] == "none":
            raise CaptureError("no microphone")
        return Scripted(steps(1), stay)

    thread = CaptureThread(
        *("a", open_source), live=True, finite=False,
        backoff=Backoff(3600.0, 3600.0), surroundings=lambda: cards[0],
    )  # fmt: skip
    with thread:
        until(lambda: thread.status().reason == "no microphone")
        cards[0] = "USB"
        until(lambda: thread.status().up)
    assert tried == ["none", "USB"]


def test_a_missing_microphone_is_one_line_in_the_log_however_often_it_is_tried(caplog):
    caplog.set_level(logging.INFO)
    with CaptureThread(
        "mic", openings(CaptureError("no microphone")), live=True, finite=False, backoff=QUICK
    ) as thread:
        until(lambda: thread.status().open_failed >= 20)
    lines = [record.message for record in caplog.records if "state=down" in record.message]
    assert lines == ["source=mic state=down reason='no microphone'"]


def test_audio_lost_between_two_reads_is_a_gap_and_counted():
    def blocks():
        for at in range(60):
            lost_s = 1.0 if at >= 30 else 0.0
            yield Block(ramp(100), at * 100, 1e9 + at * 0.1 + lost_s)

    source = Scripted([], None)
    source.blocks = blocks
    with CaptureThread("a", openings(source), live=True, finite=True) as thread:
        starts = [block.start for block in drain(thread)]
        status = thread.status()
    assert starts == [at * 100 + (1000 if at >= 30 else 0) for at in range(60)]
    assert (status.lost_s, status.surplus_s) == (pytest.approx(1.0), 0.0)


def test_what_was_withheld_is_handed_over_when_the_source_fails():
    blocks = [Block(ramp(100), at * 100, 1e9 + at * 0.1 + 0.5 * (at >= 3)) for at in range(5)]
    source = Scripted([], None)
    source.blocks = lambda: iter(blocks)
    with CaptureThread("a", openings(source), live=True, finite=True) as thread:
        assert len(drain(thread)) == 5


def test_the_device_and_its_identity_are_in_the_status(caplog):
    caplog.set_level(logging.INFO)
    source = Scripted(steps(1), stay)
    source.device, source.identity = "USB Audio (hw:1,0)", "usb:0d8c:0014"
    with CaptureThread("mic", openings(source), live=True, finite=False) as thread:
        until(lambda: thread.status().up)
        status = thread.status()
    assert (status.device, status.identity) == ("USB Audio (hw:1,0)", "usb:0d8c:0014")
    assert "source=mic state=up rate=1000 device='USB Audio (hw:1,0)'" in caplog.messages


def test_driver_losses_are_counted():
    blocks = [Block(ramp(100), 0, 0.0), Block(ramp(100), 350, 0.0, overflowed=True)]
    with CaptureThread("a", openings(Scripted(blocks)), live=True, finite=True) as thread:
        assert [block.overflowed for block in drain(thread)] == [False, True]
        status = thread.status()
    assert (status.overflows, status.lost_s) == (1, pytest.approx(0.25))


@pytest.mark.parametrize("where", ["reading", "opening"])
def test_close_returns_within_two_seconds_however_the_source_hangs(where):
    never = threading.Event()
    hanging = threading.Event()

    def hang(*_):
        hanging.set()
        never.wait(PATIENCE_S)

    source = Scripted(steps(1), hang)
    source.close = hang

    def open_source():
        if where == "opening":
            hang()
        return source

    thread = CaptureThread("a", open_source, live=True, finite=False).start()
    until(hanging.is_set if where == "opening" else lambda: thread.status().frames == 100)
    with Stopwatch(os.getpid()) as watch:
        thread.close()
    assert watch.own_s < 2.0
    assert thread.status().finished
    assert thread.status().up is False
    while thread.get(0.0) is not None:
        pass
    assert thread.spent
    never.set()


def test_close_wakes_a_file_that_waits_for_its_worker():
    source = Scripted(steps(50))
    thread = CaptureThread("a", openings(source), live=False, finite=True, queue_s=0.2).start()
    until(lambda: thread.held_s >= 0.2)
    thread.close()
    assert source.closed.is_set()
    assert not thread._thread.is_alive()
    assert thread.status().reason == "closed"


def test_threads_carry_the_name_of_their_source():
    with CaptureThread("pump-1", openings(Scripted([], stay)), live=True, finite=False) as thread:
        assert "capture-pump-1" in {other.name for other in threading.enumerate()}
        assert thread.get(0.01) is None


def test_delays_double_with_jitter_up_to_the_limit():
    rng = random.Random(3)
    backoff = Backoff()
    drawn = np.array([[backoff.delay_s(k, rng) for k in range(1, 12)] for _ in range(200)])
    assert drawn.min() >= 0.5
    assert drawn.max() <= 30.0
    assert np.all(drawn[:, 0] <= 1.0)
    assert np.all(drawn[:, -1] >= 15.0)
    assert np.all(np.diff(drawn.mean(axis=0)[:6]) > 0)
    assert np.all(drawn.std(axis=0) > 0)


def test_a_file_and_a_program_run_through_capture_to_their_end(tmp_path):
    samples = (np.random.default_rng(0).uniform(-1, 1, 24000) * 32767).astype("<i2")
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="PCM_16")
    (tmp_path / "a.raw").write_bytes(samples.tobytes())
    want = samples.astype(np.float32) / 32768
    for uri in (f"file:{tmp_path}/a.wav", f"exec:cat {tmp_path}/a.raw"):
        with capture("a", uri, once=True) as thread:
            got = np.concatenate([block.samples[:, 0] for block in drain(thread)])
            np.testing.assert_array_equal(got, want)
            assert thread.status().error is None


def test_a_broken_file_ends_its_capture_with_the_reason(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"not audio at all")
    with capture("a", f"file:{tmp_path}/a.wav") as thread:
        until(lambda: thread.status().finished)
        assert isinstance(thread.status().error, DataError)
