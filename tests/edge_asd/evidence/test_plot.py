"""Every time and frequency has its pixel, and a pixel shows the mean of what lies in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.alerts import tone

from edge_asd.evidence.plot import (
    Box,
    Scale,
    coarsened,
    frequency_row,
    frequency_ticks,
    raster,
    round_numbers,
)
from edge_asd.evidence.view import FrontEnd, Mono, Spectrogram
from edge_asd.features import LogMelStatistics, StftMagnitude

RATE = 16_000
MEL, STFT = FrontEnd(LogMelStatistics(), RATE), FrontEnd(StftMagnitude(), RATE)
BOX = Box(70, 100, 470, 354)


def shown(front_end, samples, seconds, box=BOX, **changes):
    spectrogram = front_end.spectrogram(Mono(samples, ((0, len(samples)),)))
    time = Scale(0.0, seconds, box.left, box.right)
    return raster(spectrogram, front_end, box, time, **changes)


@pytest.mark.parametrize("front_end", [MEL, STFT], ids=["mel", "stft"])
@pytest.mark.parametrize("hz", [500.0, 1000.0, 2000.0, 4000.0])
def test_a_tone_lies_at_the_row_of_its_tick(front_end, hz):
    picture = shown(front_end, tone(hz, 2.0), 2.0)
    brightest = BOX.top + int(picture.mean(axis=1).argmax())
    assert brightest == pytest.approx(frequency_row(front_end, BOX, hz), abs=2)
    ticks = {text: row for row, text in frequency_ticks(front_end, BOX)}
    text = f"{hz:g} Hz" if hz < 1000 else f"{hz / 1000:g} kHz"
    assert ticks.get(text, brightest) == pytest.approx(brightest, abs=2)


def test_octaves_are_named_on_a_mel_axis_at_their_true_places():
    # From the formula of the scale: 2595 log10(1 + f / 700), 2840 mel at 8 kHz, 254 rows.
    assert frequency_ticks(MEL, BOX) == [
        (337, "125 Hz"),
        (322, "250 Hz"),
        (299, "500 Hz"),
        (264, "1 kHz"),
        (217, "2 kHz"),
        (162, "4 kHz"),
        (100, "8 kHz"),
    ]


def test_round_numbers_are_named_on_a_linear_axis():
    texts = [text for _, text in frequency_ticks(STFT, BOX)]
    assert texts == ["0 Hz", "2 kHz", "4 kHz", "6 kHz", "8 kHz"]
    rows = [row for row, _ in frequency_ticks(STFT, BOX)]
    assert_allclose(rows, np.linspace(353, 100, 5), atol=0.6)


def test_names_that_would_cover_each_other_are_left_out():
    ticks = frequency_ticks(MEL, Box(0, 0, 100, 80))
    rows = [row for row, _ in ticks]
    assert max(np.diff(rows)) <= -15
    assert 2 <= len(ticks) < 7


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(2, 12))
def test_ticks_are_few_round_and_inside(low, width, at_most):
    ticks = round_numbers(low, low + width, at_most)
    assert len(ticks) <= at_most
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in ticks)
    steps = np.diff(ticks)
    if len(steps):
        assert_allclose(steps, steps[0], rtol=1e-3)
        mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0] * 1.0001))
        assert min(abs(mantissa - m) for m in (1, 2, 5)) < 0.01


def test_a_scale_gives_the_nearest_pixel():
    scale = Scale(-20.0, 20.0, 100, 500)
    assert [scale.pixel(v) for v in (-20.0, 0.0, 20.0, 0.04)] == [100, 300, 500, 300]
    assert Scale(0.0, 10.0, 400, 100).pixel(2.5) == 325  # upwards


def test_a_click_lies_at_the_column_of_its_time():
    samples = np.zeros(4 * RATE, np.float32)
    samples[3 * RATE] = 0.9
    columns = shown(STFT, samples, 4.0).mean(axis=0)
    # A frame of 64 ms shows it as early and as late as half of that.
    lit = np.flatnonzero(columns > columns.min() + 6)
    assert 400 * (3 - 0.07) / 4 - 1 <= lit.min() <= lit.max() <= 400 * (3 + 0.07) / 4 + 1


@settings(max_examples=100, deadline=None)
@given(
    frames=st.integers(1, 60),
    width=st.integers(1, 60),
    height=st.integers(1, 300),
    blank=st.sets(st.integers(0, 59), max_size=20),
    least_frames=st.integers(0, 9),
)
def test_a_pixel_is_the_mean_of_the_frames_it_covers(frames, width, height, blank, least_frames):
    rng = np.random.default_rng(frames)
    db = rng.normal(size=(frames, 128)).astype(np.float32)
    db[[index for index in blank if index < frames]] = np.nan
    spectrogram = Spectrogram(db, 0.5, 1.0)
    box = Box(0, 0, width, height)
    picture = raster(spectrogram, MEL, box, Scale(0.0, frames, 0, width), least_frames)
    assert picture.shape == (height, width)
    for column in range(width):
        begin, end = column * frames / width, (column + 1) * frames / width
        wider = max(0.0, least_frames - (end - begin)) / 2
        first, last = np.floor(begin - wider + 1e-6), np.ceil(end + wider - 1e-6)
        covered = db[int(max(0, first)) : int(min(frames, max(last, first + 1)))]
        known = covered[~np.isnan(covered[:, 0])]
        if not len(known):
            assert np.isnan(picture[:, column]).all()
            continue
        low, high = known.mean(axis=0).min(), known.mean(axis=0).max()
        assert low - 1e-4 <= picture[:, column].min() <= picture[:, column].max() <= high + 1e-4
        if height >= 256:  # every band has a row of its own
            assert_allclose(picture[0, column], known.mean(axis=0)[-1], atol=1e-4)
            assert_allclose(picture[-1, column], known.mean(axis=0)[0], atol=1e-4)


def test_squares_show_the_mean_of_their_pixels_and_keep_the_size():
    picture = np.arange(30, dtype=np.float32).reshape(5, 6)
    picture[4, 4:] = np.nan
    found = coarsened(picture, 2)
    assert found.shape == (5, 6)
    assert_array_equal(found[:2, :2], np.full((2, 2), picture[:2, :2].mean()))
    assert np.isnan(found[4, 4:]).all()
    assert coarsened(picture, 1) is picture
