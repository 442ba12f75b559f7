"""The files of an alert: the sound bit by bit, and the rest as far as it can be made."""

import io
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from support.alerts import EVENT_ID, WALL_S, alert, clip_of, keep_reservoir, noise, tone
from support.sound import machine

from edge_asd.errors import DataError
from edge_asd.evidence import compose as module
from edge_asd.evidence.compose import Composer, Request, encode
from edge_asd.evidence.tap import Marks
from edge_asd.profile import profile_dir

RATE = 16_000


def decoded(data):
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples, rate


@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_the_sound_of_a_source_with_up_to_24_bits_is_kept_bit_by_bit(bits, rate):
    rng = np.random.default_rng(bits)
    top = 2 ** (bits - 1)
    whole = np.concatenate([[-top, top - 1, 0, 1, -1], rng.integers(-top, top, 2000)])
    samples = (whole / top).astype(np.float32)
    found, found_rate = decoded(encode(samples, rate))
    assert found.tobytes() == samples.tobytes()
    assert found_rate == rate


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_any_numbers_at_all_can_be_kept(values):
    samples = np.asarray(values, np.float32)
    found, _ = decoded(encode(samples, RATE))
    wanted = np.clip(np.where(np.isfinite(samples), samples, 0.0), -1.0, 1.0 - 2.0**-23)
    assert np.abs(found - wanted).max() <= 2.0**-23


def test_no_sound_is_no_evidence():
    with pytest.raises(DataError, match="no audio is left"):
        encode(np.empty(0, np.float32), RATE)
    with pytest.raises(DataError, match="cannot be written at 0 Hz"):
        encode(np.zeros(10, np.float32), 0)


@pytest.fixture
def state(tmp_path):
    keep_reservoir(profile_dir(tmp_path, "pump-1") / "reservoir", machine("pump", 60.0))
    return tmp_path


@pytest.fixture
def request_of(tiny_networks, pump_profile):
    """A request for a pump that rattles from the fourth second on."""

    def run(clip=None, profile=pump_profile):
        if clip is None:
            samples = machine("pump", 68.0)[60 * RATE :].copy()
            samples[4 * RATE :] += tone(2500.0, 4.0, factor=0.02)
            clip = clip_of(samples, marks=Marks(2.0, 4.0, 7.0))
        return Request(clip, profile, tiny_networks.bundle.manifest)

    return run


def composer(folder):
    return Composer("hall-3", folder, wall=lambda s: s + 3600.0, now=lambda: WALL_S + 3700.0)


def details(composed):
    return json.loads(composed.files["details.json"])


def test_an_alert_becomes_sound_picture_and_details(state, request_of):
    request = request_of()
    composed = composer(state).compose(request)
    assert sorted(composed.files) == ["clip.flac", "details.json", "spectrogram.png"]
    found, rate = decoded(composed.files["clip.flac"])
    assert rate == RATE
    assert np.abs(found - request.clip.samples).max() <= 2.0**-24
    assert composed.files["spectrogram.png"].startswith(b"\x89PNG")
    first = details(composed)["difference"]["deviations"][0]
    assert first["from_hz"] <= 2500 <= first["to_hz"]
    record = composed.record
    assert (record.event_id, record.monitor, record.device) == (EVENT_ID, "pump-1", "hall-3")
    assert (record.started_at, record.created_at) == (WALL_S + 3600.0, WALL_S + 3700.0)
    assert record.score == 5.25
    assert record.provisional


def test_a_profile_without_its_normal_sound_still_has_sound_and_picture(tmp_path, request_of):
    composed = composer(tmp_path).compose(request_of())
    assert len(composed.files) == 3
    assert details(composed)["difference"] is None
    assert "holds no recorded audio" in details(composed)["difference_missing"]


def test_damaged_normal_sound_is_told(state, request_of):
    for path in (profile_dir(state, "pump-1") / "reservoir").iterdir():
        path.write_bytes(b"junk")
    missing = details(composer(state).compose(request_of()))["difference_missing"]
    assert "damaged" in missing
    assert "enrol again" in missing


def test_a_clip_too_short_to_be_seen_is_still_heard(state, request_of):
    composed = composer(state).compose(request_of(clip_of(noise(0.02))))
    assert sorted(composed.files) == ["clip.flac", "details.json"]
    assert details(composed)["difference_missing"] == "the clip is too short to be seen"


def test_whatever_goes_wrong_with_the_picture_the_sound_is_kept(
    state, request_of, monkeypatch, caplog
):
    def fail(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr(module, "draw_picture", fail)
    with caplog.at_level(logging.ERROR):
        composed = composer(state).compose(request_of())
    assert list(composed.files) == ["clip.flac"]
    assert "no ink" in caplog.text


def test_a_microphone_that_gives_no_numbers_spoils_nothing(state, request_of):
    samples = machine("pump", 8.0).copy()
    samples[::1000] = np.nan
    composed = composer(state).compose(request_of(clip_of(samples, marks=Marks(2.0, 4.0, 7.0))))
    assert len(composed.files) == 3


def test_normal_sound_is_read_once_and_again_only_for_a_new_profile(
    state, request_of, pump_profile, monkeypatch
):
    learned, really = [], module.learn_normal
    monkeypatch.setattr(module, "learn_normal", lambda *args: learned.append(args) or really(*args))
    maker = composer(state)
    maker.compose(request_of())
    maker.compose(request_of())
    assert len(learned) == 1
    anew = replace(pump_profile, created_at="2027-01-01T00:00:00.000Z")
    maker.compose(request_of(profile=anew))
    assert len(learned) == 2


def test_normal_sound_that_could_not_be_read_is_tried_again(tmp_path, request_of):
    maker = composer(tmp_path)
    assert details(maker.compose(request_of()))["difference"] is None
    keep_reservoir(profile_dir(tmp_path, "pump-1") / "reservoir", machine("pump", 60.0))
    assert details(maker.compose(request_of()))["difference"] is not None


def test_the_normal_sound_of_so_many_monitors_is_remembered_and_no_more(
    state, request_of, pump_profile, monkeypatch
):
    monkeypatch.setattr(module, "_MONITORS", 2)
    maker = composer(state)
    for year in range(2027, 2031):
        maker.compose(request_of(profile=replace(pump_profile, created_at=str(year))))
    assert [key[2] for key in maker._normals] == ["2029", "2030"]


def test_sound_at_another_rate_is_kept_as_it_is_and_seen_as_the_model_sees_it(state, request_of):
    samples = noise(8.0, rate=48_000, factor=0.01)
    samples[4 * 48_000 :] += tone(2500.0, 4.0, 48_000)
    clip = clip_of(samples, 48_000, Marks(2.0, 4.0, 7.0), event=alert())
    composed = composer(state).compose(request_of(clip))
    found, rate = decoded(composed.files["clip.flac"])
    assert (rate, len(found)) == (48_000, len(samples))
    bands = details(composed)["difference"]["bands"]
    loudest = bands["centre_hz"][int(np.argmax(bands["level_db"]))]
    assert loudest == pytest.approx(2500, abs=60)
    assert_array_equal(np.isfinite(bands["level_db"]), np.ones(128, bool))
