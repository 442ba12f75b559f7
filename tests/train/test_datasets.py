"""Clips are found, labelled, checked and decoded once."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from tones import tone, tones

from edge_asd.errors import DataError
from edge_asd_train.datasets import (
    Clip,
    ClipStore,
    Pending,
    class_folders,
    machine_folders,
    simulated_machines,
)
from edge_asd_train.datasets.decode import read_clip
from edge_asd_train.datasets.simulated import plan_classes
from edge_asd_train.datasets.wavs import planned_files, write_simulated


def write(path, samples=None, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(500, 1) if samples is None else samples, rate)


def labels(pending):
    return [clip.label for clip in pending.clips()]


def test_every_folder_of_normal_clips_is_a_machine(tmp_path):
    write(tmp_path / "pump" / "train" / "a.wav")
    write(tmp_path / "fan" / "id_00" / "normal" / "b.wav")
    write(tmp_path / "saw" / "c.flac")
    pending = machine_folders(tmp_path, 16_000)
    assert sorted(labels(pending)) == ["fan/id_00", "pump", "saw"]
    assert pending.count == 3


@pytest.mark.parametrize(
    "path",
    ["pump/test/x.wav", "pump/abnormal/x.wav", "pump/anomaly/x.wav", "pump/train/anomaly_1.wav"],
)
def test_what_is_not_normal_training_audio_never_trains(tmp_path, path):
    write(tmp_path / "pump" / "train" / "a.wav")
    write(tmp_path / path)
    assert labels(machine_folders(tmp_path, 16_000)) == ["pump"]


def test_every_class_folder_is_a_class(tmp_path):
    write(tmp_path / "esc" / "001 - Dog" / "a.ogg")
    write(tmp_path / "esc" / "002 - Rain" / "b.ogg")
    assert labels(class_folders(tmp_path / "esc", 16_000)) == ["esc/001 - Dog", "esc/002 - Rain"]


@pytest.mark.parametrize("find", [machine_folders, class_folders])
def test_a_folder_without_audio_is_refused(tmp_path, find):
    with pytest.raises(DataError, match="no audio"):
        find(tmp_path, 16_000)
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "missing", 16_000)


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


def test_simulated_classes_are_units_faults_and_operating_points():
    planned = plan_classes(60, seed=1)
    assert len({one.name for one in planned}) == len(planned) == 60 + 30 + 20
    assert len({one.scene.kind for one in planned}) == 10
    by_name = {one.name: one for one in planned}
    for one in planned:
        unit = by_name[one.machine].scene
        assert one.scene.unit == unit.unit
        if one.name.endswith("/shifted"):
            assert (one.scene.speed, one.scene.load) != (unit.speed, unit.load)
    assert planned == plan_classes(60, seed=1) != plan_classes(60, seed=2)


def test_simulated_clips_do_not_depend_on_the_number_of_processes():
    clips = {}
    for processes in (1, 2):
        pending = simulated_machines(2, seed=3, clips=1, duration_s=0.5, processes=processes)
        clips[processes] = list(pending.clips())
        assert pending.count == len(clips[processes])
    for one, other in zip(clips[1], clips[2], strict=True):
        assert (one.label, one.machine) == (other.label, other.machine)
        np.testing.assert_array_equal(one.samples, other.samples)


def test_the_place_of_a_simulated_clip_does_not_tell_its_class(monkeypatch):
    places = {}

    def listen(scene, _duration_s, **_):
        places.setdefault((scene.kind, scene.unit, scene.speed), set()).add(scene.room)
        return np.full(8, 0.1, np.float32)

    monkeypatch.setattr("edge_asd_train.datasets.simulated.render", listen)
    list(simulated_machines(4, seed=0, clips=40, duration_s=0.5).clips())
    rooms = list(places.values())
    assert min(len(one) for one in rooms) > 10
    assert len(set.intersection(*rooms)) > 2


def test_a_simulated_folder_can_be_trained_on(tmp_path):
    out = tmp_path / "set"
    files = list(write_simulated(out, machines=2, clips=2, duration_s=0.5, seed=0))
    assert len(files) == planned_files(2, 2) == 8
    found = machine_folders(out, 16_000)
    assert set(labels(found)) == {"pump_00", "fan_01"}
    assert found.count == 4  # the tests stay out
    again = list(write_simulated(tmp_path / "again", machines=2, clips=2, duration_s=0.5, seed=0))
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again]
