"""Thresholds keep the false-alarm rate that was asked for, and say what they rest on."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.errors import ScorerError
from edge_asd.score import calibrate, clip_means, clip_threshold, decision_statistic
from edge_asd.score.calibrate import (
    ALARM_RARITY,
    MARGIN_DEVIATIONS,
    MAX_BLOCKS,
    WEEK_S,
    Persistence,
    QuietBlocks,
    block_maxima,
    merge_blocks,
    percentile,
)

BLOCK_S = 30.0
FINITE = st.floats(-100, 100, width=32)


def floats(values):
    return np.asarray(values, dtype=np.float32)


def per_week(per_block, block_s=BLOCK_S):
    return per_block * WEEK_S / block_s


# The statistic


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, max_size=40), st.integers(1, 8), st.integers(0, 8))
def test_the_statistic_is_the_kth_largest_of_the_last_n(scores, k, more):
    n = k + more
    expected = [
        sorted(scores[max(0, end - n) : end], reverse=True)[k - 1]
        for end in range(k, len(scores) + 1)
    ]
    assert_array_equal(decision_statistic(floats(scores), Persistence(k, n)), floats(expected))


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, max_size=40), st.integers(1, 8), st.integers(0, 8), FINITE)
def test_the_statistic_reaches_a_threshold_when_k_of_n_scores_do(scores, k, more, threshold):
    n = k + more
    reached = decision_statistic(floats(scores), Persistence(k, n)) >= threshold
    counted = [
        sum(score >= threshold for score in scores[max(0, end - n) : end]) >= k
        for end in range(k, len(scores) + 1)
    ]
    assert list(reached) == counted


@settings(max_examples=100, deadline=None)
@given(st.floats(0.1, 60), st.floats(0, 60), st.floats(0.05, 5))
def test_persistence_lasts_at_least_as_long_as_asked(above_s, more_s, hop_s):
    persistence = Persistence.from_seconds(above_s, above_s + more_s, hop_s)
    assert persistence.k * hop_s >= above_s - 1e-4
    assert (persistence.k - 1) * hop_s < above_s
    assert persistence.n >= persistence.k
    assert abs(persistence.n * hop_s - (above_s + more_s)) <= hop_s


def test_the_default_rule_asks_for_more_windows_than_a_bang_can_fill():
    # 0.2 s lie in at most 11 windows of 10 s whose starts are 0.992 s apart
    assert Persistence.from_seconds(14.0, 20.0, 0.992) == Persistence(15, 20)
    assert math.floor((10.0 + 0.2) / 0.992) + 1 == 11


# Blocks


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(FINITE, max_size=40), max_size=4), st.integers(1, 7), st.integers(0, 5))
def test_blocks_hold_the_largest_statistics_and_leave_no_rest_out(runs, hops, shared):
    persistence = Persistence(2, 3)
    runs = [floats(run) for run in runs]
    expected = []
    for index, run in enumerate(runs):
        statistic = list(decision_statistic(run[shared if index else 0 :], persistence))
        whole = len(statistic) // hops
        starts = [block * hops for block in range(whole)]
        ends = [*starts[1:], len(statistic)]
        expected += [max(statistic[a:b]) for a, b in zip(starts, ends, strict=False)]
    assert_array_equal(block_maxima(runs, persistence, hops, shared), floats(expected))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 2**31))
def test_merged_blocks_keep_every_maximum_and_double_their_length(n, seed):
    blocks = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    merged, block_s = merge_blocks(blocks, BLOCK_S)
    doublings = round(math.log2(block_s / BLOCK_S))
    assert block_s == BLOCK_S * 2**doublings
    assert len(merged) <= MAX_BLOCKS
    assert len(merged) == n >> doublings
    assert n <= MAX_BLOCKS or len(merged) > MAX_BLOCKS // 2 - 1
    if n:
        assert merged.max() == blocks.max()
    assert set(merged) <= set(blocks)


def test_few_blocks_are_not_merged():
    blocks = floats(range(MAX_BLOCKS))
    merged, block_s = merge_blocks(blocks, BLOCK_S)
    assert_array_equal(merged, blocks)
    assert block_s == BLOCK_S


def test_quiet_blocks_are_handed_over_whole_and_once():
    quiet = QuietBlocks(hop_s=1.0)
    for value in range(12):
        quiet.add(float(value), 5.0)
    assert quiet.take(3) is None
    assert_array_equal(quiet.take(2), [4, 9])
    for value in range(12, 15):  # 10 and 11 were waiting
        quiet.add(float(value), 5.0)
    assert_array_equal(quiet.take(1), [14])
    assert quiet.take(1) is None


def test_an_interrupted_block_does_not_count_but_finished_ones_stay():
    quiet = QuietBlocks(hop_s=1.0)
    for value in range(8):
        quiet.add(float(value), 5.0)
    quiet.interrupt()
    for value in range(20, 25):
        quiet.add(float(value), 5.0)
    assert_array_equal(quiet.take(1), [4, 24])


def test_what_led_to_an_alert_is_forgotten():
    quiet = QuietBlocks(hop_s=1.0)
    for value in range(8):
        quiet.add(float(value), 5.0)
    quiet.forget()
    quiet.add(1.0, 5.0)
    assert quiet.take(1) is None


# Thresholds


def gumbel(n, seed=0, location=2.0, scale=0.5):
    return np.random.default_rng(seed).gumbel(location, scale, n).astype(np.float32)


def test_the_supported_rate_follows_the_rule_of_three():
    blocks = gumbel(200)
    found = calibrate(blocks, BLOCK_S, blocks, per_week(1e-3))
    assert found.supported_per_week == pytest.approx(3 * WEEK_S / (200 * BLOCK_S))


def test_the_rule_of_three_is_a_95_percent_bound():
    # an event of the supported rate is missed in so many blocks with a probability of 5 %
    n = 500
    found = calibrate(gumbel(n), BLOCK_S, gumbel(9), 1.0)
    per_block = found.supported_per_week * BLOCK_S / WEEK_S
    assert (1 - per_block) ** n == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize("factor", [0.5, 0.999, 1.001, 2.0])
def test_a_rate_rarer_than_the_supported_one_is_provisional(factor):
    asked = factor * 3 * WEEK_S / (100 * BLOCK_S)
    assert calibrate(gumbel(100), BLOCK_S, gumbel(9), asked).provisional is (factor < 1.0)


@pytest.mark.parametrize("blocks", [50, 200])
@pytest.mark.parametrize("per_block", [0.05, 0.01])
def test_the_rate_asked_for_is_the_rate_that_is_had(blocks, per_block):
    exceedance = []
    for seed in range(300):
        found = calibrate(gumbel(blocks, seed), BLOCK_S, gumbel(9), per_week(per_block))
        exceedance.append(1 - math.exp(-math.exp(-(found.threshold - 2.0) / 0.5)))
    # never below the largest maximum heard: short listening errs on the quiet side
    largest = 1 / (blocks + 1)
    assert np.mean(exceedance) < 2 * per_block
    assert np.mean(exceedance) > min(per_block, largest) / 2


def test_an_unlimited_rate_is_bounded_by_what_was_heard():
    blocks = gumbel(100)
    assert calibrate(blocks, BLOCK_S, blocks, 1e9).threshold == pytest.approx(blocks.max())


def test_rarer_alarms_mean_higher_thresholds():
    blocks = gumbel(100)
    found = [
        calibrate(blocks, BLOCK_S, blocks, per_week(rate)).threshold for rate in (1e-2, 1e-3, 1e-4)
    ]
    assert found[0] < found[1] < found[2]


def test_an_alarm_is_a_hundred_times_rarer_than_a_warning():
    asked = per_week(1e-4)  # rarer than what was heard: nothing but the fit decides
    found = calibrate(gumbel(100), BLOCK_S, gumbel(9), asked)
    rarer = calibrate(gumbel(100), BLOCK_S, gumbel(9), asked / ALARM_RARITY)
    assert found.alarm_threshold == pytest.approx(rarer.threshold, rel=0.01)


def test_thresholds_are_in_order_and_an_alert_ends_below_them():
    found = calibrate(gumbel(60), BLOCK_S, gumbel(9), 1.0)
    assert found.usual < found.clear_below < found.threshold < found.alarm_threshold
    assert found.usual == pytest.approx(float(np.median(gumbel(60))))


@pytest.mark.parametrize("n", range(5))
def test_too_few_blocks_use_the_largest_score_and_a_margin(n):
    held_out = np.random.default_rng(0).normal(size=80).astype(np.float32)
    found = calibrate(gumbel(n), BLOCK_S, held_out, 1.0)
    margin = MARGIN_DEVIATIONS * float(held_out.std())
    assert found.method == "largest_plus_margin"
    assert found.provisional
    assert found.threshold == pytest.approx(float(held_out.max()) + margin)
    assert found.alarm_threshold > found.threshold > found.clear_below > found.usual
    assert found.usual == pytest.approx(float(np.median(held_out)))


def test_five_blocks_are_enough():
    assert calibrate(gumbel(5), BLOCK_S, gumbel(9), 1.0).method == "block_maxima"


def test_blocks_that_are_all_alike_still_give_usable_thresholds():
    found = calibrate(np.full(20, 1.5, np.float32), BLOCK_S, gumbel(9), 1.0)
    assert 1.5 <= found.threshold < found.alarm_threshold < 1.6


def test_no_scores_at_all_are_refused():
    with pytest.raises(ScorerError, match="enrol with more audio"):
        calibrate(gumbel(9), BLOCK_S, floats([]), 1.0)


def overlapping_noise(n, rng, windows=10):
    """Scores of overlapping windows of white noise: neighbours share most of what they hear."""
    white = rng.normal(size=n + windows - 1)
    return np.convolve(white, np.full(windows, windows**-0.5), "valid").astype(np.float32)


def exceedances(statistic, threshold, apart):
    """How often the threshold is reached, once for all that belongs together."""
    at = np.flatnonzero(statistic >= threshold)
    return int(np.sum(np.diff(at, prepend=-apart) >= apart)) if len(at) else 0


def test_false_alarms_on_overlapping_windows_are_as_rare_as_asked():
    persistence, hops, shared = Persistence(15, 20), 30, 10
    live_hops, asked_per_block, alarms = 200_000, 0.02, []
    hop_s = BLOCK_S / hops
    live = decision_statistic(overlapping_noise(live_hops, np.random.default_rng(99)), persistence)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        blocks = block_maxima([overlapping_noise(1500, rng)], persistence, hops, shared)
        found = calibrate(blocks, BLOCK_S, floats([0.0]), per_week(asked_per_block))
        alarms.append(exceedances(live, found.threshold, apart=hops))
    wanted = asked_per_block * live_hops * hop_s / BLOCK_S
    # the tail of this statistic is lighter than the fitted one: the error is on the quiet side
    assert wanted / 6 < np.mean(alarms) < 2 * wanted


# Clips


@pytest.mark.parametrize("windows", [1, 10])
@pytest.mark.parametrize("minutes", [5, 60])
def test_one_normal_clip_in_a_hundred_is_called_anomalous(windows, minutes):
    rng, shared, hits, clips = np.random.default_rng(7), 10, 0, 0
    for _ in range(150):
        held_out = overlapping_noise(minutes * 60, rng)
        threshold = clip_threshold([held_out], windows, shared)
        fresh = overlapping_noise(40 * (windows + shared), rng)
        means = clip_means([fresh], windows)[:: windows + shared]
        hits += int((means >= threshold).sum())
        clips += len(means)
    assert 0.003 < hits / clips < 0.03


def test_little_listening_gives_a_higher_threshold():
    rng = np.random.default_rng(0)
    held_out = rng.normal(size=600).astype(np.float32)
    assert clip_threshold([held_out[:20]], 1, 10) > clip_threshold([held_out], 1, 10)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(FINITE, min_size=1, max_size=20), min_size=1, max_size=4), st.integers(1, 9)
)
def test_clip_means_are_those_of_every_uninterrupted_stretch(runs, windows):
    runs = [floats(run) for run in runs]
    length = min(windows, max(len(run) for run in runs))
    expected = [
        float(run[at : at + length].astype("f8").mean())
        for run in runs
        for at in range(len(run) - length + 1)
    ]
    np.testing.assert_allclose(clip_means(runs, windows), expected, atol=1e-4)


def test_a_percentile_is_the_share_below():
    assert percentile(floats([1, 2, 3, 4]), 3.0) == 50.0
    assert percentile(floats([1, 2, 3, 4]), 0.0) == 0.0
    assert percentile(floats([1, 2, 3, 4]), 9.0) == 100.0


def test_a_calibration_is_a_plain_record():
    found = calibrate(gumbel(60), BLOCK_S, gumbel(9), 1.0)
    assert replace(found) == found
