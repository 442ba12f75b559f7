"""The bands that differ are found, named at their frequencies and in decibels, and no others."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.alerts import clip_of, noise, normal_of, tone
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.evidence.compare import (
    LEAST_DB,
    LEAST_UNITS,
    MAX_DEVIATIONS,
    Deviation,
    compare,
    hear,
)
from edge_asd.evidence.tap import Marks
from edge_asd.evidence.view import FrontEnd, front_end_of
from edge_asd.features import LogMelStatistics, StftMagnitude

RATE = 16_000
MANIFEST = Manifest.model_validate(tiny_fields() | {"schema": 1, "files": {}})
MEL, STFT = front_end_of(MANIFEST), FrontEnd(StftMagnitude(), RATE)
NORMAL = {
    front_end: normal_of(front_end, [noise(1.024, seed) for seed in range(40)])
    for front_end in (MEL, STFT)
}
BOTH = pytest.mark.parametrize("front_end", [MEL, STFT], ids=["mel", "stft"])
MARKS = Marks(2.0, 4.0, 7.0)


def difference(samples, front_end=MEL, marks=MARKS, **changes):
    heard = hear(clip_of(samples, marks=marks, **changes), front_end, MANIFEST, 0.0)
    return compare(heard, NORMAL[front_end], front_end)


def from_the_alert_on(extra):
    """Eight seconds of noise to which something is added after four."""
    samples = noise(8.0, seed=99)
    samples[4 * RATE :] += extra[: 4 * RATE]
    return samples


@BOTH
def test_normal_sound_has_nothing_that_stands_out(front_end):
    found = difference(noise(8.0, seed=99), front_end)
    assert found.deviations == ()
    assert np.abs(found.difference.mean_db).max() < 6.0


@BOTH
@pytest.mark.parametrize("hz", [400.0, 1234.0, 5000.0])
def test_a_new_tone_is_named_where_it_is(front_end, hz):
    (one,) = difference(from_the_alert_on(tone(hz, 4.0)), front_end).deviations
    assert one.from_hz <= hz <= one.to_hz
    assert one.to_hz - one.from_hz < 0.25 * hz + 100
    assert abs(one.peak_hz - hz) < 40
    assert one.peak_db >= one.difference_db > 3.0
    assert LEAST_UNITS < one.spread_units < 2.01 * one.difference_db
    assert (one.quantity, "louder" in one.text) == ("level", True)


def test_a_band_that_is_missing_is_softer_by_as_much_as_it_is():
    samples = noise(8.0, seed=99)
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hz > 2000) & (hz < 3000)] /= 10 ** (12 / 20)
    (one,) = difference(np.fft.irfft(spectrum)).deviations
    assert one.from_hz == pytest.approx(2000, abs=120)
    assert one.to_hz == pytest.approx(3000, abs=150)
    assert one.peak_db == pytest.approx(-12.0, abs=1.5)
    assert one.text.endswith(f"{-one.difference_db:.0f} dB softer")


def test_everything_louder_is_one_statement_over_all_frequencies():
    samples = noise(8.0, seed=99)
    samples[4 * RATE :] *= np.float32(2.0)
    found = difference(samples)
    (one,) = found.deviations
    assert (one.from_hz, round(one.to_hz)) == (0.0, 8000)
    assert one.difference_db == pytest.approx(6.02, abs=0.3)
    assert found.level_difference_db == pytest.approx(6.02, abs=0.3)
    assert found.level_units == pytest.approx(2 * found.level_difference_db)


def test_a_sound_that_comes_and_goes_fluctuates_more():
    gate = np.repeat(np.arange(16) % 2, RATE // 4).astype(np.float32)
    level = np.float32(10) ** (gate - np.float32(0.5))  # the mean in decibels is what it was
    samples = noise(8.0, seed=99)
    samples[4 * RATE :] *= level
    kinds = {one.quantity for one in difference(samples).deviations}
    assert kinds == {"swing"}
    assert all("more fluctuation" in one.text for one in difference(samples).deviations)


def test_of_a_louder_tone_it_is_not_said_that_it_fluctuates_less():
    found = difference(from_the_alert_on(tone(1000.0, 4.0, factor=0.3)))
    assert (found.difference.swing_db < -LEAST_DB).any()
    assert {one.quantity for one in found.deviations} == {"level"}


def test_at_most_five_are_named_and_the_strongest_come_first():
    tones = [tone(hz, 4.0, factor=0.02 * (1 + n)) for n, hz in enumerate(range(700, 7700, 1000))]
    found = difference(from_the_alert_on(np.sum(tones, axis=0))).deviations
    assert len(found) == MAX_DEVIATIONS
    assert found[0].from_hz <= 6700 <= found[0].to_hz


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(100, 7900), st.floats(0.002, 0.4)), min_size=1, max_size=6))
def test_what_is_named_deviates_and_nothing_is_named_twice(tones):
    extra = np.sum([tone(hz, 4.0, factor=factor) for hz, factor in tones], axis=0)
    found = difference(from_the_alert_on(extra)).deviations
    for one in found:
        assert 0.0 <= one.from_hz < one.to_hz <= 8000.0
        assert abs(one.peak_db) >= LEAST_DB
        assert abs(one.spread_units) > LEAST_UNITS / 3
        assert one.from_hz <= one.peak_hz <= one.to_hz
    for one, other in itertools.combinations([f for f in found if f.quantity == "level"], 2):
        assert one.to_hz <= other.from_hz or other.to_hz <= one.from_hz


def test_a_lasting_fault_is_measured_from_where_the_alert_began():
    heard = hear(clip_of(noise(8.0), marks=MARKS), MEL, MANIFEST, 0.0)
    assert heard.span_s == (4.0, 7.0)
    assert heard.windows == 3


def test_where_a_bang_may_raise_all_that_counted_is_measured():
    marks = Marks(2.0, 4.0, 4.5)  # shorter than a window of 1.024 s
    heard = hear(clip_of(noise(8.0), marks=marks), MEL, MANIFEST, 0.0)
    assert heard.span_s == (2.0, 4.5)


def test_a_clip_shorter_than_a_window_is_compared_as_it_is():
    clip = clip_of(from_the_alert_on(tone(1000.0, 4.0))[-RATE // 2 :], marks=Marks(-5, -3, 0.5))
    heard = hear(clip, MEL, MANIFEST, 0.0)
    assert (heard.windows, heard.share) == (0, pytest.approx(0.45, abs=0.03))
    assert heard.span_s == (0.0, 0.5)
    (one,) = compare(heard, NORMAL[MEL], MEL).deviations
    assert one.from_hz <= 1000 <= one.to_hz


def test_a_clip_that_ends_before_the_alert_was_raised_is_measured_where_it_is():
    heard = hear(clip_of(noise(3.0), marks=Marks(4.0, 5.0, 8.0)), MEL, MANIFEST, 0.0)
    assert heard.span_s == (0.0, 3.0)


def test_lost_audio_is_left_out_of_what_is_measured():
    samples = from_the_alert_on(tone(1000.0, 4.0))
    whole = difference(samples)
    samples[5 * RATE : 6 * RATE] = 0.0
    found = difference(samples, gaps=((5 * RATE, 6 * RATE),))
    assert found.difference.mean_db == pytest.approx(whole.difference.mean_db, abs=1.5)
    assert found.level_difference_db == pytest.approx(whole.level_difference_db, abs=0.2)


def test_an_alert_all_of_which_was_lost_is_measured_on_what_is_left():
    samples = noise(8.0)
    heard = hear(
        clip_of(samples, marks=MARKS, gaps=((3 * RATE, 8 * RATE - 4000),)), MEL, MANIFEST, 0
    )
    assert heard.span_s == (0.0, 8.0)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.06])
def test_too_short_a_clip_is_not_heard_at_all(seconds):
    assert hear(clip_of(noise(seconds), marks=MARKS), MEL, MANIFEST, 0.0) is None


def test_the_monitors_gain_moves_bands_and_not_the_level():
    plain = hear(clip_of(noise(8.0), marks=MARKS), MEL, MANIFEST, 0.0)
    louder = hear(clip_of(noise(8.0), marks=MARKS), MEL, MANIFEST, 10.0)
    assert louder.levels.mean_db == pytest.approx(plain.levels.mean_db + 10.0, abs=0.01)
    assert louder.level_dbfs == pytest.approx(plain.level_dbfs, abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "db", "quantity", "text"),
    [
        (2131.0, 3420.0, 11.2, "level", "2.1 to 3.4 kHz: 11 dB louder"),
        (98.0, 612.0, -4.26, "level", "98 to 610 Hz: 4.3 dB softer"),
        (940.0, 1180.0, 3.0, "swing", "940 to 1200 Hz: 3.0 dB more fluctuation"),
        (2190.0, 2210.0, -9.96, "swing", "about 2.2 kHz: 10 dB less fluctuation"),
        (0.0, 8000.0, 6.0, "level", "0 to 8 kHz: 6.0 dB louder"),
    ],
)
def test_deviations_read_as_sentences(low, high, db, quantity, text):
    assert Deviation(quantity, low, high, db, 9.0, low, db).text == text


def test_mel_bands_are_those_of_the_bundle():
    assert MEL.spec == LogMelStatistics()
