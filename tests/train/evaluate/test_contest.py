"""A method learns, scores and decides section by section."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.stats

from edge_asd.errors import DataError
from edge_asd_train.evaluate.contest import decision_threshold, run_method, score_sections, unscored


@dataclass(frozen=True)
class Lengths:
    """Scores a clip by the length of its name: a method without audio."""

    name: str = "lengths"
    broken: bool = False

    def fit(self, train):
        assert {clip.anomalous for clip in train} == {False}
        return replace(self)

    @property
    def train_scores(self):
        return np.arange(10.0)

    def score(self, clips):
        scores = np.array([float(len(clip.path.name)) for clip in clips])
        return scores * np.nan if self.broken else scores


def test_every_section_is_scored_with_the_truth_of_its_names(index):
    first, second = run_method(Lengths(), index)
    assert (first.machine, second.machine) == ("fan", "pump")
    for section in (first, second):
        assert len(section.names) == 8
        told = [("anomaly" in n, "_target_" in n) for n in section.names]
        assert list(zip(section.anomalous, section.domains == 1, strict=True)) == told
        assert section.scores.tolist() == [float(len(n)) for n in section.names]


def test_a_clip_above_the_threshold_is_called_anomalous(index):
    (scored, _) = score_sections(Lengths(), index)
    assert scored.decisions.tolist() == (scored.scores > scored.threshold).tolist()
    assert replace(scored, threshold=float(scored.scores.max())).decisions.sum() == 0


def test_names_that_repeat_in_two_folders_are_told_apart_by_them(index):
    scored = unscored(index)[0]
    one = scored.clips[0]
    other = replace(one, path=one.path.parents[1] / "more" / one.path.name)
    twice = replace(scored, clips=(one, other), scores=np.zeros(2))
    assert twice.names == (f"test/{one.path.name}", f"more/{one.path.name}")


@pytest.mark.parametrize(
    ("kept", "named"),
    [
        (lambda one: one.split == "train", "no test clips"),
        (lambda one: one.split == "test" or one.machine == "fan", "pump section 00 has test clips"),
    ],
)
def test_a_data_set_without_tests_or_normals_is_refused(index, kept, named):
    lacking = replace(index, files=tuple(filter(kept, index.files)))
    with pytest.raises(DataError, match=named):
        score_sections(Lengths(), lacking)


def test_scores_that_are_no_numbers_are_refused(index):
    with pytest.raises(DataError, match="not finite"):
        score_sections(Lengths(broken=True), index)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_ninetieth_percentile_of_a_gamma_distribution(seed):
    rng = np.random.default_rng(seed)
    true = scipy.stats.gamma(3.0, loc=-1.0, scale=0.5)
    threshold = decision_threshold(true.rvs(size=2000, random_state=rng))
    assert true.cdf(threshold) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    "scores",
    [[3.0], [1.0, 2.0], [2.0] * 50, [0.0] * 60 + [1e9], [1.0] * 60 + [1.0 + 1e-12]],
)
def test_scores_that_no_gamma_distribution_fits_still_give_a_threshold(scores):
    threshold = decision_threshold(scores)
    assert min(scores) <= threshold <= 2 * max(scores)


def test_the_threshold_of_few_scores_does_not_hang_on_their_last_digits():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.gamma(3.0, size=6)
        near = decision_threshold(scores * (1.0 + 1e-5 * rng.normal(size=6)))
        assert near == pytest.approx(decision_threshold(scores), rel=1e-4)


def test_the_threshold_moves_with_the_scores():
    scores = np.random.default_rng(0).gamma(2.0, size=300)
    shifted = decision_threshold(10.0 * scores - 40.0)
    assert shifted == pytest.approx(10.0 * decision_threshold(scores) - 40.0, abs=0.5)
