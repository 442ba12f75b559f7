"""On a real sound server: the right microphone, bit for bit, and never silently another one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.pulse import SoundServer, VirtualMicrophone

from edge_asd.capture import Microphone, capture, parse_source
from edge_asd.errors import CaptureError, StallError
from edge_asd.steady import SteadyClock

pytestmark = pytest.mark.real_time

RATE = 16_000
NOTICED_S = 1.0


@contextlib.contextmanager
def opened(uri, **settings):
    microphone = Microphone(parse_source(uri), **settings)
    try:
        yield microphone
    finally:
        microphone.close()


@contextlib.contextmanager
def listening(uri, **settings):
    """A microphone that has delivered its first block, and its blocks."""
    with opened(uri, **settings) as microphone:
        blocks = microphone.blocks()
        next(blocks)
        yield microphone, blocks


def take(blocks, n):
    """The next n samples of channel 0, and the blocks they are in."""
    taken = []
    while sum(len(block.samples) for block in taken) < n:
        taken.append(next(blocks))
    return np.concatenate([block.samples[:, 0] for block in taken])[:n], taken


def failure(blocks):
    """How long it takes until the stream ends with an error, and the error."""
    began = time.monotonic()
    with pytest.raises(CaptureError) as caught:
        for _ in blocks:
            pass
    return time.monotonic() - began, str(caught.value)


def test_eight_seconds_at_16_khz_arrive_bit_for_bit_in_order_and_in_time():
    with SoundServer(VirtualMicrophone("mic0", lossless=True)) as server:
        clock = SteadyClock()
        with opened("alsa:mic0", clock=clock) as microphone:
            assert (microphone.sample_rate, microphone.identity) == (RATE, "mic0")
            opened_at = clock.now()
            got, blocks = take(microphone.blocks(), 128_000)
        # Silence comes before the first sample that the test's own pipe wrote.
        first = int(np.flatnonzero(got)[0])
        at = server["mic0"].locate(got[first:])
        assert at is not None
        wanted = server["mic0"].samples(at, 128_000 - first)[:, 0]
        np.testing.assert_array_equal(got[first:], wanted.astype(np.float32) / 32768.0)
        assert first < RATE
        assert [block.start for block in blocks] == list(range(0, 128_000, 1600))
        assert not any(block.overflowed for block in blocks)
        assert opened_at - 2.0 <= blocks[0].captured_at <= clock.now() - 128_000 / RATE + 2.0


def test_a_microphone_is_opened_at_its_own_rate_and_not_at_portaudio_s():
    # PortAudio calls 44100 Hz the own rate of both.
    with SoundServer(VirtualMicrophone("mic0"), VirtualMicrophone("mic1", rate=48_000)):
        for name, rate in (("mic0", 16_000), ("mic1", 48_000)):
            with listening(f"alsa:{name}") as (microphone, blocks):
                assert microphone.sample_rate == rate
                assert len(next(blocks).samples) == rate // 10
        with listening("alsa:mic1?rate=16000") as (microphone, _):
            assert microphone.sample_rate == 16_000


def test_two_microphones_at_once_are_not_mixed_up():
    microphones = VirtualMicrophone("mic0"), VirtualMicrophone("mic1")
    with (
        SoundServer(*microphones),
        listening("alsa:mic0") as first,
        listening("alsa:mic1") as second,
    ):
        for (microphone, blocks), played, other in zip(
            (first, second), microphones, microphones[::-1], strict=True
        ):
            got, _ = take(blocks, RATE)
            heard = got[np.flatnonzero(got)[0] :]
            assert microphone.identity == played.name
            assert played.locate(heard) is not None
            assert other.locate(heard) is None


def test_only_the_channels_that_are_needed_are_delivered():
    with (
        SoundServer(VirtualMicrophone("mic0", channels=4)),
        listening("alsa:mic0", channels=3) as (microphone, blocks),
    ):
        assert next(blocks).samples.shape == (1600, 3)
        assert microphone.opened_channels == 3


def test_a_stream_that_the_sound_server_moves_to_another_microphone_ends_at_once():
    with SoundServer(VirtualMicrophone("mic0"), VirtualMicrophone("mic1")) as server:
        with listening("alsa:mic0") as (_, blocks):
            server.unload("mic0")
            took_s, said = failure(blocks)
        assert "the sound server moved the stream from 'mic0' to 'mic1'" in said
        assert took_s < NOTICED_S


def test_a_moved_stream_is_refused_when_it_is_opened_again_and_taken_back_when_it_returns():
    # A name that leads wherever the sound server likes, as the default does.
    with SoundServer(VirtualMicrophone("mic0"), VirtualMicrophone("mic1")) as server:
        with opened("alsa:pulse") as microphone:
            expected = microphone.identity
        assert expected == "mic0"
        server.unload("mic0")
        with pytest.raises(CaptureError) as caught:
            Microphone(parse_source("alsa:pulse"), expected_identity=expected)
        for part in ("'mic1'", "'mic0'", "plug that one in again", "edge-asd enrol"):
            assert part in str(caught.value)
        server.load("mic0")
        subprocess.run(["pactl", "set-default-source", "mic0"], check=True, timeout=20)
        with opened("alsa:pulse", expected_identity=expected) as microphone:
            assert microphone.identity == expected


def test_another_microphone_is_heard_only_after_an_operator_accepted_it():
    mics = (VirtualMicrophone("mic0"), VirtualMicrophone("mic1"))
    with SoundServer(*mics), capture("swapped", "alsa:mic1", expected_identity="mic0") as thread:
        until(lambda: "another microphone" in thread.status().reason)
        assert not thread.status().frames
        thread.accept_another_microphone()
        until(lambda: thread.status().up)
        assert thread.status().identity == "mic1"
        thread.accept_another_microphone()  # what is heard stays the one to be heard
        assert thread.status().up


def until(condition, patience_s=60.0):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_loudspeaker_plays_is_not_taken_for_a_microphone_unless_it_is_meant():
    meant = 'pcm.meant { type pulse device "nothing.monitor" hint { show on description "meant" } }'
    with SoundServer(VirtualMicrophone("mic0"), config=meant) as server:
        sink = ("module-null-sink", "sink_name=nothing")
        subprocess.run(["pactl", "load-module", *sink], check=True, capture_output=True, timeout=20)
        with opened("alsa:pulse") as microphone:
            assert microphone.identity == "mic0"
        server.unload("mic0")
        with pytest.raises(CaptureError, match=r"has no microphone.*'nothing' plays; plug one in"):
            Microphone(parse_source("alsa:pulse"))
        with opened("alsa:meant") as microphone:
            assert microphone.identity == "nothing.monitor"


def test_the_end_of_the_only_microphone_is_said_before_anyone_misses_a_block():
    with SoundServer(VirtualMicrophone("mic0")) as server, listening("alsa:mic0") as (_, blocks):
        server.unload("mic0")
        took_s, said = failure(blocks)
        assert re.search("'mic0' is gone|'mic0' stopped", said)
        assert took_s < NOTICED_S
        with pytest.raises(CaptureError, match=r"cannot open 'mic0'.*tried.*is it plugged in"):
            Microphone(parse_source("alsa:mic0"))


def test_the_death_of_the_sound_server_is_said_before_anyone_misses_a_block():
    with SoundServer(VirtualMicrophone("mic0")) as server, listening("alsa:mic0") as (_, blocks):
        server.kill()
        took_s, said = failure(blocks)
        assert re.search("went away|stopped", said)
        assert took_s < NOTICED_S
        server.restart()
        with listening("alsa:mic0", expected_identity="mic0") as (microphone, _):
            assert microphone.identity == "mic0"


def test_a_suspended_microphone_stays_the_same_and_falls_silent():
    with SoundServer(VirtualMicrophone("mic0")) as server:
        with listening("alsa:mic0", stall_s=0.8) as (_, blocks):
            server.suspend("mic0")
            with pytest.raises(StallError, match=r"silent for 0\.8 s"):
                for _ in blocks:
                    pass
        server.resume("mic0")
        with listening("alsa:mic0", expected_identity="mic0") as (_, blocks):
            assert len(next(blocks).samples) == 1600


def test_a_child_that_is_wedged_is_given_up_killed_and_replaced():
    with SoundServer(VirtualMicrophone("mic0")) as server:
        with listening("alsa:mic0", stall_s=0.8) as (microphone, blocks):
            os.kill(microphone._child._process.pid, signal.SIGSTOP)
            with pytest.raises(StallError):
                for _ in blocks:
                    pass
        assert microphone._child._process.returncode == -signal.SIGKILL
        with listening("alsa:mic0", expected_identity="mic0") as (_, blocks):
            got, _ = take(blocks, RATE)
            assert server["mic0"].locate(got[np.flatnonzero(got)[0] :]) is not None


def test_what_the_listing_shows_can_be_opened_and_probing_tells_a_tone_from_a_dead_microphone():
    tone = 0.5 * np.sin(2.0 * np.pi * 1000.0 * np.arange(48_000) / 48_000) * 32767.0
    with SoundServer(
        VirtualMicrophone("tone", rate=48_000, signal=tone, lossless=True),
        VirtualMicrophone("dead", signal=np.zeros(RATE), lossless=True),
        VirtualMicrophone("asleep"),
    ) as server:
        server.suspend("asleep")
        result = subprocess.run(
            [sys.executable, "-m", "edge_asd", "devices", "--probe", "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    found = {entry["source"]: entry["probe"] for entry in json.loads(result.stdout)}
    (heard,) = found["alsa:tone"]["channels"]
    assert (found["alsa:tone"]["rate"], found["alsa:tone"]["identity"]) == (48_000, "tone")
    assert heard["peak_dbfs"] == pytest.approx(-6.0, abs=0.2)
    assert not heard["digital_silence"]
    (nothing,) = found["alsa:dead"]["channels"]
    assert nothing["digital_silence"]
    assert nothing["level_dbfs"] is None
    assert "silent for" in found["alsa:asleep"]["error"]
    assert result.stderr == ""  # no progress where nobody watches
