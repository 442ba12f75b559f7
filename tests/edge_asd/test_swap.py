"""Networks take the place of others: every window is scored once, by one of them, in order."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future

import numpy as np
import pytest
from support.reporting import reporting
from support.sound import machine, seconds_of
from support.tiny import HOP, write_tiny_bundle

from edge_asd.config import AlertConfig, MonitorConfig
from edge_asd.engine import OnnxEngine, open_networks
from edge_asd.errors import EngineError
from edge_asd.monitor import Monitor
from edge_asd.swap import Serving

ALERT = AlertConfig(above_s=1.5, within_s=2.0)


class Rounds:
    """A worker without threads: what is asked for is done at once, as between two rounds."""

    def __init__(self, *monitors):
        self.monitors = list(monitors)

    def between_rounds(self, action):
        """Do it now."""
        done = Future()
        try:
            done.set_result(action())
        except EngineError as error:
            done.set_exception(error)
        return done


@contextlib.contextmanager
def listening(folder, networks, profile):
    """A monitor that listens and is served; ``heard`` takes every score with its window."""
    folder.mkdir(exist_ok=True)
    with reporting(folder, networks.bundle.manifest) as hall:
        config = MonitorConfig(name="pump-1", source="sim:pump", alert=ALERT, settle_s=0)
        monitor = Monitor(config, networks, folder, hall.report, profile=profile, open_event=None)
        serving, heard = Serving(networks), []
        serving.begin(Rounds(monitor))
        hall.report.score = lambda _name, scored, *_: heard.append((scored.start, scored.score))
        yield monitor, serving, heard


@pytest.fixture
def closed(monkeypatch):
    """Engines that were closed."""
    found = []

    def close(engine):
        found.append(engine)

    monkeypatch.setattr(OnnxEngine, "close", close)
    return found


def push(monitor, blocks):
    for block in blocks:
        monitor.push(block, 16_000, queued_s=0.0, dropped=False)


def test_another_engine_goes_on_where_the_one_before_it_was(
    tmp_path, tiny_bundle, pump_profile, closed
):
    blocks = seconds_of(machine("pump", 60.0, seed=2)[: 20 * 16_000])
    with listening(tmp_path / "one", open_networks(tiny_bundle), pump_profile) as one:
        push(one[0], blocks)
    with listening(tmp_path / "many", open_networks(tiny_bundle), pump_profile) as (
        monitor, serving, heard,
    ):  # fmt: skip
        for exchanged, block in enumerate(blocks):
            push(monitor, [block])
            networks = open_networks(tiny_bundle)
            serving.exchange(networks).result()
            assert serving.networks is networks
            assert len(closed) == 1 + exchanged
        serving.close()
    assert len(set(closed)) == len(blocks) + 1
    starts, scores = zip(*heard, strict=True)
    assert list(starts) == [start for start, _ in one[2]] == [n * HOP for n in range(len(starts))]
    np.testing.assert_allclose(scores, [score for _, score in one[2]], atol=1e-5)


def test_networks_of_another_bundle_do_not_score_with_what_was_learned_before(
    tmp_path, tiny_bundle, pump_profile
):
    other = open_networks(write_tiny_bundle(tmp_path / "other.asd", seed=9))
    with listening(tmp_path, open_networks(tiny_bundle), pump_profile) as (_, serving, _heard):
        before = serving.networks
        with pytest.raises(EngineError, match="cannot take the place"):
            serving.exchange(other).result()
        assert serving.networks is before
        serving.close()
