"""Data sets of every year are found, and told apart, by their folders and names."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
import soundfile

from edge_asd.errors import DataError, UsageError
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.datasets.layouts import LAYOUTS

DOMAINS, LABELS = ("source", "target"), ("normal", "anomaly")


def put(path, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros((16, channels), np.int16), 16_000)


def names_2020(label_tests):
    yield from (f"train/normal_id_{i}_00000000.wav" for i in ("01", "02"))
    if label_tests:
        yield from (f"test/{k}_id_{i}_00000000.wav" for k in LABELS for i in ("01", "02"))
    else:
        yield from (f"test/id_{i}_00000000.wav" for i in ("01", "02"))


def names_later(year, label_tests):
    sections = ("00", "01") if year in {"2021", "2022"} else ("00",)
    attributes = "noAttribute" if year >= "2024" else "vel_5"
    for section in sections:
        for domain in DOMAINS:
            yield f"train/section_{section}_{domain}_train_normal_0000_{attributes}.wav"
            folder = f"{domain}_test" if year == "2021" else "test"
            for label in LABELS if label_tests else ():
                name = f"section_{section}_{domain}_test_{label}_0000"
                yield f"{folder}/{name}.wav" if year == "2021" else f"{folder}/{name}_vel_5.wav"
            if not label_tests and year == "2021":
                yield f"{folder}/section_{section}_{domain}_test_0000.wav"
        if not label_tests and year != "2021":
            yield f"test/section_{section}_0000.wav"
    if year == "2025":
        yield "supplemental/section_00_source_supplemental_machine_0000.wav"


def build(root, year, *, label_tests=True):
    for machine in ("fan", "ToyCar"):
        names = names_2020(label_tests) if year == "2020" else names_later(year, label_tests)
        for name in names:
            put(root / machine / name, LAYOUTS[year].channels)
    return root


def told(index):
    return Counter((file.split, file.domain, file.anomalous) for file in index.files)


@pytest.mark.parametrize("label_tests", [True, False])
@pytest.mark.parametrize("year", LAYOUTS)
def test_every_year_is_read_whole(tmp_path, year, label_tests):
    index = index_folder(build(tmp_path, year, label_tests=label_tests), year)
    assert (index.layout, index.root, index.unparsed) == (year, tmp_path, ())
    sections = {"2020": ["01", "02"], "2021": ["00", "01"], "2022": ["00", "01"]}
    assert index.sections == tuple(
        (machine, section)
        for machine in ("ToyCar", "fan")
        for section in sections.get(year, ["00"])
    )
    each = len(index.sections)
    domains = (None,) if year == "2020" else DOMAINS
    expected = {("train", domain, False): each for domain in domains}
    if label_tests:
        expected |= {("test", d, label == "anomaly"): each for d in domains for label in LABELS}
    else:
        test_domains = DOMAINS if year == "2021" else (None,)
        expected |= {("test", domain, None): each for domain in test_domains}
    assert told(index) == expected


@pytest.mark.parametrize("year", LAYOUTS)
def test_the_year_is_recognised(tmp_path, year, caplog):
    with caplog.at_level(logging.INFO):
        index = index_folder(build(tmp_path, year))
    # Names of 2024 occur in 2025 as well: the newest that fits is taken.
    newest = {"2024": "2025"}.get(year, year)
    newest = {"2023": "2025"}.get(newest, newest)
    assert index.layout == newest
    assert f"layout={newest} " in caplog.text
    assert index_folder(tmp_path, year).files == index.files


def test_files_are_in_order_of_machine_split_and_name(tmp_path):
    files = index_folder(build(tmp_path, "2023")).files
    key = [(file.machine, file.split == "test", file.path) for file in files]
    assert key == sorted(key)


def test_the_table_gives_attributes_that_the_name_lacks(tmp_path):
    put(tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.wav")
    put(tmp_path / "fan" / "test" / "section_00_0000.wav")
    (tmp_path / "fan" / "attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\n"
        "fan/train/section_00_source_train_normal_0000.wav,vel,5,loc,A\n"
        "fan/test/section_00_0000.wav,vel,6,,\n"
    )
    train, test = index_folder(tmp_path, "2022").files
    assert train.attributes == (("vel", "5"), ("loc", "A"))
    assert test.attributes == (("vel", "6"),)
    assert index_folder(tmp_path, "2021").files[0].attributes == ()  # had no tables


@pytest.mark.parametrize("text", [b"name,d1p\nx.wav,vel\n", b"file_name,d1p\n\xff.wav,vel\n"])
def test_a_damaged_table_is_named(tmp_path, text):
    build(tmp_path, "2023")
    (tmp_path / "fan" / "attributes_00.csv").write_bytes(text)
    with pytest.raises(DataError, match=r"attributes_00\.csv"):
        index_folder(tmp_path)


def test_revealed_names_replace_the_test_clips(tmp_path):
    build(tmp_path, "2023", label_tests=False)
    for machine in ("fan", "ToyCar"):
        name = "section_00_target_test_anomaly_0000_vel_5.wav"
        put(tmp_path / machine / "test_rename" / name)
    index = index_folder(tmp_path, "2023")
    tests = [file for file in index.files if file.split == "test"]
    assert [file.anomalous for file in tests] == [True, True]


def test_a_test_folder_merged_from_both_domains_does_not_count_twice(tmp_path):
    build(tmp_path, "2021")
    before = index_folder(tmp_path)
    for path in list(tmp_path.glob("*/*_test/*.wav")):
        put(path.parent.with_name("test") / path.name)
    assert told(index_folder(tmp_path, "2021")) == told(before)


def test_names_that_do_not_fit_are_kept_by_path(tmp_path, caplog):
    build(tmp_path, "2022")
    odd = tmp_path / "fan" / "train" / "holiday.wav"
    loose = tmp_path / "fan" / "loose.wav"
    for path in (odd, loose):
        put(path)
    with caplog.at_level(logging.INFO):
        index = index_folder(tmp_path)
    assert index.layout == "2022"
    assert sorted(index.unparsed) == [loose, odd]
    assert "unparsed=2" in caplog.text
    assert told(index) == told(index_folder(tmp_path, "2022"))


@pytest.mark.parametrize("wrappers", ["raw", "dev_data/raw", "dcase2023t2/dev_data/raw"])
def test_a_folder_around_the_machines_is_looked_through(tmp_path, wrappers):
    build(tmp_path / wrappers, "2022")
    (tmp_path / wrappers).parent.joinpath("processed").mkdir(exist_ok=True)
    index = index_folder(tmp_path)
    assert index.root == tmp_path / wrappers
    assert {file.machine for file in index.files} == {"fan", "ToyCar"}


def test_several_data_sets_are_not_mixed(tmp_path):
    for part in ("dev_data", "eval_data"):
        build(tmp_path / part / "raw", "2022")
    with pytest.raises(DataError, match=r"give .*dev_data/raw or .*eval_data/raw"):
        index_folder(tmp_path)


def test_the_folder_of_one_machine_will_do(tmp_path):
    build(tmp_path, "2022")
    index = index_folder(tmp_path / "fan")
    assert index.layout == "2022"
    assert {file.machine for file in index.files} == {"fan"}


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    build(tmp_path / "elsewhere", "2022")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "fan").symlink_to(tmp_path / "elsewhere" / "fan")
    (tmp_path / "elsewhere" / "fan" / "round").symlink_to(tmp_path / "set")
    index = index_folder(tmp_path / "set")
    assert len(index.files) == len(index_folder(tmp_path / "elsewhere" / "fan").files) > 0


def test_what_holds_no_data_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        index_folder(tmp_path / "missing")
    with pytest.raises(DataError, match="no audio"):
        index_folder(tmp_path)
    put(tmp_path / "fan" / "1.wav")
    with pytest.raises(DataError, match="no file name fits layout 2023"):
        index_folder(tmp_path, "2023")
    with pytest.raises(UsageError, match="layout 1999"):
        index_folder(tmp_path, "1999")
