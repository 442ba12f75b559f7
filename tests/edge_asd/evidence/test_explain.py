"""The details of an alert: stable keys, honest numbers, and sentences for people."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.alerts import EVENT_ID, WALL_S, alert, clip_of, noise, normal_of, tone
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.evidence.compare import compare, hear
from edge_asd.evidence.details import Details
from edge_asd.evidence.explain import explain, sentences
from edge_asd.evidence.tap import Marks
from edge_asd.evidence.view import front_end_of

RATE = 16_000
MANIFEST = Manifest.model_validate(tiny_fields() | {"schema": 1, "files": {}})
MEL = front_end_of(MANIFEST)
MARKS = Marks(2.0, 4.0, 7.0)


@pytest.fixture(scope="module")
def normal():
    return normal_of(MEL, [noise(1.024, seed) for seed in range(20)])


@pytest.fixture
def told(normal, pump_profile):
    """Details of a clip as they read back from the file."""

    def run(clip=None, missing=None, profile=pump_profile):
        if clip is None:
            samples = noise(8.0, seed=99)
            samples[4 * RATE :] += tone(3000.0, 4.0)
            clip = clip_of(samples, marks=MARKS)
        heard = hear(clip, MEL, MANIFEST, 0.0)
        found = missing or (heard, compare(heard, normal, MEL))
        details = explain(
            clip, found, MEL, MANIFEST, profile, device="hall-3", wall=lambda s: s + 3600.0
        )
        return json.loads(details.to_file())

    return run


KEYS = {
    "": "schema event_id device monitor severity started_at decided_at summary score model profile"
    " clip difference difference_missing",
    "score": "value threshold percentile provisional nearest parts fusion",
    "model": "name version sha256 sample_rate window_s scorers shown shown_is_read",
    "profile": "created_at enrolled_s gain_db",
    "clip": "begins_at sample_rate duration_s asked_s evidence_s event_s decided_s gaps",
    "difference": "begin_s end_s windows normal_windows level deviations bands",
}

DIFFERENCE_KEYS = {
    "level": "dbfs normal_dbfs difference_db spread_units",
    "deviations": "quantity from_hz to_hz difference_db spread_units peak_hz peak_db text",
    "bands": "centre_hz level_db normal_level_db level_spread_db swing_db normal_swing_db"
    " swing_spread_db",
}


def test_the_keys_are_those_that_scripts_rely_on(told):
    found = told()
    for path, keys in KEYS.items():
        assert list(found[path] if path else found) == keys.split()
    difference = found["difference"]
    for part, keys in DIFFERENCE_KEYS.items():
        assert (
            list(difference[part][0] if part == "deviations" else difference[part]) == keys.split()
        )
    assert {len(row) for row in difference["bands"].values()} == {128}


def test_the_numbers_are_those_of_the_alert(told, pump_profile):
    found = told()
    assert found["schema"] == 1
    assert (found["event_id"], found["device"], found["monitor"]) == (EVENT_ID, "hall-3", "pump-1")
    assert found["score"] == {
        "value": 5.25,
        "threshold": 3.0,
        "percentile": 100.0,
        "provisional": pump_profile.calibration.provisional,
        "nearest": {"scorer": "log_mel", "reference": "7"},
        "parts": {"embedding": 1.0, "log_mel": 6.0, "level": 0.5},
        "fusion": "mean",
    }
    assert found["model"]["sha256"] == pump_profile.bundle_sha256
    assert found["model"]["shown"]["kind"] == "log_mel_statistics"
    assert found["profile"]["gain_db"] == pump_profile.gain_db


def test_times_are_wall_time(told):
    found = told()
    assert found["started_at"] == "2026-09-21T15:13:20.000Z"  # an hour after WALL_S
    assert found["decided_at"] == "2026-09-21T15:13:21.500Z"
    assert found["clip"]["begins_at"] == "2026-09-21T15:13:16.000Z"
    assert WALL_S == 1_790_000_000.0


def test_a_new_tone_is_said_first(told):
    found = told()
    first = found["difference"]["deviations"][0]
    assert first["text"] == found["summary"][0]
    assert "kHz: " in first["text"]
    assert first["from_hz"] <= 3000 <= first["to_hz"]
    bands = found["difference"]["bands"]
    gain = np.subtract(bands["level_db"], bands["normal_level_db"])
    assert bands["centre_hz"][int(gain.argmax())] == pytest.approx(3000, abs=60)


def test_without_normal_sound_there_is_no_comparison_and_the_reason_is_there(told):
    found = told(missing="nothing to compare with: no reservoir")
    assert found["difference"] is None
    assert found["difference_missing"] == "nothing to compare with: no reservoir"
    assert found["summary"] == ["nothing to compare with: no reservoir"]
    assert found["score"]["value"] == 5.25


def test_numbers_that_are_none_are_null_and_the_file_stays_json(told):
    event = alert(score=float("nan"), percentile=float("inf"))
    found = told(clip_of(noise(8.0), marks=MARKS, event=event, parts={"level": float("nan")}))
    assert found["score"]["value"] is None
    assert found["score"]["percentile"] is None
    assert found["score"]["parts"] == {"level": None}


def test_lost_audio_and_what_is_missing_of_the_clip_is_told(told):
    clip = clip_of(noise(8.0), marks=MARKS, gaps=((RATE, 2 * RATE),), asked_s=12.0)
    found = told(clip)["clip"]
    assert found["gaps"] == [{"begin_s": 1.0, "end_s": 2.0}]
    assert (found["duration_s"], found["asked_s"]) == (8.0, 12.0)


def test_rows_of_numbers_are_lines_so_that_people_can_read_the_file(normal, pump_profile):
    clip = clip_of(noise(8.0), marks=MARKS)
    heard = hear(clip, MEL, MANIFEST, 0.0)
    details = explain(
        clip,
        (heard, compare(heard, normal, MEL)),
        MEL,
        MANIFEST,
        pump_profile,
        device="d",
        wall=lambda s: s,
    )
    lines = details.to_file().decode().splitlines()
    assert 60 < len(lines) < 160
    assert sum(line.count(",") > 100 for line in lines) == 7
    assert len(details.to_file()) < 20_000
    assert Details.model_validate_json(details.to_file()) == details


def test_a_later_reader_ignores_what_it_does_not_know(told):
    found = told()
    again = Details.model_validate({**found, "colour": "red"})
    assert again.event_id == EVENT_ID


def test_something_is_said_even_where_no_band_stands_out(normal):
    heard = hear(clip_of(noise(8.0), marks=MARKS), MEL, MANIFEST, 0.0)
    comparison = compare(heard, normal, MEL)
    quiet = replace(comparison, deviations=(), level_difference_db=0.1, level_units=0.2)
    assert sentences(quiet) == ("no frequency band stands out by itself",)
    louder = replace(quiet, level_difference_db=-6.0, level_units=-12.0)
    assert sentences(louder) == ("overall: 6.0 dB softer",)
