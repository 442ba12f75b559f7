"""Files become one stream bit for bit, and a broken file is named with what is wrong."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.capture import open_source, read_audio
from edge_asd.capture.files import FileSource
from edge_asd.capture.pcm import decode
from edge_asd.capture.uri import FileUri
from edge_asd.errors import DataError

RATE = 8000


def noise(n, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (n, channels)).astype(np.float32)


def joined(blocks):
    blocks = list(blocks)
    at = blocks[0].start
    for block in blocks:
        assert block.start == at
        assert block.samples.dtype == np.float32
        at += len(block.samples)
    return np.concatenate([block.samples for block in blocks])


def wav_bytes(pcm, *, data_size, riff_size=0xFFFFFFFF, channels=1, extra=b""):
    fmt = struct.pack("<HHIIHH", 1, channels, RATE, 2 * channels * RATE, 2 * channels, 16)
    return (
        b"RIFF"
        + struct.pack("<I", riff_size)
        + b"WAVE"
        + extra
        + b"fmt "
        + struct.pack("<I", len(fmt))
        + fmt
        + b"data"
        + struct.pack("<I", data_size)
        + pcm
    )


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_streamed_is_what_is_in_the_file(tmp_path, name, subtype, channels):
    path = tmp_path / name
    soundfile.write(path, noise(3 * RATE + 17, channels), RATE, subtype=subtype)
    want, _ = soundfile.read(path, dtype="float32", always_2d=True)
    got, rate = read_audio(path)
    assert rate == RATE
    assert_array_equal(got, want)
    source = open_source(f"file:{path}")
    assert source.sample_rate == RATE
    assert_array_equal(joined(source.blocks()), want)


def test_a_folder_is_the_concatenation_of_its_sound_files_in_name_order(tmp_path):
    parts = [noise(n, seed=n) for n in (5000, 1, 12345)]
    for name, part in zip(("a.wav", "b.flac", "c.WAV"), parts, strict=True):
        soundfile.write(tmp_path / name, part, RATE, subtype="PCM_16")
    (tmp_path / "notes.txt").write_text("not audio")
    (tmp_path / "._a.wav").write_bytes(b"resource fork")
    (tmp_path / "sub.wav").mkdir()
    got = joined(open_source(f"file:{tmp_path}").blocks())
    want = np.concatenate([read_audio(tmp_path / name)[0] for name in ("a.wav", "b.flac", "c.WAV")])
    assert_array_equal(got, want)


def test_speed_changes_the_cut_but_not_the_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(5000), RATE)
    fast, paced = (
        list(open_source(f"file:{tmp_path}?speed={speed}").blocks()) for speed in ("max", "2.5")
    )
    assert len(fast) == 1
    assert len(paced) == 1
    slow = list(open_source(f"file:{tmp_path}?speed=1").blocks())
    assert [len(block.samples) for block in slow] == [4000, 1000]
    assert_array_equal(joined(slow), joined(fast))


def test_pacing_keeps_to_the_clock_and_dates_blocks_by_stream_seconds(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(RATE), RATE)
    before = time.time()
    source = open_source(f"file:{tmp_path}?speed=4")
    began = time.monotonic()
    blocks = list(source.blocks())
    took = time.monotonic() - began
    assert took >= 0.24  # how much later is the machine's affair
    ages = np.array([block.captured_at for block in blocks]) - before
    want = np.array([block.start for block in blocks]) / RATE
    assert np.all(ages - want >= 0)
    assert np.ptp(ages - want) < 1e-5  # wall times near 2e9 resolve microseconds


def test_at_full_speed_stream_seconds_count_as_wall_seconds(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(5 * RATE), RATE)
    times = [block.captured_at for block in open_source(f"file:{tmp_path}").blocks()]
    np.testing.assert_allclose(np.diff(times), 1.0, atol=1e-5)


def test_every_clip_can_be_a_new_start(tmp_path):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, noise(RATE), RATE)
    blocks = list(open_source(f"file:{tmp_path}?gaps=clip").blocks())
    assert [block.start for block in blocks] == [0, 2 * RATE]


def test_a_loop_continues_and_is_ended_by_close(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(RATE // 2), RATE)
    source = open_source(f"file:{tmp_path}?loop")
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if len(blocks) == 3:
            source.close()
    once = read_audio(tmp_path / "a.wav")[0]
    assert_array_equal(joined(blocks), np.tile(once, (3, 1)))


def test_close_interrupts_a_slow_replay(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(RATE), RATE)
    source = open_source(f"file:{tmp_path}?speed=0.001")
    source.close()
    assert list(source.blocks()) == []


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF - 36])
def test_wavs_written_to_a_pipe_are_read_to_their_end(tmp_path, size):
    pcm = (noise(3001)[:, 0] * 32767).astype("<i2").tobytes()
    path = tmp_path / "piped.wav"
    path.write_bytes(wav_bytes(pcm, data_size=size, extra=b"LIST\x03\0\0\0abc\0"))
    assert_array_equal(read_audio(path)[0], decode(pcm, "s16le", 1))
    assert_array_equal(joined(open_source(f"file:{path}").blocks()), decode(pcm, "s16le", 1))


@pytest.mark.parametrize(
    ("subtype", "fmt"), [("PCM_24", "s24le"), ("PCM_32", "s32le"), ("FLOAT", "f32le")]
)
def test_decoding_pcm_equals_libsndfile(tmp_path, subtype, fmt):
    path = tmp_path / "a.raw"
    soundfile.write(path, noise(500, 2), RATE, format="RAW", subtype=subtype, endian="LITTLE")
    want, _ = soundfile.read(
        path,
        dtype="float32",
        format="RAW",
        subtype=subtype,
        channels=2,
        samplerate=RATE,
        endian="LITTLE",
    )
    assert_array_equal(decode(path.read_bytes() + b"\0", fmt, 2), want)


def broken_files(folder):
    """Files that must be refused: contents -> what the error must say."""
    pcm = (noise(RATE)[:, 0] * 32767).astype("<i2").tobytes()
    whole = folder / "whole.flac"
    soundfile.write(whole, noise(4 * RATE), RATE)
    flac = whole.read_bytes()
    bad = noise(2 * RATE)
    bad[RATE + RATE // 2] = np.nan
    soundfile.write(folder / "nan.wav", bad, RATE, subtype="FLOAT")
    return {
        "empty.wav": (b"", "is empty"),
        "text.wav": (b"time,level\n1,2\n" * 10, "not a sound file"),
        "zeros.wav": (bytes(5000), "not a sound file"),
        "short.wav": (wav_bytes(pcm, data_size=4 * len(pcm)), "holds 1.0 s of the 4.0 s"),
        "header.wav": (wav_bytes(b"", data_size=0, riff_size=36), "holds no samples"),
        "nochannel.wav": (wav_bytes(pcm, data_size=len(pcm), channels=0), "0 channels"),
        "short.flac": (flac[: len(flac) // 2], "of 4.0 s"),
        "nan.wav": ((folder / "nan.wav").read_bytes(), "1.500 s is NaN"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "empty.wav",
        "text.wav",
        "zeros.wav",
        "short.wav",
        "header.wav",
        "nochannel.wav",
        "short.flac",
        "nan.wav",
    ],
)
def test_a_broken_file_is_refused_by_name_with_the_reason(tmp_path, name):
    contents, reason = broken_files(tmp_path)[name]
    path = tmp_path / "broken" / name
    path.parent.mkdir()
    path.write_bytes(contents)
    for use in (
        lambda: read_audio(path),
        lambda: list(open_source(f"file:{path.parent}").blocks()),
    ):
        with pytest.raises(DataError) as caught:
            use()
        assert str(path) in str(caught.value)
        assert reason in str(caught.value)
        assert "; " in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 2 * RATE])
def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, size):
    pcm = (noise(RATE)[:, 0] * 32767).astype("<i2").tobytes()
    (tmp_path / "a.wav").write_bytes(wav_bytes(pcm, data_size=size))
    source = open_source(f"file:{tmp_path}")
    (tmp_path / "a.wav").write_bytes(wav_bytes(pcm[:RATE], data_size=size))
    with pytest.raises(DataError, match=r"damaged or truncated after 0\.5 s of 1\.0 s"):
        list(source.blocks())


def test_missing_files_and_folders_without_audio_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_audio(tmp_path / "gone.wav")
    with pytest.raises(DataError, match="no such file"):
        open_source(f"file:{tmp_path / 'gone.wav'}")
    with pytest.raises(DataError, match="is a folder"):
        read_audio(tmp_path)
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(DataError, match="no sound files"):
        open_source(f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("rate", "channels", "what"), [(16000, 2, "16000 Hz"), (RATE, 1, "has 1 channels")]
)
def test_files_that_differ_from_the_first_are_named_before_the_first_block(
    tmp_path, rate, channels, what
):
    soundfile.write(tmp_path / "a.wav", noise(100, 2), RATE)
    soundfile.write(tmp_path / "b.wav", noise(100, channels), rate)
    with pytest.raises(DataError, match=what) as caught:
        open_source(f"file:{tmp_path}")
    assert str(tmp_path / "b.wav") in str(caught.value)


def test_channels_beyond_those_of_the_first_file_are_left_out(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(100, 1), RATE)
    soundfile.write(tmp_path / "b.wav", noise(100, 2), RATE)
    assert joined(open_source(f"file:{tmp_path}").blocks()).shape == (200, 1)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=4), speed=st.floats(50, 1e4))
def test_stream_indices_and_samples_do_not_depend_on_speed(tmp_path_factory, lengths, speed):
    folder = tmp_path_factory.mktemp("clips")
    for index, n in enumerate(lengths):
        soundfile.write(folder / f"{index}.wav", noise(n, seed=index), RATE, subtype="FLOAT")
    want = np.concatenate([noise(n, seed=index) for index, n in enumerate(lengths)])
    assert_array_equal(joined(FileSource(FileUri("", str(folder), speed=speed)).blocks()), want)
