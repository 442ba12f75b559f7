"""Windows of several streams share batches, and nobody can hear it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.batching import Due, alone, together
from edge_asd.errors import EngineError


class Doubling:
    """Networks that note their batches."""

    def __init__(self, batch):
        self.batch, self.batches = batch, []

    def embed(self, features):
        """Twice what comes in."""
        self.batches.append(len(features["net/x"]))
        return {"net": 2.0 * features["net/x"][:, None]}


def stream(networks, numbers):
    """Asks for every number, and tells what came back."""
    found = []
    for number in numbers:
        x = np.full((1, 3), number, np.float32)
        embedded = yield Due(networks, {"net/x": x})
        z = embedded.embeddings["net"]
        assert z.shape == (1, 1, 3)
        assert embedded.spent_s >= 0.0
        found.append(float(z[0, 0, 0]))
    return found


MANY = st.lists(st.lists(st.integers(0, 1000), max_size=5), max_size=12)


@settings(deadline=None)
@given(MANY, st.integers(1, 8))
def test_every_stream_gets_its_own_embeddings_whatever_the_batch(many, batch):
    networks = Doubling(batch)
    found = together([stream(networks, numbers) for numbers in many])
    assert found == [[2.0 * number for number in numbers] for numbers in many]
    assert sum(networks.batches) == sum(map(len, many))
    assert max(networks.batches, default=0) <= batch


def test_windows_that_are_due_together_form_batches_as_large_as_the_engine_gains_by():
    networks = Doubling(4)
    together([stream(networks, [1, 2]) for _ in range(6)])
    assert networks.batches == [4, 4, 4]


def test_where_a_batch_gains_nothing_a_stream_is_through_before_the_next_begins():
    order = []

    def telling(networks, name):
        order.append(f"{name} begins")
        yield from stream(networks, [1, 2])
        order.append(f"{name} ends")

    together([telling(Doubling(1), name) for name in "ab"])
    assert order == ["a begins", "a ends", "b begins", "b ends"]


def test_windows_of_different_networks_never_share_a_batch():
    one, other = Doubling(8), Doubling(8)
    together([stream(one, [1]), stream(other, [2]), stream(one, [3])])
    assert (one.batches, other.batches) == ([2], [1])


def test_alone_equals_together():
    numbers = [5, 6, 7]
    assert alone(stream(Doubling(1), numbers)) == together([stream(Doubling(8), numbers)])[0]


def test_a_runtime_that_fails_is_heard_of():
    class Failing(Doubling):
        def embed(self, _features):
            raise EngineError("out of memory")

    for batch in (1, 4):
        with pytest.raises(EngineError, match="out of memory"):
            together([stream(Failing(batch), [1]) for _ in range(3)])
