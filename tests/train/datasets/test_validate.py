"""What is wrong with a data set is found, named, and refused or left out."""

from __future__ import annotations

import csv
import json
import logging
import os
import zlib
from collections import Counter

import numpy as np
import pytest
import soundfile
from tones import tone

from edge_asd.errors import DataError
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets import validate as validate_module
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.datasets.validate import check_clips, training_clips

RATE = 16_000


def write(path, samples=None, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(path).encode())
    soundfile.write(path, tone(500, seed, 0.2) if samples is None else samples, rate, **options)
    return path


@pytest.fixture
def root(tmp_path):
    """Two machines of four clips, one of them a test."""
    root = tmp_path / "set"
    for machine in ("fan", "pump"):
        for number in range(3):
            write(root / machine / "train" / f"{number}.wav")
        write(root / machine / "test" / "normal_9.wav")
    return root


@pytest.fixture
def decoded(monkeypatch):
    """How often each file was decoded."""
    count = Counter()
    decode = validate_module.decode

    def counting(path):
        count[path.name] += 1
        return decode(path)

    monkeypatch.setattr(validate_module, "decode", counting)
    return count


def report(folder):
    with (folder / "findings.csv").open(newline="") as file:
        return [(row["path"], row["kind"]) for row in csv.DictReader(file)]


def spoil_text(path):
    path.write_text("no audio")


def spoil_end(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil_flac(path):
    good = path.with_suffix(".flac")
    write(good, np.random.default_rng(0).integers(-9000, 9000, 40_000).astype(np.int16))
    data = good.read_bytes()
    good.unlink()
    path.write_bytes(data[: len(data) // 2])


def spoil_empty(path):
    write(path, np.zeros(0, np.int16))


def spoil_silent(path):
    write(path, np.random.default_rng(0).integers(-1, 2, 4000).astype(np.int16))


def spoil_offset(path):
    write(path, np.full(4000, 2000, np.int16))


def spoil_clipped(path):
    write(
        path, np.clip(4 * tone(500, 1, 0.2, level=0.5).astype(int), -32768, 32767).astype(np.int16)
    )


def spoil_rate(path):
    write(path, rate=22_050)


def spoil_nan(path):
    samples = tone(500, 1, 0.2) / np.float32(32768)
    samples[7] = np.nan
    write(path, samples, subtype="FLOAT")


def spoil_twice(path):
    path.write_bytes((path.parent / "0.wav").read_bytes())


SPOILED = [
    (spoil_text, "undecodable"),
    (spoil_nan, "undecodable"),
    (spoil_end, "truncated"),
    (spoil_empty, "empty"),
    (spoil_silent, "silent"),
    (spoil_offset, "silent"),
    (spoil_clipped, "clipped"),
    (spoil_rate, "rate"),
    (spoil_twice, "duplicate"),
]


@pytest.mark.parametrize(("spoil", "kind"), SPOILED)
def test_a_bad_clip_is_named_or_left_out(root, tmp_path, spoil, kind, caplog):
    bad = root / "pump" / "train" / "1.wav"
    spoil(bad)
    index = index_folder(root)
    with pytest.raises(DataError, match="--invalid skip") as refused:
        check_clips(index, RATE, tmp_path / "checks")
    assert str(bad) in str(refused.value)
    assert report(tmp_path / "checks") == [(str(bad), kind)]
    good = check_clips(index, RATE, tmp_path / "checks", invalid="skip")
    assert {file.path for file in index.files} - {file.path for file in good.files} == {bad}
    assert f"left_out={bad} kind={kind}" in caplog.text


@pytest.mark.parametrize(("spoil", "kind"), SPOILED)
def test_training_refuses_or_leaves_out_the_same_clips(root, tmp_path, spoil, kind):
    bad = root / "pump" / "train" / "1.wav"
    spoil(bad)
    index = index_folder(root)
    with pytest.raises(DataError, match="--invalid skip"):
        ClipStore.create(tmp_path / "a", [training_clips(index, RATE, tmp_path / "checks")])
    assert report(tmp_path / "checks") == [(str(bad), kind)]
    pending = training_clips(index, RATE, tmp_path / "checks", invalid="skip")
    store = ClipStore.create(tmp_path / "b", [pending])
    assert len(store) == 5
    assert store.classes == store.machine_names == ("fan/00", "pump/00")


def test_a_half_flac_is_found(root, tmp_path):
    bad = root / "pump" / "train" / "half.flac"
    spoil_flac(bad)
    with pytest.raises(DataError, match=r"half\.flac"):
        check_clips(index_folder(root), RATE, tmp_path / "checks")
    assert report(tmp_path / "checks")[0][1] in {"undecodable", "truncated"}


def test_good_clips_pass_whole(root, tmp_path):
    index = index_folder(root)
    assert check_clips(index, RATE, tmp_path / "checks").files == index.files
    assert report(tmp_path / "checks") == []


def test_single_peaks_and_headers_of_unknown_length_are_no_findings(root, tmp_path):
    samples = tone(500, 1, 0.2)
    samples[:10] = 32767
    path = write(root / "pump" / "train" / "1.wav", samples)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    data[40:44] = b"\xff\xff\xff\xff"  # as written into a pipe
    path.write_bytes(data)
    index = index_folder(root)
    assert check_clips(index, RATE, tmp_path / "checks").files == index.files


def test_a_bad_test_clip_shows_before_training(root, tmp_path):
    spoil_text(root / "fan" / "test" / "normal_9.wav")
    pending = training_clips(index_folder(root), RATE, tmp_path / "checks")
    with pytest.raises(DataError, match=r"normal_9\.wav"):
        list(pending.clips())


def test_the_first_ten_findings_and_their_number_are_named(root, tmp_path):
    for number in range(12):
        (root / "fan" / "train" / f"bad_{number:02d}.wav").write_text("no audio")
    with pytest.raises(DataError, match=r"^12 findings .* and 2 more$") as refused:
        check_clips(index_folder(root), RATE, tmp_path / "checks")
    assert "bad_09.wav" in str(refused.value)
    assert "bad_10.wav" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(report(tmp_path / "checks")) == 12


def test_names_that_do_not_fit_are_findings(tmp_path):
    root = tmp_path / "set"
    for machine in ("fan", "pump"):
        write(root / machine / "train" / "section_00_source_train_normal_0000_vel_5.wav")
        write(root / machine / "train" / "section_00_source_train_normal_0001_vel_6.wav")
    odd = write(root / "fan" / "train" / "holiday.wav")
    index = index_folder(root, "2023")
    with pytest.raises(DataError, match=r"holiday\.wav.*layout 2023"):
        check_clips(index, RATE, tmp_path / "checks")
    assert report(tmp_path / "checks") == [(str(odd), "name")]
    assert len(check_clips(index, RATE, tmp_path / "checks", invalid="skip").files) == 4


@pytest.mark.parametrize(("odd_s", "found"), [(3.0, 1), (10.3, 0)])
def test_a_clip_of_another_length_than_published_is_found(tmp_path, odd_s, found):
    name = "set/fan/train/section_00_source_train_normal_{:04d}_vel_5.wav"
    for number in range(3):
        write(tmp_path / name.format(number), tone(500, number, 10.0))
    write(tmp_path / name.format(3), tone(500, 3, odd_s))
    index = index_folder(tmp_path / "set", "2022")
    checked = check_clips(index, RATE, tmp_path / "checks", invalid="skip")
    assert len(index.files) - len(checked.files) == found
    assert [kind for _, kind in report(tmp_path / "checks")] == ["length"] * found


def test_clips_that_are_all_short_are_not_refused(tmp_path, caplog):
    for number in range(3):
        write(tmp_path / "set/fan/train" / f"section_00_source_train_normal_{number:04d}_v_5.wav")
    index = index_folder(tmp_path / "set", "2022")
    with caplog.at_level(logging.INFO):
        assert check_clips(index, RATE, tmp_path / "checks").files == index.files
    assert "most clips are not 10 to 10 s" in caplog.text


def test_resampling_is_allowed_and_said_once(tmp_path, caplog):
    for machine, rate in (("fan", 16_000), ("pump", 48_000)):
        for number in range(2):
            write(tmp_path / "set" / machine / f"{number}.wav", tone(500, rate + number, 0.9), rate)
    index = index_folder(tmp_path / "set")
    with caplog.at_level(logging.INFO):
        clips = list(training_clips(index, RATE, tmp_path / "checks").clips())
    assert caplog.text.count("rates_hz=48000") == 1
    assert [len(clip.samples) for clip in clips] == [14_400] * 2 + [4_800] * 2


def test_a_machine_of_a_lower_rate_is_a_finding_as_silence_would_tell_it(root, tmp_path):
    for number in range(2):
        write(root / "saw" / f"{number}.wav", rate=8000)
    with pytest.raises(DataError, match="silence above 4000 Hz"):
        check_clips(index_folder(root), RATE, tmp_path / "checks")
    assert {kind for _, kind in report(tmp_path / "checks")} == {"rate"}


def test_machines_that_all_have_a_lower_rate_are_warned_of(tmp_path, caplog):
    for machine in ("fan", "pump"):
        write(tmp_path / "set" / machine / "1.wav", rate=8000)
    check_clips(index_folder(tmp_path / "set"), RATE, tmp_path / "checks")
    assert "below the recipe's 16000 Hz" in caplog.text


@pytest.mark.parametrize("invalid", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["fan/train/0.wav", "fan/train/1.wav"], "at least two"),
        (["fan/train/0.wav", "pump/test/normal_1.wav"], "only one clip"),
        (["fan/test/normal_0.wav", "pump/test/normal_1.wav"], "no clip for training"),
    ],
)
def test_too_few_clips_or_classes_are_refused_before_decoding(
    tmp_path, decoded, names, text, invalid
):
    for name in names:
        write(tmp_path / "set" / name)
    index = index_folder(tmp_path / "set")
    with pytest.raises(DataError, match=text):
        training_clips(index, RATE, tmp_path / "checks", invalid=invalid)
    assert not decoded


def test_one_class_will_do_beside_other_sources(tmp_path):
    write(tmp_path / "set" / "fan" / "1.wav")
    pending = training_clips(index_folder(tmp_path / "set"), RATE, tmp_path / "c", alone=False)
    assert [clip.label for clip in pending.clips()] == ["fan/00"]


def test_what_is_left_has_to_be_enough(root, tmp_path):
    for path in (root / "pump" / "train").iterdir():
        spoil_text(path)
    pending = training_clips(index_folder(root), RATE, tmp_path / "checks", invalid="skip")
    with pytest.raises(DataError, match="at least two"):
        list(pending.clips())


def test_only_changed_clips_are_decoded_again(root, tmp_path, decoded):
    folder = tmp_path / "checks"
    index = index_folder(root)
    check_clips(index, RATE, folder)
    assert set(decoded.values()) == {2}  # two machines
    decoded.clear()
    check_clips(index, RATE, folder)
    assert not decoded
    changed = root / "pump" / "train" / "1.wav"
    os.utime(changed, ns=(0, 1))
    check_clips(index, RATE, folder)
    assert decoded == {"1.wav": 1}
    spoil_twice(changed)
    with pytest.raises(DataError, match="same samples"):
        check_clips(index, RATE, folder)


def test_findings_of_an_earlier_run_are_refused_without_decoding(root, tmp_path, decoded):
    spoil_silent(root / "pump" / "train" / "1.wav")
    index, folder = index_folder(root), tmp_path / "checks"
    with pytest.raises(DataError, match="silent"):
        list(training_clips(index, RATE, folder).clips())
    decoded.clear()
    with pytest.raises(DataError, match="silent"):
        training_clips(index, RATE, folder)
    assert not decoded


def test_training_decodes_every_clip_once(root, tmp_path, decoded):
    ClipStore.create(tmp_path, [training_clips(index_folder(root), RATE, tmp_path / "checks")])
    assert decoded == {"0.wav": 2, "1.wav": 2, "2.wav": 2}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 0, "files": {}}', '{"version": 1, "files": {"x": {}}}'],
)
def test_a_damaged_cache_is_rebuilt(root, tmp_path, decoded, text):
    folder = tmp_path / "checks"
    check_clips(index_folder(root), RATE, folder)
    (folder / "checks.json").write_text(text)
    decoded.clear()
    check_clips(index_folder(root), RATE, folder)
    assert sum(decoded.values()) == 8
    assert len(json.loads((folder / "checks.json").read_text())["files"]) == 8
