"""Microphones are read through PortAudio in a child process that may die at any time."""

from __future__ import annotations

import ctypes.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from brokers import PATIENCE_S
from numpy.testing import assert_array_equal
from support.stopwatch import Stopwatch

from edge_asd.capture import Microphone, list_inputs, open_source, parse_source, wire
from edge_asd.errors import CaptureError

SAMPLES = (np.random.default_rng(7).uniform(-1, 1, 40_000) * 32767).astype("<i2")

needs_portaudio = pytest.mark.skipif(
    ctypes.util.find_library("portaudio") is None or not sys.platform.startswith("linux"),
    reason="libportaudio2 is not installed",
)


@pytest.fixture
def mic0(tmp_path, monkeypatch):
    """An ALSA microphone that plays a file as fast as it is read."""
    SAMPLES.tofile(tmp_path / "in.raw")
    (tmp_path / "asound.conf").write_text(
        "</usr/share/alsa/alsa.conf>\n"
        "pcm.mic0raw { type file slave.pcm null file /dev/null "
        f'infile "{tmp_path}/in.raw" format raw }}\n'
        "pcm.mic0 { type plug slave { pcm mic0raw format S16_LE channels 1 rate 16000 }\n"
        '  hint { show on description "mic0" } }\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))


def test_records_survive_the_pipe_and_a_stream_out_of_step_is_noticed():
    payload = bytes(range(40))
    header = wire.Header(wire.OVERFLOW, 7, 2**40, 123_456_789, 5, len(payload))
    data = wire.pack(header, payload)
    assert wire.unpack_header(data[: wire.HEADER_BYTES]) == header
    assert data[wire.HEADER_BYTES :] == payload
    with pytest.raises(ValueError, match="out of step"):
        wire.unpack_header(data[1 : wire.HEADER_BYTES + 1])
    hello = wire.Hello(48000, 2, "s32le", "USB Audio (hw:1,0)", "usb 0d8c:0014 serial 7", "noted")
    assert wire.parse_hello(hello.line()) == hello
    with pytest.raises(ValueError):
        wire.parse_hello(b"{}\n")


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_a_microphone_delivers_its_samples_and_closes_at_once():
    source = open_source("alsa:mic0?rate=16000")
    assert (source.sample_rate, source.device, source.identity) == (16000, "mic0", "mic0")
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if len(blocks) == 10:
            break
    now = time.time()
    with Stopwatch(os.getpid()) as watch:
        source.close()
    assert watch.own_s < 0.5
    assert [block.start for block in blocks] == list(range(0, 16000, 1600))
    got = np.concatenate([block.samples[:, 0] for block in blocks[:2]])
    # Without a clock, ALSA's file device skips ahead after its first buffer of 0.2 s.
    assert_array_equal(got, SAMPLES[:3200].astype(np.float32) / 32768)
    assert all(0.0 <= now - block.captured_at < PATIENCE_S for block in blocks)
    assert not Path(f"/proc/{source._child._process.pid}").exists()


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_inputs_are_listed_without_loading_portaudio_here():
    devices = {device.name: device for device in list_inputs()}
    assert devices["mic0"].host_api == "ALSA"
    assert devices["mic0"].channels >= 1
    assert sum(device.is_default for device in devices.values()) == 1
    assert "sounddevice" not in sys.modules


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_a_missing_microphone_is_named_with_what_there_is():
    with pytest.raises(CaptureError, match=r"no microphone 'Yeti'; there is .*'mic0'"):
        open_source("alsa:Yeti")
    with pytest.raises(CaptureError, match=r"no microphone usb:1-1\.2; there is "):
        open_source("alsa:usb:1-1.2")


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_too_many_channels_are_refused_with_how_many_there_are():
    with pytest.raises(CaptureError, match=r"has \d+ channels, not 200; write channels="):
        open_source("alsa:mic0?channels=200")


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_a_driver_that_hangs_is_killed_and_reported():
    source = Microphone(parse_source("alsa:mic0?rate=16000"), stall_s=0.5)
    blocks = source.blocks()
    next(blocks)
    os.kill(source._child._process.pid, signal.SIGSTOP)
    with pytest.raises(CaptureError, match=r"alsa:mic0: silent for 0\.5 s; is it unplugged"):
        for _ in blocks:
            pass
    with Stopwatch(os.getpid()) as watch:
        source.close()
    assert watch.own_s < 2.0
    assert source._child._process.returncode is not None


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_a_driver_that_crashes_is_reported():
    source = open_source("alsa:mic0?rate=16000")
    blocks = source.blocks()
    next(blocks)
    os.kill(source._child._process.pid, signal.SIGSEGV)
    with pytest.raises(CaptureError, match=r"died \(code -11\)"):
        for _ in blocks:
            pass
    source.close()


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_the_child_leaves_when_its_owner_does():
    source = open_source("alsa:mic0?rate=16000")
    process = source._child._process
    process.stdin.close()  # what the kernel does when the owner is killed
    assert process.wait(PATIENCE_S) == 0
    source.close()


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_a_record_lost_on_the_way_is_noticed():
    source = open_source("alsa:mic0?rate=16000")
    source._child.read(wire.HEADER_BYTES + 1600 * 4, 3.0)
    with pytest.raises(CaptureError, match="a block is missing"):
        next(source.blocks())
    source.close()


DRIVER = """
import time

class PortAudioError(Exception):
    pass

def query_hostapis():
    return [{"name": "ALSA", "default_input_device": 0}]

def query_devices():
    device = {"name": "mic", "hostapi": 0, "max_input_channels": 2, "default_samplerate": 8000.0}
    return [device]

class RawInputStream:
    reads = 0

    def __init__(self, **settings):
        self.channels = settings["channels"]

    def start(self):
        print("a chatty driver", flush=True)

    def read(self, frames):
        self.reads += 1
        time.sleep(0.6 if self.reads == 3 else 0.1)
        if self.reads == 5:
            raise PortAudioError("Unanticipated host error")
        return bytes(frames * self.channels * 4), self.reads == 3

    def abort(self, ignore_errors):
        print("aborted", flush=True)

    def close(self, ignore_errors):
        pass
"""


def test_what_the_driver_lost_is_a_jump_and_an_unplugged_device_a_reason(tmp_path, monkeypatch):
    # A driver that overflows and fails on demand: no real one does.
    (tmp_path / "sounddevice.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    source = open_source("alsa:?channels=2")
    assert source.sample_rate == 8000
    blocks = []
    with pytest.raises(CaptureError, match="'mic' stopped: Unanticipated host error; is it unplug"):
        blocks.extend(source.blocks())
    source.close()
    assert [block.overflowed for block in blocks] == [False, False, True, False]
    assert [block.samples.shape for block in blocks] == [(800, 2)] * 4
    assert blocks[1].start == 800
    assert blocks[2].start == 1601  # that something is missing; how much, time tells
    assert blocks[3].start == blocks[2].start + 800


CHOOSY = (
    DRIVER
    + """
import array

class RawInputStream(RawInputStream):
    def __init__(self, **settings):
        super().__init__(**settings)
        if (settings["samplerate"], self.channels, settings["dtype"]) != (44100, 2, "int16"):
            raise PortAudioError("Invalid sample rate", -9997)

    def read(self, frames):
        return array.array("h", [16384, -32768] * frames).tobytes(), False
"""
)


def test_whatever_the_hardware_insists_on_becomes_the_channels_that_are_needed(
    tmp_path, monkeypatch
):
    (tmp_path / "sounddevice.py").write_text(CHOOSY)
    monkeypatch.syspath_prepend(tmp_path)
    source = Microphone(parse_source("alsa:mic?rate=16000"))
    try:
        block = next(source.blocks())
    finally:
        source.close()
    assert (source.sample_rate, source.format, source.opened_channels) == (44_100, "s16le", 2)
    assert source.note == "opened at 44100 Hz, because it refuses 16000 Hz"
    assert_array_equal(block.samples, np.full((4410, 1), 0.5, np.float32))


@needs_portaudio
@pytest.mark.usefixtures("mic0")
def test_another_microphone_than_the_expected_one_is_refused_with_both_and_the_remedy():
    with pytest.raises(CaptureError) as caught:
        Microphone(parse_source("alsa:mic0"), expected_identity="usb 2752:0007 serial 7103944")
    for part in ("'mic0'", "'usb 2752:0007 serial 7103944'", "plug that one in", "edge-asd enrol"):
        assert part in str(caught.value)


def test_the_child_needs_nothing_that_takes_long_to_import():
    code = "import edge_asd.capture.portaudio_child, sys; print('numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "False\n"


def test_a_missing_library_is_reported_with_the_remedy(tmp_path, monkeypatch):
    # What the real module does on import where libportaudio2 is not installed.
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    for use in (list_inputs, lambda: open_source("alsa:")):
        with pytest.raises(CaptureError, match="apt install libportaudio2"):
            use()
