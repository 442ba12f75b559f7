"""Sound of a pause is accounted for by the window, however it is cut into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from edge_asd.books.ledger import Account
from edge_asd.metrics.metrics import Metrics
from edge_asd.monitor.pause import Pause

HOP_S = 0.25
cuts = st.lists(st.floats(0.01, 3.0), min_size=1, max_size=20)


def counted(registry, result):
    labels = {"monitor": "pump", "result": result}
    return registry.get_sample_value("edge_asd_windows_total", labels) or 0


@given(cuts, cuts)
def test_nothing_is_used_before_the_machine_has_settled(pause_blocks, settle_blocks):
    registry = CollectorRegistry()
    pause = Pause("pump", HOP_S, Metrics(registry, version="0"))
    assert pause.take(1.0) is None
    pause.begin()
    assert {pause.take(seconds) for seconds in pause_blocks} == {Account.INHIBITED}
    assert counted(registry, "inhibited") == pytest.approx(sum(pause_blocks) / HOP_S, abs=1)
    settle_s = sum(settle_blocks)
    pause.end(settle_s)
    assert {pause.take(seconds) for seconds in settle_blocks} == {Account.IDLE}
    assert counted(registry, "idle") == pytest.approx(settle_s / HOP_S, abs=1.5)
    pause.take(1e-6)  # what rounding may have left
    assert pause.take(1.0) is None
