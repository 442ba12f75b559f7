"""A block ends where somebody waits for it: with the sample that completes a window."""

from __future__ import annotations

import shlex
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.capture import CaptureThread, Resampler, open_source
from edge_asd.capture.drift import DriftMeter
from edge_asd.capture.due import Due
from edge_asd.capture.timeline import Timeline
from edge_asd.protocols import PunctualSource
from edge_asd.records import Block
from edge_asd.window import Windower

USUAL = 100
RATE = 8000


@given(st.integers(1, 5000), st.integers(0, 3 * USUAL))
def test_no_block_is_short_because_one_ends_where_it_is_due(index, told_before):
    due, start, ends, lengths = Due(), 0, [], []
    while start < index + 300:
        if start >= index - told_before - 3 * USUAL:
            due.index = index
        lengths.append(due.length(start, USUAL))
        start += lengths[-1]
        ends.append(start)
    assert index in ends
    assert max(lengths) <= 1.5 * USUAL
    in_time = index >= 3 * USUAL  # told of before less than a block was left
    assert not in_time or min(lengths) >= 0.5 * USUAL


def test_what_has_passed_or_is_far_away_cuts_nothing():
    due = Due()
    assert due.length(0, USUAL) == USUAL
    due.index = 1000
    assert [due.length(start, USUAL) for start in (0, 849, 1000, 1001)] == [USUAL] * 4
    assert due.length(850, USUAL) == 150


@given(st.integers(-5, 30))
def test_a_block_that_is_there_already_is_parted(index):
    due, block = Due(), np.arange(20, dtype=np.float32)[:, None]
    due.index = index
    parts = due.parts(block, 5)
    assert_array_equal(np.concatenate(parts), block)
    assert [len(part) for part in parts] == ([index - 5, 25 - index] if 5 < index < 25 else [20])


def paced(tmp_path, kind):
    if kind == "sim":
        return "sim:fan?rate=8000&seconds=1&speed=1"
    if kind == "file":
        noise = np.random.default_rng(0).normal(0.0, 0.1, RATE)
        soundfile.write(tmp_path / "a.wav", noise, RATE)
        return f"file:{tmp_path}/a.wav?speed=1"
    code = "import sys; sys.stdout.buffer.write(bytes(range(250)) * 64)"
    return f"exec:{shlex.quote(sys.executable)} -S -c {shlex.quote(code)}?rate=8000"


@pytest.mark.parametrize("kind", ["sim", "file", "exec"])
def test_a_source_ends_a_block_where_it_is_due_and_changes_no_sample(tmp_path, kind):
    uri = paced(tmp_path, kind)
    plain = list(open_source(uri).blocks())
    source = open_source(uri)
    assert isinstance(source, PunctualSource)
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        source.expect(7321)
    assert 7321 in [block.start + len(block.samples) for block in blocks]
    assert 7321 not in [block.start + len(block.samples) for block in plain]
    assert_array_equal(*(np.concatenate([b.samples for b in some]) for some in (blocks, plain)))
    assert [b.start for b in blocks] == list(np.cumsum([0, *(len(b.samples) for b in blocks[:-1])]))


def test_a_source_as_fast_as_it_is_taken_is_cut_as_ever():
    source = open_source("sim:fan?rate=8000&seconds=3&speed=max")
    source.expect(100)
    assert [len(block.samples) for block in source.blocks()] == [8000] * 3


DRIVER = """
import time

class PortAudioError(Exception):
    pass

def query_hostapis():
    return [{"name": "ALSA", "default_input_device": 0}]

def query_devices():
    return [{"name": "mic", "hostapi": 0, "max_input_channels": 1, "default_samplerate": 8000.0}]

class RawInputStream:
    def __init__(self, **settings):
        pass

    def start(self):
        pass

    def read(self, frames):
        time.sleep(frames / 8000)
        return bytes(frames * 4), False

    def abort(self, ignore_errors):
        pass

    def close(self, ignore_errors):
        pass
"""


def test_the_process_that_reads_a_microphone_is_told(tmp_path, monkeypatch):
    (tmp_path / "sounddevice.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    source = open_source("alsa:?channels=1")
    ends = []
    for block in source.blocks():
        ends.append(block.start + len(block.samples))
        source.expect(4321)
        if ends[-1] >= 4321:
            break
    source.close()
    assert ends[-1] == 4321
    assert ends[:3] == [800, 1600, 2400]  # of the usual length before


class Source:
    """Gives blocks of 0.1 s and notes what is expected of it."""

    sample_rate = RATE

    def __init__(self):
        self.expected = []

    def expect(self, index):
        self.expected.append(index)

    def blocks(self):
        for number in range(3):
            yield Block(np.ones((800, 1), np.float32), 800 * number, 100.0 + number / 10)

    def close(self):
        pass


def test_a_capture_thread_hands_the_wish_on_while_the_source_is_open():
    source = Source()
    thread = CaptureThread("mic", lambda: source, live=False, finite=True, queue_s=0.1)
    thread.expect(900)  # nobody is there yet
    with thread:
        assert thread.get(30.0) is not None
        thread.expect(900)
        while thread.get(30.0) is not None:
            pass
    assert source.expected == [900]


def test_an_index_of_the_stream_is_found_again_in_the_source():
    timeline = Timeline("mic", live=True)
    assert timeline.source_index(100) is None
    for opening, at_s in enumerate((0.0, 20.0)):
        timeline.open(RATE)
        for number in range(5):
            block = Block(np.ones((800, 1), np.float32), 800 * number, 100.0 + at_s + number / 10)
            for placed in timeline.push(block):
                assert timeline.source_index(placed.start + 7) == block.start + 7
                assert (placed.start == block.start) == (opening == 0)
        timeline.close()


def test_audio_that_was_found_lost_is_not_looked_for_in_the_source():
    meter, timeline = DriftMeter(RATE), Timeline("mic", live=True)
    timeline.open(RATE)
    for number in range(60):
        late_s = 1.0 if number >= 20 else 0.0
        block = Block(np.ones((800, 1), np.float32), 800 * number, 100.0 + number / 10 + late_s)
        placed = [*meter.push(block), *timeline.push(block)]
    assert meter.shift == RATE
    assert timeline.source_index(placed[-1].start) == 800 * 59


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_a_window_is_complete_with_the_sample_that_is_due_and_not_before(rate):
    noise = np.random.default_rng(0).normal(0.0, 0.1, (3 * rate, 1)).astype(np.float32)
    resampler, windower, due = Resampler(rate, 16_000), Windower(16_000, 4000, 16_000), Due()
    start, ends, gone = 0, [], []
    while start + rate // 5 < len(noise):
        part = noise[start : start + due.length(start, rate // 10)]
        pushed = resampler.push(Block(part, start, 100.0 + start / rate))
        windows = [window for block in pushed for window in windower.push(block)]
        start += len(part)
        ends += [start] * len(windows)
        if start == due.index:
            gone.append(start)
        due.index = resampler.due(windower.due) or 0
    assert len(ends) >= 6
    assert ends == gone
    heard_s = 1.0 + 0.25 * np.arange(len(ends))
    behind_s = np.asarray(ends) / rate - heard_s
    assert behind_s.min() >= 0.0
    assert behind_s.max() < 0.0001 + (0.0 if rate == 16_000 else 0.0072 * max(1, 16_000 / rate))
