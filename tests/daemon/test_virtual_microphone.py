"""Microphones on a real PortAudio: every sample as it was played, every fault seen and survived."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
from dataclasses import dataclass

import numpy as np
import pytest
from support.pulse import SoundServer, VirtualMicrophone

from edge_asd.capture import Resampler, capture
from edge_asd.steady import SteadyClock

pytestmark = pytest.mark.real_time

DETECTED_S, RECOVERED_S = 3.0, 10.0
"""What is promised: a fault is seen, and audio flows again once its cause is gone."""

OUTAGE_S = 3.0
PATIENCE_S = 60.0

logger = logging.getLogger(__name__)


class Ear:
    """Takes every block of a capture thread while conditions are waited for."""

    def __init__(self, thread):
        self.thread = thread
        self.blocks = []

    @property
    def status(self):
        return self.thread.status()

    def listen(self, until, what="it"):
        """Take blocks until a condition holds; seconds that took."""
        began = time.monotonic()
        while not until():
            if (block := self.thread.get(0.02)) is not None:
                self.blocks.append(block)
            assert time.monotonic() < began + PATIENCE_S, f"{what} never came: {self.status}"
        return time.monotonic() - began

    def hear(self, seconds):
        """Take that much more audio."""
        rate = self.listen_rate()
        end = len(self.blocks)
        self.listen(lambda: sum(len(b.samples) for b in self.blocks[end:]) >= seconds * rate)

    def listen_rate(self):
        self.listen(lambda: self.thread.sample_rate is not None, "the first opening")
        return self.thread.sample_rate

    @property
    def gaps(self):
        """Samples that are missing before blocks, without the blocks where none are."""
        pairs = itertools.pairwise(self.blocks)
        return [gap for a, b in pairs if (gap := b.start - a.start - len(a.samples))]

    def samples(self, channel=0):
        """All that was heard, without the silence before the first sound."""
        samples = np.concatenate([block.samples[:, channel] for block in self.blocks])
        return samples[np.flatnonzero(samples)[0] :]


def as_played(microphone, samples, begin, channel=0):
    """How many of these samples are, one by one, those that were played from ``begin`` on."""
    played = microphone.samples(begin, len(samples))[:, channel]
    return int((np.round(samples * 32768.0) == played).sum())


@pytest.fixture
def hearing():
    """Starts capture threads that end with the test."""
    threads = []

    def start(uri, **options):
        threads.append(capture(uri.removeprefix("alsa:"), uri, **options).start())
        return Ear(threads[-1])

    yield start
    for thread in threads:
        thread.close()


def test_every_sample_arrives_as_it_was_played(hearing):
    with SoundServer(VirtualMicrophone("mic0", lossless=True)) as server:
        ear = hearing("alsa:mic0?rate=16000")
        ear.hear(9.0)
        ear.thread.close()
    heard = ear.samples()[:128_000]
    assert len(heard) == 128_000
    begin = server["mic0"].locate(heard)
    assert begin is not None
    assert as_played(server["mic0"], heard, begin) == 128_000
    assert (ear.gaps, ear.status.overflows) == ([], 0)


def test_a_microphone_of_48_khz_is_resampled_without_a_trace_of_what_does_not_fit(hearing):
    rate, amplitude = 48_000, 0.15
    inside, outside = (1000, 5000), (9500, 13_000, 20_000)  # these would come at 6500, 3000, 4000
    t = np.arange(rate) / rate
    tones = sum(amplitude * np.sin(2 * np.pi * f * t) for f in (*inside, *outside))
    signal_ = np.round(tones * 32767.0)
    with SoundServer(VirtualMicrophone("mic0", rate=rate, signal=signal_, lossless=True)):
        ear = hearing("alsa:mic0")
        ear.hear(5.0)
        assert ear.thread.sample_rate == rate
        ear.thread.close()
    assert ear.gaps == []
    resampler = Resampler(rate, 16_000)
    out = [made for block in ear.blocks for made in resampler.push(block)]
    mono = np.concatenate([block.samples[:, 0] for block in out])[8000 : 8000 + 3 * 16_000]
    window = np.hanning(len(mono))
    spectrum = 2.0 * np.abs(np.fft.rfft(mono * window)) / window.sum()
    hz = np.fft.rfftfreq(len(mono), 1 / 16_000)
    for frequency in inside:
        near = np.abs(hz - frequency) < 3.0
        assert spectrum[near].max() == pytest.approx(amplitude, rel=0.01)
        assert hz[near][spectrum[near].argmax()] == pytest.approx(frequency, abs=0.4)
    rest = np.all([np.abs(hz - frequency) > 3.0 for frequency in inside], axis=0)
    assert 20 * np.log10(spectrum[rest].max() / amplitude) < -85.0


def test_a_block_ends_with_the_sample_that_somebody_waits_for(hearing):
    microphone = VirtualMicrophone("mic0", lossless=True)
    with SoundServer(microphone):
        ear = hearing("alsa:mic0?rate=16000")
        ear.hear(0.3)
        for _ in range(3):
            last = ear.blocks[-1]
            due = last.start + len(last.samples) + 9_876
            ear.thread.expect(due)
            ear.hear(0.9)
            assert due in [block.start + len(block.samples) for block in ear.blocks]
        ear.thread.close()
    heard = ear.samples()
    assert as_played(microphone, heard, microphone.locate(heard)) == len(heard)
    assert ear.gaps == []


def test_two_microphones_are_heard_at_once_and_apart(hearing):
    first, second = (VirtualMicrophone(name, lossless=True) for name in ("mic0", "mic1"))
    with SoundServer(first, second):
        ears = [hearing(f"alsa:{name}?rate=16000") for name in ("mic0", "mic1")]
        for _ in range(15):
            for ear in ears:
                ear.hear(0.2)
        identities = [ear.status.identity for ear in ears]
        for ear in ears:
            ear.thread.close()
    for ear, microphone, other in ((ears[0], first, second), (ears[1], second, first)):
        heard = ear.samples()
        begin = microphone.locate(heard)
        assert begin is not None
        assert as_played(microphone, heard, begin) == len(heard) > 2 * 16_000
        assert other.locate(heard) is None
        assert ear.gaps == []
    assert identities == ["mic0", "mic1"]


def test_several_channels_come_through_one_child(hearing):
    with SoundServer(VirtualMicrophone("mic0", channels=2, lossless=True)) as server:
        ear = hearing("alsa:mic0?rate=16000", channels=2)
        ear.hear(2.0)
        assert server.listeners("mic0") == 1
        ear.thread.close()
    begin = server["mic0"].locate(ear.samples())
    for channel in (0, 1):
        heard = ear.samples(channel)
        assert as_played(server["mic0"], heard, begin, channel) == len(heard)


def test_a_microphone_that_is_not_there_yet_is_waited_for(hearing):
    with SoundServer(VirtualMicrophone("mic0")) as server:
        server.unload("mic0")
        ear = hearing("alsa:mic0?rate=16000")
        ear.listen(lambda: ear.status.open_failed >= 2, "the second attempt")
        assert (ear.status.up, ear.status.lost_s) == (False, 0.0)
        server.load("mic0")
        assert ear.listen(lambda: ear.status.up, "the microphone") < RECOVERED_S


def child_of(ear):
    return ear.thread._source._child._process.pid


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and how its cause goes away."""

    begin: object
    end: object
    reason: str
    others: tuple = ()
    """More microphones."""


FAULTS = {
    "unloaded": Fault(
        lambda server, _: server.unload("mic0"), lambda server, _: server.load("mic0"), ""
    ),
    "server_killed": Fault(lambda server, _: server.kill(), lambda server, _: server.restart(), ""),
    "starved": Fault(
        lambda server, _: server["mic0"].starve(),
        lambda server, _: server["mic0"].resume(),
        "silent",
    ),
    "suspended": Fault(
        lambda server, _: server.suspend("mic0"), lambda server, _: server.resume("mic0"), "silent"
    ),
    "re_routed": Fault(
        lambda server, _: server.unload("mic0"),
        lambda server, _: server.load("mic0"),
        "moved the stream from 'mic0' to 'mic1'",
        ("mic1",),
    ),
    "wedged": Fault(
        lambda _, ear: os.kill(child_of(ear), signal.SIGSTOP), lambda _server, _ear: None, "silent"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen_survived_and_accounted_for(hearing, name):
    fault = FAULTS[name]
    microphone = VirtualMicrophone("mic0")
    others = [VirtualMicrophone(other) for other in fault.others]
    with SoundServer(microphone, *others) as server:
        ear = hearing("alsa:mic0?rate=16000", clock=SteadyClock())
        ear.hear(2.0)
        before = len(ear.blocks)
        fault.begin(server, ear)
        detected_s = ear.listen(lambda: not ear.status.up, "the fault")
        reason = ear.status.reason
        if name != "wedged":  # that ends with the child, which is ended at once
            began = time.monotonic()
            ear.listen(lambda: time.monotonic() > began + OUTAGE_S)
            assert not ear.status.up
        fault.end(server, ear)
        heard = len(ear.blocks)
        recovered_s = ear.listen(lambda: ear.status.up and len(ear.blocks) > heard, "the recovery")
        ear.hear(2.0)
        status = ear.status
        logger.info("fault=%s detected_s=%.2f recovered_s=%.2f", name, detected_s, recovered_s)
    assert detected_s < DETECTED_S
    assert recovered_s < RECOVERED_S
    assert fault.reason in reason
    assert status.restarts >= 1
    assert len(ear.gaps) >= 1
    assert status.lost_s == pytest.approx(sum(ear.gaps) / 16_000, abs=0.01)
    # What was played tells how long the outage really was.
    first, last = ear.blocks[before - 1], ear.blocks[-1]
    played = (microphone.locate(last.samples[:, 0]) - microphone.locate(first.samples[:, 0])) % len(
        microphone.signal
    )
    assert (last.start - first.start) / 16_000 == pytest.approx(played / 16_000, abs=0.5)
    assert last.captured_at - first.captured_at == pytest.approx(played / 16_000, abs=0.5)
    for other in others:
        assert not any(other.locate(block.samples[:, 0]) for block in ear.blocks)


def test_a_second_that_is_lost_in_a_running_stream_is_a_gap_where_it_was(hearing):
    microphone = VirtualMicrophone("mic0")
    with SoundServer(microphone):
        ear = hearing("alsa:mic0?rate=16000", clock=SteadyClock())
        ear.hear(4.0)
        microphone.starve()
        began = time.monotonic()
        ear.listen(lambda: time.monotonic() > began + 1.0)
        microphone.resume()
        lost_s = time.monotonic() - began
        ear.listen(lambda: ear.status.lost_s > 0.0, "the loss")
        ear.hear(2.0)
        status = ear.status
    assert status.restarts == 0
    (gap,) = ear.gaps
    assert gap / 16_000 == pytest.approx(lost_s, abs=0.3)
    blocks = ear.blocks
    at = next(k for k in range(1, len(blocks)) if blocks[k].start - blocks[k - 1].start > 1600)
    # Both sides of the gap were played when their indices say, to within a block.
    for before, after in ((blocks[at - 2], blocks[at + 1]), (blocks[0], blocks[-1])):
        played = microphone.locate(after.samples[:, 0]) - microphone.locate(before.samples[:, 0])
        wanted = (played % len(microphone.signal)) / 16_000
        assert (after.start - before.start) / 16_000 == pytest.approx(wanted, abs=0.2)


def test_a_reader_that_is_late_loses_nothing(hearing):
    microphone = VirtualMicrophone("mic0")
    with SoundServer(microphone):
        ear = hearing("alsa:mic0?rate=16000", clock=SteadyClock())
        ear.hear(4.0)
        os.kill(child_of(ear), signal.SIGSTOP)
        began = time.monotonic()
        ear.listen(lambda: time.monotonic() > began + 1.2)
        os.kill(child_of(ear), signal.SIGCONT)
        ear.hear(4.0)
        status = ear.status
    assert (status.lost_s, status.surplus_s, status.restarts, ear.gaps) == (0.0, 0.0, 0, [])
    heard = ear.samples()
    if not microphone.unheard:
        assert as_played(microphone, heard, microphone.locate(heard)) == len(heard)
    dated = np.diff([block.captured_at for block in ear.blocks])
    assert np.abs(dated[20:] - 0.1).max() < 0.1  # time goes on through the burst
