"""What people are shown is what the model reads, at its true frequencies and times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.alerts import noise, tone
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.capture import Resampler
from edge_asd.evidence.view import FrontEnd, Mono, front_end_of, heard
from edge_asd.features import LogMelStatistics, StftMagnitude, compute
from edge_asd.records import Block

RATE = 16_000
MEL, STFT = FrontEnd(LogMelStatistics(), RATE), FrontEnd(StftMagnitude(), RATE)
BOTH = pytest.mark.parametrize("front_end", [MEL, STFT], ids=["mel", "stft"])


def mono(samples):
    return Mono(samples, ((0, len(samples)),))


@BOTH
@pytest.mark.parametrize("hz", [300.0, 1000.0, 3210.0, 7000.0])
def test_a_tone_is_loudest_in_the_band_that_holds_its_frequency(front_end, hz):
    band = int(front_end.frames(tone(hz, 1.0)).mean(axis=0).argmax())
    # The transform's bins are 15.6 Hz apart: the loudest is at most half of that away.
    assert front_end.edges_hz[band] - 8.0 <= hz <= front_end.edges_hz[band + 1] + 8.0


@BOTH
def test_bands_tile_the_axis_and_places_turn_back_into_frequencies(front_end):
    edges, centres = front_end.edges_hz, front_end.centres_hz
    assert edges[0] == 0.0
    assert edges[-1] == pytest.approx(8000.0)
    assert len(edges) == len(centres) + 1 == front_end.bands + 1
    assert (np.diff(edges) > 0).all()
    assert (edges[:-1] <= centres).all()
    assert (centres <= edges[1:] + 1e-9).all()
    assert_allclose(front_end.frequency(front_end.place(centres)), centres, atol=1e-6)


def test_the_middle_of_a_mel_band_is_where_its_filter_is_highest():
    filters = MEL._filters.weights
    peaks = filters.argmax(axis=0) * RATE / 1024
    wide = filters.astype(bool).sum(axis=0) > 3  # narrower ones lie between two bins
    assert wide.sum() > 60
    assert np.abs(MEL.centres_hz - peaks)[wide].max() <= RATE / 1024


def test_the_mean_over_a_window_is_the_feature_that_the_model_reads():
    samples = noise(2.0)
    read = compute(MEL.spec, samples[None], RATE)[0]
    seeing = MEL._filters.weights.any(axis=0)
    frames = MEL.frames(samples)
    assert_allclose(frames.mean(axis=0)[seeing], read[:128][seeing], rtol=1e-6)
    assert_allclose(frames.std(axis=0)[seeing], read[128:][seeing], rtol=1e-5)


def test_a_spectrum_in_decibels_is_the_feature_that_the_model_reads():
    samples = noise(1.0)
    read = compute(STFT.spec, samples[None], RATE)[0, :, :, 0]
    assert_allclose(STFT.frames(samples), 20 * np.log10(read), atol=1e-3)


def test_a_filter_between_two_bins_shows_what_its_neighbour_does():
    fine = FrontEnd(LogMelStatistics(n_fft=256, hop_length=128), RATE)
    assert not fine._filters.weights.any(axis=0).all()
    assert fine.frames(noise(1.0)).min() > -60.0  # not the floor of -100 dB


def test_digital_silence_is_finite():
    for front_end in (MEL, STFT):
        assert np.isfinite(front_end.frames(np.zeros(4096, np.float32))).all()


@BOTH
def test_frames_lie_where_their_sound_is(front_end):
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE : RATE + 200] = 0.5
    spectrogram = front_end.spectrogram(mono(samples))
    loudest = spectrogram.times_s[int(spectrogram.db.mean(axis=1).argmax())]
    assert loudest == pytest.approx(1.006, abs=512 / RATE)
    assert spectrogram.duration_s == pytest.approx(2.0, abs=512 / RATE)
    assert spectrogram.seen_from(1.5).times_s[0] == pytest.approx(spectrogram.first_s - 1.5)


@BOTH
def test_too_little_for_a_frame_is_no_frame(front_end):
    assert front_end.frames(noise(0.01)).shape == (0, front_end.bands)
    assert front_end.spectrogram(mono(noise(0.01))).db.shape == (0, front_end.bands)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=2, max_size=8))
def test_frames_of_an_interrupted_sound_are_those_of_the_whole_or_blank(lengths):
    edges = np.concatenate([[0], np.cumsum(lengths)])
    samples = noise(edges[-1] / RATE)
    gaps = tuple(zip(edges[1:-1:2], edges[2::2], strict=False))[: (len(edges) - 2) // 2]
    found = heard(samples, RATE, gaps, target_rate=RATE, gain_db=0.0)
    shown, whole = MEL.spectrogram(found).db, MEL.spectrogram(mono(samples)).db
    for index, frame in enumerate(shown):
        begin = index * 512
        touched = any(begin < high and low < begin + 1024 for low, high in gaps)
        if touched:
            assert np.isnan(frame).all()
        else:
            assert_allclose(frame, whole[index], atol=1e-3)


def test_a_clip_is_resampled_as_the_pipeline_does_it_with_the_monitors_gain():
    samples = noise(1.0, rate=48_000)
    resampler = Resampler(48_000, RATE)
    blocks = resampler.push(Block(samples[:, None], 0, 0.0)) + resampler.flush()
    wanted = np.concatenate([block.samples[:, 0] for block in blocks])
    found = heard(samples, 48_000, (), target_rate=RATE, gain_db=6.0)
    assert_allclose(found.samples, wanted * 10 ** (6 / 20), rtol=1e-6)
    assert found.runs == ((0, RATE),)


def test_stretches_keep_their_place_when_the_rate_changes():
    samples = np.ones(96_000, np.float32)
    found = heard(samples, 48_000, ((24_000, 48_000),), target_rate=RATE, gain_db=0.0)
    assert found.runs == ((0, 8000), (16_000, 32_000))
    assert_array_equal(found.samples[8000:16_000], 0.0)
    assert_allclose(found.samples[4000:4100], 1.0, atol=1e-3)


def test_what_is_no_number_is_silent_and_spoils_nothing_else():
    samples = noise(1.0)
    odd = samples.copy()
    odd[100], odd[200], odd[300] = np.nan, np.inf, -np.inf
    found = heard(odd, RATE, (), target_rate=RATE, gain_db=0.0).samples
    assert_array_equal(found[[100, 200, 300]], 0.0)
    assert_array_equal(np.delete(found, [100, 200, 300]), np.delete(samples, [100, 200, 300]))


def test_numbers_beyond_all_reason_stay_finite():
    odd = np.full(4096, 3e38, np.float32)
    found = heard(odd, RATE, (), target_rate=RATE, gain_db=60.0)
    assert np.isfinite(MEL.spectrogram(found).db).all()


def test_nothing_is_nothing():
    assert heard(np.empty(0, np.float32), RATE, (), target_rate=RATE, gain_db=0.0).runs == ()


def manifest(**changes):
    return Manifest.model_validate(tiny_fields(**changes) | {"schema": 1, "files": {}})


def test_people_are_shown_mel_bands_where_the_model_reads_them_else_spectra():
    assert front_end_of(manifest()).spec == LogMelStatistics()
    without = manifest(scorers=[{"kind": "level", "id": "level"}])
    assert front_end_of(without).spec == StftMagnitude()
    assert front_end_of(without).own


def test_a_model_that_reads_no_frames_is_shown_by_usual_ones_and_that_is_known():
    fields = tiny_fields(scorers=[{"kind": "level", "id": "level"}])
    fields["networks"][0]["inputs"] = {"spectrum": {"kind": "magnitude_spectrum"}}
    shown = front_end_of(Manifest.model_validate(fields | {"schema": 1, "files": {}}))
    assert isinstance(shown.spec, LogMelStatistics)
    assert not shown.own
