"""Clips are found, labelled, checked and decoded once."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from tones import faulty_tones, tone, tones

from edge_asd.errors import DataError
from edge_asd_train.datasets import Clip, ClipStore, Pending, class_folders
from edge_asd_train.datasets.decode import read_clip


def write(path, samples=None, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(500, 1) if samples is None else samples, rate)


def labels(pending):
    return [clip.label for clip in pending.clips()]


def test_every_class_folder_is_a_class(tmp_path):
    write(tmp_path / "esc" / "001 - Dog" / "a.ogg")
    write(tmp_path / "esc" / "002 - Rain" / "b.ogg")
    assert labels(class_folders(tmp_path / "esc", 16_000)) == ["esc/001 - Dog", "esc/002 - Rain"]


def test_a_folder_without_audio_is_refused(tmp_path):
    with pytest.raises(DataError, match="no audio"):
        class_folders(tmp_path, 16_000)
    with pytest.raises(DataError, match="no such folder"):
        class_folders(tmp_path / "missing", 16_000)


def test_clips_of_another_rate_keep_their_duration_and_pitch(tmp_path):
    t = np.arange(44_100) / 44_100
    write(tmp_path / "a.wav", np.sin(2 * np.pi * 1000 * t).astype(np.float32) / 2, 44_100)
    samples = read_clip(tmp_path / "a.wav", 16_000)
    assert abs(len(samples) - 16_000) <= 1
    assert np.argmax(np.abs(np.fft.rfft(samples[:16_000]))) == 1000


@pytest.mark.parametrize(
    ("content", "named"), [("text", "decoded"), ("empty", "no samples"), ("zeros", "silence")]
)
def test_a_clip_that_cannot_be_used_is_named(tmp_path, content, named):
    path = tmp_path / "bad.wav"
    if content == "text":
        path.write_text("no audio")
    else:
        write(path, np.zeros(0 if content == "empty" else 100, np.int16))
    with pytest.raises(DataError, match=named) as caught:
        read_clip(path, 16_000)
    assert "bad.wav" in str(caught.value)


def test_one_class_alone_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least two"):
        ClipStore.create(tmp_path, [tones(classes=1)]).check_trainable()


def test_a_store_gives_back_what_was_put_in(tmp_path):
    made = ClipStore.create(tmp_path, [tones(2, 2), tones(3, 1)])
    opened = ClipStore.open(tmp_path)
    for store in (made, opened):
        assert store.labels.tolist() == [0, 0, 1, 1, 0, 1, 2]  # same names, same classes
        want = tone(1000, 101)
        np.testing.assert_allclose(store.window(3, 0, len(want)) * 32768, want)


@pytest.mark.usefixtures("store")
def test_an_incomplete_store_is_refused(tmp_path):
    path = tmp_path / "clips" / "clips.int16"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="incomplete"):
        ClipStore.open(tmp_path / "clips")
    with pytest.raises(DataError, match="no complete set"):
        ClipStore.open(tmp_path)


@pytest.mark.parametrize(("offset", "length"), [(0, 7), (3, 7), (9, 25), (13, 4)])
def test_a_window_runs_round_a_clip_that_is_too_short(tmp_path, offset, length):
    samples = np.arange(1, 11, dtype=np.int16)
    both = [Clip(samples, label=name, machine=name) for name in "ab"]
    store = ClipStore.create(tmp_path, [Pending(2, lambda: iter(both))])
    want = samples[(offset + np.arange(length)) % 10]
    np.testing.assert_allclose(store.window(1, offset, length) * 32768, want)


def test_the_level_of_a_machine_is_the_median_of_its_clips(tmp_path):
    clips = [
        Clip((32768 * rms * np.ones(50)).astype(np.int16), label="x", machine="m")
        for rms in (0.01, 0.1, 0.9)
    ]
    store = ClipStore.create(tmp_path, [Pending(3, lambda: iter(clips))])
    np.testing.assert_allclose(store.machine_levels_dbfs(), [-20.0], atol=0.01)


def test_a_faulty_clip_stays_faulty_on_the_disk(tmp_path):
    made = ClipStore.create(tmp_path, [tones(1, 2), faulty_tones(1, normal=1, faulty=2)])
    for store in (made, ClipStore.open(tmp_path)):
        assert store.faulty.tolist() == [False, False, False, True, True]
        assert store.faulty.dtype == bool


def test_faulty_clips_do_not_count_in_the_level_of_a_machine(tmp_path):
    clips = [
        Clip((32768 * rms * np.ones(50)).astype(np.int16), "x", "m", faulty=rms > 0.5)
        for rms in (0.1, 0.1, 0.9, 0.9, 0.9)
    ]
    store = ClipStore.create(tmp_path, [Pending(5, lambda: iter(clips))])
    np.testing.assert_allclose(store.machine_levels_dbfs(), [-20.0], atol=0.01)


@pytest.mark.parametrize("kept", [[1], [0, 2], [0, 1, 2]])
def test_selected_machines_keep_their_clips_under_new_numbers(faulty_store, kept):
    chosen = faulty_store.select(np.isin(np.arange(3), kept))
    assert chosen.machine_names == tuple(f"machine-{one}" for one in kept)
    assert len(chosen) == 7 * len(kept)
    assert chosen.samples is faulty_store.samples
    before = [clip for clip in range(21) if faulty_store.machines[clip] in kept]
    for clip, old in enumerate(before):
        name = faulty_store.machine_names[faulty_store.machines[old]]
        assert chosen.machine_names[chosen.machines[clip]] == name
        label = faulty_store.classes[faulty_store.labels[old]]
        assert chosen.classes[chosen.labels[clip]] == label
        assert chosen.faulty[clip] == faulty_store.faulty[old]
        np.testing.assert_array_equal(chosen.window(clip, 3, 500), faulty_store.window(old, 3, 500))
    assert sorted(set(chosen.labels)) == list(range(len(chosen.classes)))
    np.testing.assert_allclose(
        chosen.machine_levels_dbfs(), faulty_store.machine_levels_dbfs()[kept]
    )


def test_machines_without_enough_faults_are_left_out_and_too_few_are_refused(tmp_path):
    sources = [faulty_tones(2, normal=3, faulty=2), tones(1, 9)]  # the last has no faults
    store = ClipStore.create(tmp_path, sources)
    found = store.machines_with_faults(2, 3, 2)
    assert [(one.tolist(), other.tolist()) for one, other in found] == [
        ([0, 1, 2], [3, 4]),
        ([5, 6, 7], [8, 9]),
    ]
    for wanted in ((3, 3, 2), (1, 4, 2), (1, 3, 3)):
        with pytest.raises(DataError, match="--simulated"):
            store.machines_with_faults(*wanted)


def test_machines_that_episodes_cannot_use_are_said(faulty_store, caplog):
    faulty_store.faulty[faulty_store.machines == 1] = False
    assert len(faulty_store.machines_with_faults(2, 3, 2)) == 2
    assert "unused_machines=1 of=3" in caplog.text
