"""Simulated machines to train on: drawn by seed, kinds in turn, normal and faulty."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.errors import UsageError
from edge_asd.simulate import KINDS, faults_of
from edge_asd_train.datasets import simulated_machines
from edge_asd_train.datasets.simulated import (
    CLIPS,
    FAULTY_CLIPS,
    NORMAL_CLIPS,
    kinds_without,
    plan_units,
)
from edge_asd_train.datasets.simulated_plan import DIFFICULTIES


def plan(count, seed=1, **options):
    return plan_units(count, seed=seed, duration_s=0.5, sample_rate=16_000, **options)


def clips(unit, *, faulty=None, domain=None):
    return [
        clip
        for clip in unit.clips()
        if faulty in (None, clip.fault is not None) and domain in (None, clip.point.domain)
    ]


def test_kinds_come_in_turn_and_every_kind_at_every_difficulty():
    units = plan(30)
    assert [unit.world.scene.kind for unit in units] == [*KINDS] * 3
    met = {(unit.world.scene.kind, unit.options.difficulty) for unit in units}
    assert met == {(kind, difficulty) for kind in KINDS for difficulty in DIFFICULTIES}
    assert len({unit.name for unit in units}) == 30


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 12), st.integers(1, 3), st.integers(0, 2**31 - 1))
def test_a_unit_does_not_depend_on_how_many_there_are(number, more, seed):
    first, second = plan(number + 1, seed)[number], plan(number + 1 + more, seed)[number]
    assert first == second
    assert list(first.clips()) == list(second.clips())


def test_another_seed_or_number_is_another_machine():
    units = [*plan(20, seed=1), *plan(20, seed=2)]
    assert len({unit.world.scene.unit for unit in units}) == 40
    assert len({unit.options.seed for unit in units}) == 40


@settings(max_examples=10, deadline=None)
@given(st.sets(st.sampled_from(KINDS), max_size=len(KINDS) - 1))
def test_a_kind_that_is_left_out_never_appears(left_out):
    units = plan(15, left_out=tuple(left_out))
    assert {unit.world.scene.kind for unit in units} == set(KINDS) - left_out
    assert {clip.scene.kind for unit in units[:3] for clip in unit.clips()}.isdisjoint(left_out)


def test_an_unknown_kind_and_leaving_out_all_are_refused():
    with pytest.raises(UsageError, match="'tuba' is unknown; known: "):
        kinds_without(["fan", "tuba"])
    with pytest.raises(UsageError, match="keep at least one"):
        kinds_without(KINDS)


def test_a_unit_has_normal_clips_first_then_every_fault_of_its_kind():
    for unit in plan(10):
        planned = list(unit.clips())
        assert len(planned) == CLIPS
        faulty = [clip.fault is not None for clip in planned]
        assert faulty == sorted(faulty)
        for counts, wrong in ((NORMAL_CLIPS, False), (FAULTY_CLIPS, True)):
            assert Counter(c.point.domain for c in clips(unit, faulty=wrong)) == counts
        names = {clip.fault.name for clip in clips(unit, faulty=True)}
        assert names <= set(faults_of(unit.world.scene.kind))
        assert len(names) > 1


def test_normal_clips_are_of_several_operating_points_and_no_two_are_alike():
    for unit in plan(10):
        normal = clips(unit, faulty=False)
        assert len({clip.point for clip in normal if clip.point.domain == "source"}) >= 4
        assert len({clip.point for clip in normal if clip.point.domain == "target"}) == 2
        assert len({(clip.scene.speed, clip.scene.load, clip.seed) for clip in normal}) == 12


def test_nothing_but_the_fault_tells_a_faulty_clip():
    for unit in plan(10):
        for domain in ("source", "target"):
            normal, faulty = (clips(unit, faulty=wrong, domain=domain) for wrong in (False, True))
            for of in (
                lambda clip: clip.point,
                lambda clip: clip.scene.room,
                lambda clip: clip.scene.noise,
                lambda clip: (clip.scene.unit, clip.scene.microphone),
            ):
                assert {of(clip) for clip in faulty} <= {of(clip) for clip in normal}
        seeds = [clip.seed for clip in unit.clips()]
        assert len(set(seeds)) == CLIPS  # no faulty clip is a normal one with a fault put in


def test_the_same_seed_gives_the_same_samples_with_the_label_of_what_was_planned():
    pending, again = (simulated_machines(1, seed=3, duration_s=0.3) for _ in range(2))
    (unit,) = plan_units(1, seed=3, duration_s=0.3, sample_rate=16_000)
    made = list(pending.clips())
    assert (pending.count, pending.samples) == (len(made), sum(len(c.samples) for c in made))
    for one, other, planned in zip(made, again.clips(), unit.clips(), strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.label == other.label
        assert one.samples.dtype == np.int16
        assert one.machine == unit.name == f"simulated/{KINDS[0]}-0000"
        assert one.faulty == (planned.fault is not None)
        told = planned.fault.name if one.faulty else f"spd_{planned.point.speed_percent}_load_"
        assert one.label.startswith(f"{unit.name}/{told}")
    assert len({one.samples.tobytes() for one in made}) == CLIPS
    assert {one.label for one in made if one.faulty}.isdisjoint(
        one.label for one in made if not one.faulty
    )


@pytest.mark.slow
def test_simulated_clips_do_not_depend_on_the_number_of_processes():
    alone, together = (
        list(simulated_machines(2, seed=3, duration_s=0.2, processes=n).clips()) for n in (1, 2)
    )
    for one, other in zip(alone, together, strict=True):
        assert (one.label, one.machine, one.faulty) == (other.label, other.machine, other.faulty)
        np.testing.assert_array_equal(one.samples, other.samples)
