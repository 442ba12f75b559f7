"""The simulated set: the layout of DCASE, all or nothing, and nothing that tells but the fault."""

from __future__ import annotations

import csv
import json
import re
import resource
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tones import tone

from edge_asd.errors import DataError, StorageError, UsageError
from edge_asd.simulate import KINDS, Fault, faults_of
from edge_asd_train.datasets.simulated_clip import colour, render_clip
from edge_asd_train.datasets.simulated_options import DIFFICULTIES, Options
from edge_asd_train.datasets.simulated_plan import (
    draw_world,
    plan_cell,
    plan_tests,
    plan_training,
)
from edge_asd_train.datasets.simulated_set import write_simulated_set

NAME = re.compile(
    r"section_00_(source|target)_(train|test)_(normal|anomaly)_(\d{4})((?:_[a-z]+_\d+)+)\.wav"
)
TINY = Options(clips=4, seed=3, machines=2, duration_s=0.5)


def content(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("sets") / "tiny"
    write_simulated_set(out, TINY)
    return out


def test_files_have_the_names_and_numbers_of_dcase(tiny):
    found = Counter()
    for machine in ("pump", "fan"):
        for split in ("train", "test"):
            for path in (tiny / machine / split).iterdir():
                domain, told_split, label, number, _ = NAME.fullmatch(path.name).groups()
                assert told_split == split
                found[machine, split, domain, label] += 1
                assert int(number) < 4
    assert found == {
        (machine, split, domain, label): 2
        for machine in ("pump", "fan")
        for split, domain, label in [
            ("train", "source", "normal"),
            ("train", "target", "normal"),
            ("test", "source", "normal"),
            ("test", "source", "anomaly"),
            ("test", "target", "normal"),
            ("test", "target", "anomaly"),
        ]
    }


def test_clips_are_mono_16_bit_of_the_length_asked_for(tiny):
    for path in tiny.rglob("*.wav"):
        known = soundfile.info(path)
        assert (known.samplerate, known.frames, known.channels) == (16_000, 8_000, 1)
        assert known.subtype == "PCM_16"


def test_the_attribute_table_repeats_every_file_name(tiny):
    for machine in ("pump", "fan"):
        with (tiny / machine / "attributes_00.csv").open() as file:
            header, *rows = csv.reader(file)
        assert header == ["file_name", "d1p", "d1v", "d2p", "d2v", "d3p", "d3v"]
        named = {str(path.relative_to(tiny)) for path in (tiny / machine).rglob("*.wav")}
        assert {row[0] for row in rows} == named
        for name, *attributes in rows:
            assert name.endswith("_" + "_".join(attributes) + ".wav")


def test_only_the_description_tells_faults_and_severities(tiny):
    told = json.loads((tiny / "dataset.json").read_text())
    anomalies = {str(path.relative_to(tiny)) for path in tiny.rglob("*_anomaly_*.wav")}
    assert set(told["anomalies"]) == anomalies
    assert told["options"]["seed"] == 3
    for path, anomaly in told["anomalies"].items():
        assert anomaly["fault"] in faults_of(told["machines"][path.split("/")[0]]["kind"])
        assert anomaly["fault"] not in path


def test_a_seed_gives_the_same_bytes_in_any_number_of_processes(tiny, tmp_path):
    write_simulated_set(tmp_path / "again", TINY, processes=2)
    assert content(tmp_path / "again") == content(tiny)


def test_another_seed_gives_another_set(tiny, tmp_path):
    options = Options(clips=4, seed=4, machines=2, duration_s=0.5)
    write_simulated_set(tmp_path / "other", options)
    assert not set(content(tmp_path / "other").values()) & set(content(tiny).values())


@given(st.integers(2, 5000))
def test_targets_are_ten_or_one_percent_and_never_the_most(clips):
    options = Options(clips=clips)
    if clips >= 20:
        assert options.target_clips == max(10, -(-clips // 100))
    assert 1 <= options.target_clips <= clips - options.target_clips


@given(st.sampled_from([1, 0, -3]))
def test_too_few_clips_are_refused(clips):
    with pytest.raises(UsageError, match="at least 2"):
        Options(clips=clips)


def test_more_machines_than_kinds_are_further_units():
    options = Options(clips=2, machines=len(KINDS) + 1)
    worlds = [draw_world(options, number) for number in range(options.machines)]
    assert len({world.machine for world in worlds}) == len(KINDS) + 1
    assert worlds[-1].scene.kind == worlds[0].scene.kind
    assert worlds[-1].scene.unit != worlds[0].scene.unit


@pytest.mark.parametrize("number", range(7))
def test_domains_share_no_operating_point_and_the_source_has_three_to_six(number):
    world = draw_world(Options(clips=200, seed=1), number)
    source, target = (
        {point.attributes for point in world.points if point.domain == domain}
        for domain in ("source", "target")
    )
    assert 3 <= len(source) <= 6
    assert len(target) == 2
    assert not source & target
    assert world.rooms["source"] != world.rooms["target"]


@pytest.mark.parametrize("number", range(7))
def test_anomalous_tests_have_every_fault_at_graded_severity(number):
    options = Options(clips=200, seed=1)
    world = draw_world(options, number)
    tests = plan_tests(options, world)
    names = faults_of(world.scene.kind)
    for domain in ("source", "target"):
        faults = [clip.fault for clip in tests if clip.point.domain == domain and clip.fault]
        assert {fault.name for fault in faults} == set(names)
        low, high = DIFFICULTIES["default"].severity
        assert all(low <= fault.severity <= high for fault in faults)
        middle = (low + high) / 2
        for name in names:
            severities = [fault.severity for fault in faults if fault.name == name]
            assert min(severities) < middle < max(severities)


def test_what_is_not_the_fault_is_drawn_alike_for_both_labels():
    options = Options(clips=2, seed=1)
    world = draw_world(options, 0)
    for domain in ("source", "target"):
        normal, faulty = (
            plan_cell(options, world, "test", domain, 600, anomalous=anomalous)
            for anomalous in (False, True)
        )
        assert Counter(clip.point for clip in normal) == Counter(clip.point for clip in faulty)
        for field in ("speed", "load", "snr_db", "level_dbfs"):
            values = [[getattr(clip.scene, field) for clip in some] for some in (normal, faulty)]
            assert scipy.stats.ks_2samp(*values).pvalue > 0.01, field
        for field in ("room", "noise", "microphone", "unit"):
            seeds = [{getattr(clip.scene, field) for clip in some} for some in (normal, faulty)]
            assert seeds[0] == seeds[1], field


def test_a_fault_of_severity_nothing_leaves_the_clip_as_it_is():
    world = draw_world(TINY, 0)
    (clip, *_) = plan_cell(TINY, world, "test", "source", 1, anomalous=True)
    sound, harmless = (
        render_clip(replace(clip, fault=fault), 0.5)
        for fault in (None, Fault(clip.fault.name, 0.0))
    )
    np.testing.assert_array_equal(sound, harmless)
    assert not np.array_equal(sound, render_clip(clip, 0.5))


def test_no_two_clips_are_the_same_moment():
    options = Options(clips=200, seed=1)
    world = draw_world(options, 0)
    seeds = [clip.seed for clip in plan_training(options, world) + plan_tests(options, world)]
    assert len(set(seeds)) == len(seeds) == options.clips + 4 * options.test_clips


def test_the_gain_of_normal_clips_varies_by_several_decibels():
    options = Options(clips=400, seed=1)
    levels = [clip.scene.level_dbfs for clip in plan_training(options, draw_world(options, 0))]
    assert np.ptp(levels) > 8.0


@given(st.integers(0, 2**31 - 1))
def test_the_colour_of_a_clip_is_slight_and_its_own(seed):
    kernel = colour(seed, 16_000, 1.0)
    response_db = 20 * np.log10(np.abs(np.fft.rfft(kernel, 1024))[4:])
    assert np.abs(response_db).max() < 20.0
    assert not np.array_equal(kernel, colour(seed + 1, 16_000, 1.0))


def test_an_existing_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="exists already"):
        write_simulated_set(tmp_path, TINY)


def test_an_interrupted_set_leaves_nothing_behind(tmp_path):
    written = []

    def interrupt(count):
        written.append(count)
        if len(written) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulated_set(tmp_path / "set", TINY, progress=interrupt)
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_rendered(tmp_path):
    with pytest.raises(StorageError, match="free space or ask for fewer clips"):
        write_simulated_set(tmp_path / "set", Options(clips=10**10))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(StorageError, match=r"cannot be written: .*; free space"):
            write_simulated_set(tmp_path / "set", TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_recordings_are_mixed_in(tiny, tmp_path):
    noise = tmp_path / "noise" / "deep"
    noise.mkdir(parents=True)
    soundfile.write(noise / "hum.wav", tone(500, 1), 16_000)
    write_simulated_set(tmp_path / "set", TINY, noise=tmp_path / "noise")
    mixed, own = content(tmp_path / "set"), content(tiny)
    assert mixed.keys() == own.keys()
    assert not {data for name, data in mixed.items() if name.endswith(".wav")} & set(own.values())
    assert json.loads(mixed["dataset.json"])["options"]["noise_recordings"] == ["deep/hum.wav"]


def test_every_noise_place_has_recordings_even_if_there_are_few(tmp_path):
    path = tmp_path / "hum.wav"
    soundfile.write(path, tone(500, 1), 16_000)
    world = draw_world(TINY, 0)
    for clip in plan_training(TINY, world):
        plain, mixed = render_clip(clip, 0.5), render_clip(clip, 0.5, (path,))
        assert np.abs(plain.astype(float) - mixed).max() > 0


@pytest.mark.parametrize(
    ("folder", "told"), [("missing", "no such folder"), (".", "no recordings")]
)
def test_a_noise_folder_without_recordings_is_refused(tmp_path, folder, told):
    with pytest.raises(DataError, match=told):
        write_simulated_set(tmp_path / "set", TINY, noise=tmp_path / folder)
    assert list(tmp_path.iterdir()) == []
