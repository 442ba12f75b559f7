"""Normal sound is what the machine made while it ran, whatever became of the rest."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.alerts import keep_reservoir, noise, normal_of
from support.sound import machine

from edge_asd.audio import level_dbfs
from edge_asd.errors import DataError
from edge_asd.evidence import normal as module
from edge_asd.evidence.normal import LEAST_SPREAD_DB, learn_normal, measure
from edge_asd.evidence.view import front_end_of

RATE = 16_000


@pytest.fixture
def learn(tmp_path, tiny_networks, pump_profile):
    """Learn normal sound of samples (n,) with the tiny bundle and the pump's profile."""
    manifest = tiny_networks.bundle.manifest

    def run(samples=None, profile=pump_profile):
        if samples is not None:
            keep_reservoir(tmp_path / "r", samples)
        return learn_normal(tmp_path / "r", front_end_of(manifest), manifest, profile)

    return run


def test_the_usual_levels_are_those_of_the_enrolled_windows(learn, tiny_networks, pump_profile):
    sound = machine("pump", 90.0)
    normal = learn(sound)
    assert normal.windows == 58 + 29  # a piece of the reservoir lasts a minute
    front_end = front_end_of(tiny_networks.bundle.manifest)
    whole = front_end.frames(sound * np.float32(10 ** (pump_profile.gain_db / 20)))
    assert_allclose(normal.usual.mean_db, whole.mean(axis=0), atol=0.3)
    assert normal.level_dbfs == pytest.approx(level_dbfs(sound), abs=0.2)
    assert (normal.spread.mean_db >= LEAST_SPREAD_DB).all()
    assert normal.spread.mean_db.max() < 5.0


def test_the_example_is_a_window_of_the_reservoir_and_no_odd_one(learn):
    sound = machine("pump", 90.0).copy()
    sound[10 * RATE : 20 * RATE] += noise(10.0, factor=0.05)
    normal = learn(sound)
    assert normal.example.db.shape == (31, 128)
    distance = np.abs(normal.example.db.mean(axis=0) - normal.usual.mean_db).mean()
    assert distance < normal.spread.mean_db.mean()


def test_the_machine_is_not_compared_with_itself_switched_off(learn):
    sound = machine("pump", 90.0).copy()
    sound[30 * RATE : 60 * RATE] *= np.float32(1e-3)
    normal = learn(sound)
    assert 50 <= normal.windows <= 58
    assert normal.level_dbfs == pytest.approx(learn(machine("pump", 90.0)).level_dbfs, abs=0.3)


def test_digital_silence_is_not_normal_either(learn):
    sound = machine("pump", 60.0).copy()
    sound[20 * RATE : 40 * RATE] = 0.0
    assert 35 <= learn(sound).windows <= 39


def test_a_reservoir_in_which_the_machine_is_off_is_nothing_to_compare_with(learn):
    with pytest.raises(DataError, match="does not run for a whole window"):
        learn(machine("pump", 60.0) * np.float32(1e-3))


def test_an_old_profile_without_a_reservoir_is_nothing_to_compare_with(learn):
    with pytest.raises(DataError, match="holds no recorded audio"):
        learn()


def test_one_damaged_minute_leaves_the_others(learn, tmp_path):
    assert learn(machine("pump", 90.0)).windows == 87
    first, second = sorted((tmp_path / "r").iterdir())
    first.write_bytes(b"junk")
    assert learn().windows == 29
    second.write_bytes(b"junk")
    with pytest.raises(DataError, match=r"damaged .*enrol again"):
        learn()


def test_a_long_reservoir_is_looked_at_evenly_and_not_as_a_whole(learn, tmp_path, monkeypatch):
    keep_reservoir(tmp_path / "r", np.tile(machine("pump", 60.0), 25))
    pieces = sorted((tmp_path / "r").iterdir())
    read, really = [], module._read
    monkeypatch.setattr(
        module, "_read", lambda path, *rest: read.append(path) or really(path, *rest)
    )
    learn()
    looked_at = [pieces.index(path) for path in read[:-1]]  # the last is the example once more
    assert looked_at == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]


def test_a_single_window_has_no_spread_of_its_own(learn):
    normal = learn(machine("pump", 1.3))
    assert normal.windows == 1
    assert_allclose(normal.spread.mean_db, LEAST_SPREAD_DB)
    assert np.isfinite(normal.usual.mean_db).all()


def test_the_level_is_the_one_before_the_monitors_gain(learn, pump_profile):
    sound = machine("pump", 60.0)
    louder = replace(pump_profile, gain_db=pump_profile.gain_db + 10.0)
    assert learn(sound, louder).level_dbfs == pytest.approx(learn(sound).level_dbfs, abs=0.01)
    assert_allclose(
        learn(sound, louder).usual.mean_db, learn(sound).usual.mean_db + 10.0, atol=0.01
    )


def test_what_is_blank_is_not_measured(tiny_networks):
    front_end = front_end_of(tiny_networks.bundle.manifest)
    db = front_end.frames(noise(1.0))
    blank = np.concatenate([db, np.full((7, 128), np.nan, np.float32)])
    assert_allclose(measure(blank).mean_db, measure(db).mean_db)
    assert np.isnan(measure(blank[len(db) :]).mean_db).all()
    assert normal_of(front_end, [noise(1.0)]).windows == 1
