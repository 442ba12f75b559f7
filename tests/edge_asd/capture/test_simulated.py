"""Simulated machines are sources like any other."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge_asd.capture import open_source
from edge_asd.simulate import Fault, Scene, Schedule, SimulatedMachine


def joined(uri):
    return np.concatenate([block.samples for block in open_source(uri).blocks()])


def test_a_source_is_the_simulated_machine_with_its_schedule():
    text = "fault=bearing_outer&severity=0.8&onset=1&ramp=1&clear=3&off=2-2.5&snr=12&level=-24"
    got = joined(f"sim:bearing?unit=5&seed=9&{text}&seconds=3.5&speed=max")
    schedule = Schedule(
        Fault("bearing_outer", 0.8), onset_s=1.0, ramp_s=1.0, clear_s=3.0, off=((2.0, 2.5),)
    )
    scene = Scene("bearing", 5, snr_db=12.0, level_dbfs=-24.0)
    want = SimulatedMachine(scene, seed=9, schedule=schedule).read(56_000)
    assert got.shape == (56_000, 1)
    assert_array_equal(got[:, 0], want)


def test_speed_changes_neither_samples_nor_indices():
    fast, paced = (joined(f"sim:fan?seconds=1.25&speed={speed}") for speed in ("max", "3.3"))
    assert_array_equal(fast, paced)


def test_it_is_paced_by_the_clock_and_dated_by_stream_seconds():
    source = open_source("sim:fan?seconds=0.6&rate=8000&speed=2")
    assert source.sample_rate == 8000
    began = time.monotonic()
    blocks = list(source.blocks())
    assert time.monotonic() - began >= 0.29  # how much later is the machine's affair
    dates = np.array([block.captured_at for block in blocks])
    np.testing.assert_allclose(
        dates - dates[0], [block.start / 8000 for block in blocks], atol=1e-5
    )


def test_close_ends_an_endless_machine():
    source = open_source("sim:pump")
    blocks = source.blocks()
    next(blocks)
    source.close()
    assert list(blocks) == []


@pytest.mark.parametrize("kind", ["pump", "valve"])
def test_without_seconds_it_goes_on(kind):
    blocks = open_source(f"sim:{kind}?speed=max").blocks()
    assert [next(blocks).start for _ in range(3)] == [0, 16_000, 32_000]
