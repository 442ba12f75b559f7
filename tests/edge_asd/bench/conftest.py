"""What the tests of the bench share."""

from __future__ import annotations

import pytest

from edge_asd.bench.subject import prepare


@pytest.fixture(scope="session")
def subject(tiny_networks):
    """A monitor that knows a simulated pump, with the tiny bundle; no test changes it."""
    told = []
    prepared = prepare(tiny_networks, lambda done, _: told.append(done))
    assert told[0] == 0.0
    assert told[-1] == 1.0
    return prepared
