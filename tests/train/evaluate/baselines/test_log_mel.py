"""Log-mel nearest neighbour as the device's scorer defines it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from evaluate.baselines.clips import RATE, hum, normal_clips
from numpy.testing import assert_allclose

from edge_asd.errors import DataError
from edge_asd.features import LogMelStatistics, compute
from edge_asd.score import NeighbourScorer
from edge_asd_train.evaluate.baselines import LogMelMethod
from edge_asd_train.evaluate.baselines.log_mel import _held_out


def feature(clip):
    samples, _ = soundfile.read(clip.path, dtype="float32")
    return compute(LogMelStatistics(), samples[None], RATE)[0]


def test_scores_are_those_of_the_devices_scorer(tmp_path):
    train = normal_clips(tmp_path)
    test = [hum(tmp_path, "test", pitch_hz=430.0, seed=50)]
    references = np.stack([feature(clip) for clip in train])
    expected = NeighbourScorer(references).score(np.stack([feature(clip) for clip in test]))
    assert_allclose(LogMelMethod().fit(train).score(test), expected, rtol=1e-5)


def test_training_scores_are_measured_to_the_other_clips(tmp_path):
    train = normal_clips(tmp_path)
    x = np.stack([feature(clip) for clip in train]).astype(np.float64)
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert_allclose(LogMelMethod().fit(train).train_scores, distances.min(axis=1), rtol=1e-4)


def test_more_neighbours_are_averaged(tmp_path):
    train = normal_clips(tmp_path)
    x = np.stack([feature(clip) for clip in train]).astype(np.float64)
    distances = np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1), axis=1)
    fitted = LogMelMethod(neighbours=3).fit(train)
    assert_allclose(fitted.train_scores, distances[:, 1:4].mean(axis=1), rtol=1e-4)


def test_another_pitch_is_further_away_than_any_normal_clip(tmp_path):
    fitted = LogMelMethod().fit(normal_clips(tmp_path))
    odd = fitted.score([hum(tmp_path, "odd", pitch_hz=1500.0, seed=60)])
    assert odd[0] > fitted.train_scores.max()


def test_clips_of_target_alone_are_learned_like_any_other(tmp_path):
    target = normal_clips(tmp_path, source=0, target=4)
    fitted = LogMelMethod().fit(target)
    assert_allclose(fitted.score(target), 0.0, atol=1e-3)
    assert fitted.train_scores.min() > 0.1


@pytest.mark.parametrize(("source", "target", "parts"), [(20, 3, 23), (600, 10, 10)])
def test_every_clip_is_held_out_once(source, target, parts):
    held = _held_out(np.arange(source + target) >= source)
    assert len(held) == parts
    assert sorted(np.concatenate(held)) == list(range(source + target))


def test_one_clip_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least two"):
        LogMelMethod().fit(normal_clips(tmp_path, source=1, target=0))


def test_a_clip_shorter_than_a_frame_is_refused_by_name(tmp_path):
    train = [*normal_clips(tmp_path), hum(tmp_path, "short", seconds=0.05)]
    with pytest.raises(DataError, match=r"short\.wav: 800 samples"):
        LogMelMethod().fit(train)
