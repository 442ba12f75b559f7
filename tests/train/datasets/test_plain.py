"""Plain folders: what trains, what tests, and what is kept back for tests."""

from __future__ import annotations

import pytest

from edge_asd_train.datasets.discover import index_folder


def index_of(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return index_folder(root, "plain")


def told(index):
    return {
        file.path.relative_to(index.root).as_posix(): (
            file.machine,
            file.section,
            file.split,
            file.anomalous,
        )
        for file in index.files
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pump/1.wav", ("pump", "00", "train", False)),
        ("pump/normal/1.wav", ("pump", "00", "train", False)),
        ("pump/train/1.flac", ("pump", "00", "train", False)),
        ("pump/train/normal/1.ogg", ("pump", "00", "train", False)),
        ("fan/id_00/normal/1.wav", ("fan", "id_00", "train", False)),
        ("fan/a/b/1.wav", ("fan", "a/b", "train", False)),
        ("test_rig/1.wav", ("test_rig", "00", "train", False)),
        ("pump/test/1.wav", ("pump", "00", "test", None)),
        ("pump/test/normal_1.wav", ("pump", "00", "test", False)),
        ("pump/test/normal/1.wav", ("pump", "00", "test", False)),
        ("pump/test/anomaly_1_bearing.wav", ("pump", "00", "test", True)),
        ("pump/train/anomaly_1.wav", ("pump", "00", "test", True)),
        ("pump/Abnormal/1.wav", ("pump", "00", "test", True)),
        ("fan/id_00/anomaly/1.wav", ("fan", "id_00", "test", True)),
    ],
)
def test_folders_say_what_a_clip_is(tmp_path, name, said):
    index = index_of(tmp_path, name, "other/1.wav")
    assert told(index)[name] == said


def test_the_folder_of_one_machine_is_that_machine(tmp_path):
    index = index_of(tmp_path / "pump", "normal/1.wav", "anomaly/1.wav")
    assert {file.machine for file in index.files} == {"pump"}


def test_every_fifth_normal_clip_is_kept_where_only_anomalies_are_tests(tmp_path):
    normal = [f"pump/normal/{number:02d}.wav" for number in range(12)]
    index = index_of(tmp_path, *normal, "pump/anomaly/1.wav", "fan/normal/1.wav")
    kept = {name for name, said in told(index).items() if said[2] == "test"}
    assert kept == {"pump/normal/04.wav", "pump/normal/09.wav", "pump/anomaly/1.wav"}
    assert told(index)["pump/normal/04.wav"] == ("pump", "00", "test", False)


@pytest.mark.parametrize("extra", [[], ["pump/test/normal/1.wav"], ["pump/test/1.wav"]])
def test_nothing_is_kept_back_where_tests_exist_or_no_anomalies(tmp_path, extra):
    normal = [f"pump/normal/{number:02d}.wav" for number in range(12)]
    anomalies = ["pump/anomaly/1.wav"] if extra else []
    index = index_of(tmp_path, *normal, *extra, *anomalies)
    assert sum(file.split == "train" for file in index.files) == 12


def test_hidden_and_other_files_are_left_out(tmp_path):
    index = index_of(tmp_path, "pump/1.wav", "pump/.2.wav", "pump/read.me", ".git/1.wav")
    assert [file.path.name for file in index.files] == ["1.wav"]
