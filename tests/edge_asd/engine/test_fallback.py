"""No window is lost when an engine fails, and nothing goes on with one that did."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.engine.fallback import Fallback, Trust
from edge_asd.engine.strikes import Inside, Strikes
from edge_asd.errors import EngineError

WINDOW = {"x": np.ones((1, 2), np.float32)}


class Numbered:
    """An engine that answers with its number, and fails when it is told to."""

    precision = "fp32"

    def __init__(self, number, batch=1):
        self.name, self.number, self.batch = f"engine-{number}", number, batch
        self.fails, self.closed, self.asked = False, False, 0

    def embed(self, inputs):
        self.asked += 1
        if self.fails:
            raise EngineError(f"{self.name} is broken")
        return inputs["x"][:, None] * np.float32(self.number)

    def close(self):
        self.closed = True


@pytest.fixture
def inside(tmp_path):
    return Inside(tmp_path / "a.inside", Strikes(tmp_path / "a.strikes", "it"))


def guarded(inside, trust, number):
    """An engine with a spare behind it, and the list of spares that were opened."""
    first, spares = Numbered(number, batch=8), []

    def spare():
        spares.append(Numbered(-number))
        return spares[-1]

    return Fallback(first, spare, trust, inside), first, spares


def test_what_serves_is_what_is_told(inside):
    engine, first, spares = guarded(inside, Trust(), 1)
    assert engine.embed(WINDOW).max() == 1
    assert (engine.name, engine.batch, engine.failure, spares) == ("engine-1", 8, "", [])
    first.fails = True
    assert engine.embed(WINDOW).max() == -1
    assert (engine.name, engine.batch, engine.failure) == ("engine--1", 1, "engine-1 is broken")


def test_an_engine_that_failed_once_is_not_asked_again_although_it_would_answer(inside):
    engine, first, spares = guarded(inside, Trust(), 1)
    first.fails = True
    engine.embed(WINDOW)
    first.fails = False
    for _ in range(3):
        assert engine.embed(WINDOW).max() == -1
    assert first.asked == 1
    assert len(spares) == 1


def test_an_error_that_nobody_thought_of_costs_no_window_either(inside, caplog):
    engine, first, _ = guarded(inside, Trust(), 1)
    first.embed = None
    assert engine.embed(WINDOW).max() == -1
    assert engine.failure.startswith("unexpected TypeError: ")
    assert "engine failed backend=engine-1 reason=unexpected TypeError" in caplog.text


def test_all_networks_of_a_process_leave_a_gpu_that_failed_one_of_them(inside):
    trust = Trust()
    one, broken, _ = guarded(inside, trust, 1)
    other, untouched, _ = guarded(inside, trust, 2)
    assert other.embed(WINDOW).max() == 2
    broken.fails = True
    one.embed(WINDOW)
    assert other.embed(WINDOW).max() == -2
    assert untouched.asked == 1


def test_a_spare_that_cannot_be_opened_is_an_error_and_is_tried_again(inside):
    trust, tries = Trust(), []

    def spare():
        tries.append(1)
        raise EngineError("no memory")

    first = Numbered(1)
    first.fails = True
    engine = Fallback(first, spare, trust, inside)
    for count in (1, 2):
        with pytest.raises(EngineError, match="no memory"):
            engine.embed(WINDOW)
        assert len(tries) == count


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_closed_at_the_end(inside, fails):
    engine, first, spares = guarded(inside, Trust(), 1)
    first.fails = fails
    engine.embed(WINDOW)
    engine.close()
    assert first.closed
    assert [spare.closed for spare in spares] == [True] * fails
