"""From samples to alerts: what comes out depends on the samples, not on how they arrive."""

import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sound import RATE, blocks_of, enrolled, machine, seconds_of
from support.tiny import HOP, WINDOW

from edge_asd.audio import level_dbfs
from edge_asd.decide import Decider, Rules, Thresholds
from edge_asd.embed import WindowEmbedder
from edge_asd.hearing.signal_health import SignalWatch
from edge_asd.operating import Operating
from edge_asd.pipeline import Heard, Judged, Pipeline
from edge_asd.records import EventType, State
from edge_asd.scoring import score_file

HOP_S = HOP / RATE


def pipeline(networks, profile, settle_s=2.0):
    numbers = itertools.count(1)
    rules = Rules(profile.persistence, HOP_S, clear_s=3.0, cooldown_s=2.0, update_s=60.0)
    calibration = profile.calibration
    thresholds = Thresholds(
        calibration.threshold, calibration.alarm_threshold, calibration.clear_below
    )
    decider = Decider(rules, thresholds, profile.percentile, lambda _: f"id-{next(numbers)}")
    watch = SignalWatch(profile.signal, RATE)
    return Pipeline(WindowEmbedder(networks), profile, decider, watch, settle_s)


def outcomes(networks, profile, blocks, **options):
    path = pipeline(networks, profile, **options)
    return [outcome for block in blocks for outcome in path.push(block)]


def summary(outcome):
    """Everything of an outcome that can be compared exactly."""
    decision = outcome.decision
    changes = (
        decision.transition and (decision.transition.state, round(decision.transition.at_s, 6)),
        decision.event and (decision.event.type, decision.event.id),
    )
    if isinstance(outcome, Heard):
        return ("heard", outcome.operating, outcome.slot.level_dbfs, changes)
    scored = outcome.scored
    return ("judged", scored and (scored.start, scored.end, scored.nearest), changes)


def scores(found):
    return np.asarray([o.scored.score for o in found if isinstance(o, Judged) and o.scored])


def events(found):
    return [o.decision.event for o in found if o.decision.event]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(1, 6 * RATE), max_size=20))
def test_block_size_does_not_matter(tiny_networks, pump_profile, cuts):
    samples = machine("pump", 60.0, seed=2)[: 6 * RATE]
    whole = outcomes(tiny_networks, pump_profile, blocks_of(samples))
    cut = outcomes(tiny_networks, pump_profile, blocks_of(samples, sorted(set(cuts))))
    assert [summary(o) for o in cut] == [summary(o) for o in whole]
    np.testing.assert_allclose(scores(cut), scores(whole), atol=1e-5)


def test_scores_equal_those_of_the_same_sound_as_a_file(tmp_path, tiny_networks, pump_profile):
    samples = machine("pump", 60.0, seed=2)[: WINDOW + 40 * HOP]
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    file = score_file(WindowEmbedder(tiny_networks), pump_profile, tmp_path / "a.wav")
    streamed = scores(outcomes(tiny_networks, pump_profile, seconds_of(samples)))
    assert len(streamed) == 41
    np.testing.assert_allclose(streamed, file.window_scores, atol=1e-5)


def test_every_hop_is_heard_and_every_window_is_judged_in_order_of_time(
    tiny_networks, pump_profile
):
    samples = machine("pump", 60.0, seed=2)[: 8 * RATE]
    found = outcomes(tiny_networks, pump_profile, blocks_of(samples))
    assert sum(isinstance(o, Heard) for o in found) == len(samples) // HOP
    judged = [o for o in found if isinstance(o, Judged)]
    assert len(judged) == 1 + (len(samples) - WINDOW) // HOP
    assert [o.scored.start for o in judged] == [n * HOP for n in range(len(judged))]
    # a window is judged right after the slot that ends with it, never before
    kinds = ["judged" if isinstance(o, Judged) else "heard" for o in found]
    assert kinds == ["heard"] * 4 + ["judged"] + ["heard", "judged"] * (len(judged) - 1)


def test_the_level_reported_is_that_of_the_microphone(tiny_networks, pump_profile):
    samples = machine("pump", 60.0, seed=2)[:WINDOW]
    found = outcomes(tiny_networks, pump_profile, blocks_of(samples))
    assert found[-1].scored.level_dbfs == pytest.approx(level_dbfs(samples), abs=1e-3)


def test_normal_sound_raises_nothing(tiny_networks, pump_profile):
    found = outcomes(tiny_networks, pump_profile, seconds_of(machine("pump", 60.0, seed=2)))
    assert events(found) == []
    assert [o.decision.transition.state for o in found if o.decision.transition] == [State.NORMAL]


def test_a_fault_raises_and_its_repair_ends_the_alert(tiny_networks, pump_profile):
    heard = machine("pump", 60.0, seed=2, fault="bearing_outer", span=(20.0, 40.0))
    path = pipeline(tiny_networks, pump_profile)
    found = [o for block in seconds_of(heard) for o in path.push(block)]
    new, *_, end = events(found)
    assert new.type is EventType.NEW
    assert end.type is EventType.END
    assert new.id == end.id
    wall = new.started_at - blocks_of(heard)[0].captured_at
    assert 18.0 < wall < 26.0
    ended = end.ended_at - blocks_of(heard)[0].captured_at
    assert 40.0 < ended < 50.0
    assert path.decider.state is State.NORMAL


def test_a_machine_that_is_switched_off_is_idle_and_raises_nothing(tiny_networks):
    profile = enrolled(tiny_networks, machine("pump", 150.0, off=((60.0, 100.0),)))
    heard = machine("pump", 80.0, seed=2, off=((30.0, 60.0),))
    path = pipeline(tiny_networks, profile)
    found = [o for block in seconds_of(heard) for o in path.push(block)]
    assert events(found) == []
    states = [o.decision.transition.state for o in found if o.decision.transition]
    assert states == [State.NORMAL, State.IDLE, State.NORMAL]
    # nothing of the time it was off or starting was scored
    for outcome in found:
        if isinstance(outcome, Judged) and outcome.scored:
            assert not 34.0 < outcome.scored.end / RATE < 61.0


def test_what_a_dead_microphone_gives_is_not_scored_and_does_not_stop_the_machine(
    tiny_networks, pump_profile
):
    heard = machine("pump", 60.0, seed=2)[: 20 * RATE].copy()
    heard[10 * RATE : 12 * RATE] = 0.0
    path = pipeline(tiny_networks, pump_profile)
    found = []
    for block in seconds_of(heard):
        path.signal.block(block.samples[:, 0], block.start / RATE)
        found += path.push(block)
    states = [o.decision.transition.state for o in found if o.decision.transition]
    assert states == [State.NORMAL]
    assert events(found) == []
    dead = [o for o in found if isinstance(o, Heard) and o.operating is Operating.DEAD]
    assert len(dead) in (8, 9)  # two seconds touch so many slots
    judged = [o for o in found if isinstance(o, Judged)]
    assert {o.result for o in judged} == {"scored", "flawed"}
    for outcome in judged:
        if outcome.scored:
            assert not (heard[outcome.scored.start : outcome.scored.end] == 0.0).sum() > RATE // 50


def test_a_gap_loses_the_windows_across_it_and_no_more(tiny_networks, pump_profile):
    samples = machine("pump", 60.0, seed=2)
    first, second = samples[: 5 * RATE], samples[6 * RATE : 11 * RATE]
    blocks = blocks_of(first) + blocks_of(second, start=6 * RATE)
    found = outcomes(tiny_networks, pump_profile, blocks)
    starts = [o.scored.start for o in found if isinstance(o, Judged)]
    per_part = 1 + (5 * RATE - WINDOW) // HOP
    assert starts == [n * HOP for n in range(per_part)] + [
        6 * RATE + n * HOP for n in range(per_part)
    ]
    assert events(found) == []


def test_the_pipeline_knows_where_the_stream_is(tiny_networks, pump_profile):
    path = pipeline(tiny_networks, pump_profile)
    for block in seconds_of(machine("pump", 60.0, seed=2)[: 3 * RATE], start=7 * RATE):
        path.push(block)
    assert path.now.at_s == pytest.approx(10.0)
    assert path.now.captured_at == pytest.approx(block.captured_at + 1.0)


@pytest.mark.parametrize("stretch", [2, 3, 4])
def test_a_stretched_hop_scores_every_so_many_th_window_and_leaves_nothing_unheard(
    tiny_networks, pump_profile, stretch
):
    path = pipeline(tiny_networks, pump_profile)
    path.stretch = stretch
    judged = [
        outcome
        for block in seconds_of(machine("pump", 20.0))
        for outcome in path.push(block)
        if isinstance(outcome, Judged) and outcome.result in {"scored", "skipped"}
    ]
    found = [outcome for outcome in judged if outcome.scored]
    assert len(found) == -(-len(judged) // stretch)
    starts = np.asarray([outcome.scored.start for outcome in found])
    assert set(np.diff(starts)) == {stretch * HOP}
    assert stretch * HOP <= WINDOW
    assert [outcome.hops for outcome in found] == [1, *[stretch] * (len(found) - 1)]


def test_a_stretched_hop_gives_the_scores_that_the_same_windows_always_had(
    tiny_networks, pump_profile
):
    every = {
        outcome.scored.start: outcome.scored.score
        for outcome in outcomes(tiny_networks, pump_profile, seconds_of(machine("pump", 20.0)))
        if isinstance(outcome, Judged) and outcome.scored
    }
    path = pipeline(tiny_networks, pump_profile)
    path.stretch = 3
    for block in seconds_of(machine("pump", 20.0)):
        for outcome in path.push(block):
            if isinstance(outcome, Judged) and outcome.scored:
                assert outcome.scored.score == pytest.approx(every[outcome.scored.start], abs=1e-5)


def test_after_lost_audio_the_first_window_is_scored_however_stretched(tiny_networks, pump_profile):
    samples = machine("pump", 20.0)
    path = pipeline(tiny_networks, pump_profile, settle_s=0.0)
    path.stretch = 4
    gap = 10 * RATE + 1234
    blocks = [*seconds_of(samples[: 10 * RATE]), *seconds_of(samples[10 * RATE :], start=gap)]
    starts = [
        outcome.scored.start
        for block in blocks
        for outcome in path.push(block)
        if isinstance(outcome, Judged) and outcome.scored
    ]
    assert gap in starts
