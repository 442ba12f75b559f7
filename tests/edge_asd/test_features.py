"""Features: what they measure, and that streaming and offline give the same numbers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from edge_asd.features import (
    FeatureExtractor,
    FrameCache,
    LogMelStatistics,
    MagnitudeSpectrum,
    MelFilters,
    StftMagnitude,
    compute,
    frame_count,
    log_mel,
    magnitude_spectrum,
    mel_filterbank,
    mel_filters,
    mel_statistics,
    stft_magnitude,
)
from edge_asd.features import extract as extract_module
from edge_asd.features import frames as frames_module
from edge_asd.records import Block, Window
from edge_asd.window import Windower

RATE, LENGTH, HOP = 16_000, 16_384, 2_048
SPECS = {
    "spectrum": MagnitudeSpectrum(),
    "spectrogram": StftMagnitude(),
    "fine": StftMagnitude(n_fft=512, hop_length=128),
    "mel": LogMelStatistics(),
}


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(size=5 * RATE).astype(np.float32) / 10


def windows_of(samples, start=0, windower=None):
    windower = windower or Windower(LENGTH, HOP, RATE)
    return windower.push(Block(samples[:, None], start, 0.0))


def tone(hz, n=LENGTH):
    return np.sin(2 * np.pi * hz * np.arange(n) / RATE).astype(np.float32)


@pytest.mark.parametrize("name", SPECS)
def test_streaming_features_equal_offline(name, noise):
    extractor = FeatureExtractor(SPECS, RATE)
    for window in windows_of(noise):
        streamed = extractor.extract(window)[name]
        offline = compute(SPECS[name], window.samples[None], RATE)
        assert streamed.shape == offline.shape
        assert streamed.dtype == np.float32
        assert_allclose(streamed, offline, rtol=1e-5, atol=1e-5)


def test_streaming_features_equal_offline_across_a_gap(noise):
    extractor, windower = FeatureExtractor(SPECS, RATE), Windower(LENGTH, HOP, RATE)
    found = windows_of(noise[:40_000], 0, windower)
    found += windows_of(noise[40_000:], 40_000 + HOP, windower)
    assert {window.run for window in found} == {0, 1}
    for window in found:
        streamed = extractor.extract(window)
        for name, spec in SPECS.items():
            offline = compute(spec, window.samples[None], RATE)
            assert_allclose(streamed[name], offline, rtol=1e-5, atol=1e-5)


def test_windows_of_another_run_never_lend_their_frames(noise):
    # the same stream positions hold other samples: only the run tells them apart
    cache = FrameCache(1024, 512)
    cache.frames(Window(noise[:LENGTH], 0, 0, 0.0))
    other = noise[LENGTH : 2 * LENGTH]
    assert_array_equal(cache.frames(Window(other, HOP, 1, 0.0)), stft_magnitude(other, 1024, 512))


@pytest.mark.parametrize("offset", [-512, 100, 513, 3 * LENGTH])
def test_windows_that_do_not_continue_the_last_one_are_computed_afresh(noise, offset):
    cache = FrameCache(1024, 512)
    first = 20_000
    cache.frames(Window(noise[first : first + LENGTH], first, 0, 0.0))
    start = first + offset
    samples = noise[start : start + LENGTH]
    assert_allclose(
        cache.frames(Window(samples, start, 0, 0.0)), stft_magnitude(samples, 1024, 512), rtol=1e-5
    )


def test_every_frame_is_computed_once_however_windows_overlap(noise, monkeypatch):
    computed = []
    real = frames_module.magnitudes

    def counting(rows, *args, **kwargs):
        computed.append(len(rows))
        return real(rows, *args, **kwargs)

    monkeypatch.setattr(frames_module, "magnitudes", counting)
    found = windows_of(noise)
    # two features share this framing: that must not cost anything either
    extractor = FeatureExtractor({"a": StftMagnitude(), "b": LogMelStatistics()}, RATE)
    for window in found:
        extractor.extract(window)
    heard = found[-1].start + LENGTH
    assert sum(computed) == frame_count(heard, 1024, 512)


def test_frames_handed_out_are_not_changed_by_later_windows(noise):
    cache = FrameCache(1024, 512)
    handed = [(window, cache.frames(window)) for window in windows_of(noise)]
    for window, frames in handed:
        assert not frames.flags.writeable
        assert_allclose(frames, stft_magnitude(window.samples, 1024, 512), rtol=1e-5, atol=1e-6)


def test_log_mel_rows_are_computed_once_however_windows_overlap(noise, monkeypatch):
    computed = []
    real = extract_module.log_mel

    def counting(magnitudes, filters):
        computed.append(len(magnitudes))
        return real(magnitudes, filters)

    monkeypatch.setattr(extract_module, "log_mel", counting)
    found, extractor = windows_of(noise), FeatureExtractor({"mel": LogMelStatistics()}, RATE)
    for window in found:
        extractor.extract(window)
    assert sum(computed) == frame_count(found[-1].start + LENGTH, 1024, 512)


def test_streaming_spectra_equal_offline_to_the_bit(noise):
    extractor = FeatureExtractor(SPECS, RATE)
    for window in windows_of(noise):
        streamed = extractor.extract(window)
        for name in ("spectrum", "spectrogram", "fine"):
            offline = compute(SPECS[name], window.samples[None], RATE)
            assert_array_equal(streamed[name], offline)


@pytest.mark.parametrize(("seconds", "frames"), [(18, 561), (10, 311)])
def test_frame_counts_are_those_of_the_published_system(seconds, frames):
    samples = np.zeros((1, seconds * RATE), np.float32)
    assert frame_count(seconds * RATE, 1024, 512) == frames
    assert compute(StftMagnitude(), samples, RATE).shape == (1, frames, 513, 1)


def test_a_signal_shorter_than_a_frame_has_none():
    assert frame_count(1023, 1024, 512) == 0
    assert frame_count(1024, 1024, 512) == 1


def test_the_magnitude_spectrum_drops_the_nyquist_bin():
    alternating = np.tile([1.0, -1.0], LENGTH // 2).astype(np.float32)[None]
    spectrum = magnitude_spectrum(alternating)
    assert spectrum.shape == (1, LENGTH // 2, 1)
    assert spectrum.max() < 1e-2  # all of its energy lies in the bin that is dropped


def test_the_magnitude_spectrum_is_linear_and_unscaled():
    spectrum = magnitude_spectrum((0.5 + tone(1000.0))[None])[0, :, 0]
    assert spectrum[0] == pytest.approx(LENGTH / 2, rel=1e-4)  # bin 0 is kept
    assert int(spectrum[1:].argmax()) + 1 == LENGTH * 1000 // RATE
    assert spectrum[LENGTH * 1000 // RATE] == pytest.approx(LENGTH / 2, rel=1e-3)


def test_frames_use_a_periodic_hann_window_without_padding():
    samples = np.random.default_rng(1).normal(size=4000).astype(np.float32)
    hann = np.hanning(1025)[:-1]  # the periodic window is a symmetric one, its end cut off
    expected = [
        np.abs(np.fft.rfft(samples[first : first + 1024] * hann))
        for first in range(0, 4000 - 1024 + 1, 512)
    ]
    assert_allclose(stft_magnitude(samples, 1024, 512), expected, rtol=1e-3, atol=1e-3)


def test_mel_filters_are_non_negative_and_cover_their_band_only():
    filters = mel_filterbank(RATE, 1024, 64, 200.0, 6000.0)
    assert filters.shape == (513, 64)
    assert filters.min() == 0.0
    bins = np.linspace(0, RATE / 2, 513)
    assert filters[(bins <= 200.0) | (bins >= 6000.0)].max() < 1e-9
    assert filters[(bins > 230.0) & (bins < 5900.0)].sum(axis=1).min() > 0.0


def test_white_noise_gives_every_mel_filter_the_same_expected_power():
    filters = mel_filters(RATE, 4096, 40, 0.0, 8000.0)
    area = filters.weights.sum(axis=0) * (RATE / 4096)  # of each triangle, over hertz
    assert_allclose(area, 1.0, rtol=0.05)
    noise = np.random.default_rng(2).normal(size=40 * RATE).astype(np.float32)
    levels = log_mel(stft_magnitude(noise, 4096, 2048), filters).mean(axis=0)
    assert levels.max() - levels.min() < 2.5  # the widest average the log of more bins


@pytest.mark.parametrize(
    ("n_fft", "n_mels", "f_min"),
    [(1024, 128, 0.0), (1024, 3, 0.0), (64, 60, 0.0), (256, 5, 7_999.0), (1024, 64, 6000.0)],
)
def test_filters_applied_in_groups_let_through_what_the_whole_bank_does(n_fft, n_mels, f_min):
    weights = mel_filterbank(RATE, n_fft, n_mels, f_min, 8000.0)
    power = np.random.default_rng(5).random((2, 7, n_fft // 2 + 1)).astype(np.float32)
    assert_allclose(MelFilters(weights)(power), power @ weights, rtol=1e-5, atol=1e-12)


def test_the_upper_edge_never_exceeds_half_the_rate():
    assert_array_equal(
        mel_filterbank(RATE, 1024, 32, 0.0, 8000.0), mel_filterbank(RATE, 1024, 32, 0.0, 20_000.0)
    )


@pytest.mark.parametrize("hz", [300.0, 1000.0, 3000.0, 6500.0])
def test_a_tone_lands_in_the_mel_band_around_it(hz):
    spec = LogMelStatistics(n_mels=64)
    mean = compute(spec, tone(hz)[None], RATE)[0, :64]
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)
    loudest = int(mean.argmax())
    assert edges[loudest] <= hz <= edges[loudest + 2]


def test_log_mel_is_in_decibels_of_power():
    spec = LogMelStatistics()
    loud, soft = (compute(spec, scale * tone(1000.0)[None], RATE)[0, :128] for scale in (1.0, 0.1))
    band = int(loud.argmax())
    assert loud[band] - soft[band] == pytest.approx(20.0, abs=1e-3)


def test_digital_silence_stays_finite():
    statistics = compute(LogMelStatistics(), np.zeros((1, LENGTH), np.float32), RATE)
    assert np.isfinite(statistics).all()
    assert_allclose(statistics[0, 128:], 0.0)


def test_statistics_are_mean_and_deviation_over_time():
    spectrogram = np.random.default_rng(3).normal(size=(2, 7, 5)).astype(np.float32)
    found = mel_statistics(spectrogram)
    assert found.shape == (2, 10)
    assert_allclose(found[:, :5], spectrogram.mean(axis=1), rtol=1e-6)
    assert_allclose(found[:, 5:], spectrogram.std(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        (StftMagnitude, {"n_fft": 8}),
        (StftMagnitude, {"hop_length": 0}),
        (StftMagnitude, {"n_mels": 3}),
        (LogMelStatistics, {"f_min": -1.0}),
        (LogMelStatistics, {"f_min": 500.0, "f_max": 500.0}),
        (LogMelStatistics, {"n_mels": 1}),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(spec, changes):
    with pytest.raises(ValidationError):
        spec(**changes)
