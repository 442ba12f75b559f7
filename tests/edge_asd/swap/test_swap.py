"""Networks take the place of others: every window is scored once, by one of them, in order."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import math
import os
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly
from support.reporting import reporting
from support.rounds import Rounds
from support.sound import RATE, WALL_S, Recording, machine, request
from support.tiny import write_tiny_bundle

from edge_asd.alerting import persistence_of
from edge_asd.bundle import builtin_bundle, load_bundle
from edge_asd.config import AlertConfig, MonitorConfig
from edge_asd.engine import NetworkSet, OnnxEngine, open_networks
from edge_asd.enrolment.enrol import enrol
from edge_asd.errors import ConfigError, EngineError, ProfileError
from edge_asd.features import compute
from edge_asd.memory import give_back
from edge_asd.monitor.monitor import Monitor
from edge_asd.records import Block
from edge_asd.swap.swap import Serving

ALERT = AlertConfig(above_s=2.5, within_s=3.0, false_alarms_per_week=100.0)
FEW = [{"kind": "centres", "id": "embedding", "network": "tiny"}, {"kind": "level", "id": "level"}]
BUNDLES = {
    "first": {"seed": 1},
    "second": {"seed": 2},
    "longer": {"seed": 3, "window_samples": 20_480, "hop_samples": 6_144},
    "shorter": {"seed": 4, "window_samples": 8_192, "hop_samples": 3_072},
    "slower": {"seed": 5, "window_samples": 9_216, "hop_samples": 2_048, "sample_rate": 8_000},
    "faster": {"seed": 6, "window_samples": 24_576, "hop_samples": 6_144, "sample_rate": 22_050},
}
RETAIN_S = 2.5
BLOCK = 5_555


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Bundles and what each has learned from the same pump, by name, made when asked for."""
    folder = tmp_path_factory.mktemp("bundles")

    @functools.cache
    def of(name):
        bundle = write_tiny_bundle(folder / name, name=name, scorers=FEW, **BUNDLES[name])
        networks = open_networks(bundle)
        asked = request(persistence=persistence_of(ALERT, bundle.manifest))
        profile = enrol(
            networks, lambda: Recording((0, machine("pump", 90.0))), asked, WALL_S, lambda *_: None
        )
        networks.close()
        # No alert: while one is open nothing takes the place of another bundle.
        deaf = replace(profile.calibration, threshold=math.inf, alarm_threshold=math.inf)
        return bundle, replace(profile, calibration=deaf)

    return of


def blocks_of_a_pump(seconds, rate=RATE):
    """A pump that runs for ever, in blocks of a length that no hop is a multiple of."""
    samples = machine("pump", 90.0, seed=2)
    if rate != RATE:
        samples = resample_poly(samples[: 30 * RATE], rate // 100, RATE // 100).astype(np.float32)
    for start in range(0, round(seconds * rate), BLOCK):
        yield Block(
            np.take(samples, range(start, start + BLOCK), mode="wrap")[:, None],
            start,
            WALL_S + start / rate,
        )


@contextlib.contextmanager
def listening(folder, networks, profile):
    """A monitor that listens and is served; ``heard`` takes (bundle, begin, end, score)."""
    folder.mkdir(exist_ok=True)
    with reporting(folder, networks.bundle.manifest) as hall:
        config = MonitorConfig(name="pump-1", source="sim:pump", alert=ALERT, settle_s=0)
        monitor = Monitor(config, networks, folder, hall.report, profile=profile, open_event=None)
        serving, heard = Serving(networks), []
        rounds = Rounds(monitor)
        serving.begin(rounds)

        def score(_name, scored, _state, profile, _span):
            heard.append((profile.bundle_sha256, scored.start, scored.end, scored.score))

        hall.report.score = score
        yield monitor, serving, heard
        serving.close()
        assert not rounds.failures


def push(monitor, block, rate=RATE):
    monitor.push(block, rate, queued_s=0.0, dropped=False)


@pytest.fixture
def uninterrupted(tmp_path, learned):
    """What a bundle alone makes of the pump: its windows with their scores."""

    def run(name, blocks, rate):
        bundle, profile = learned(name)
        with listening(tmp_path / name, open_networks(bundle), profile) as (monitor, _, heard):
            for block in blocks:
                push(monitor, block, rate)
        return heard

    return run


@pytest.fixture
def swapped(tmp_path, learned):
    """What becomes of the pump when the networks are exchanged before these blocks."""

    def run(blocks, rate, turns):
        name, former, spans = turns[0], [], [(turns[0], 0)]
        bundle, profile = learned(name)
        with listening(tmp_path / "swapped", open_networks(bundle), profile) as (
            monitor, serving, heard,
        ):  # fmt: skip
            monitor.retain(RETAIN_S)
            for number, block in enumerate(blocks):
                if number in turns and number:
                    former.append(weakref.ref(serving.networks))
                    before, name = name, turns[number]
                    bundle, profile = learned(name)
                    assert monitor.retains
                    profiles = None if name == before else {"pump-1": profile}
                    spans.append((name, len(heard)))
                    serving.exchange(open_networks(bundle), profiles).result()
                    monitor.retain(RETAIN_S)
                push(monitor, block, rate)
        gc.collect()
        assert [network() for network in former] == [None] * len(former)  # none is kept
        return heard, [*spans, ("", len(heard))]

    return run


def whole(heard, spans, alone, learned):
    """The windows of the uninterrupted runs, each part of the stream by the bundle that served."""
    expected, until_s = [], 0.0
    for (name, first), (_, last) in itertools.pairwise(spans):
        rate = learned(name)[0].manifest.sample_rate
        assert {sha for sha, *_ in heard[first:last]} <= {learned(name)[0].sha256}
        if first == last:
            continue
        last_s = heard[last - 1][2] / rate
        expected += [w for w in alone[name] if until_s + 1e-6 < w[2] / rate < last_s + 1e-6]
        until_s = last_s
    return expected


def assert_nothing_is_lost(heard, spans, alone, learned, *, within):
    expected = whole(heard, spans, alone, learned)
    assert [window[:3] for window in heard] == [window[:3] for window in expected]
    np.testing.assert_allclose(
        [w[3] for w in heard], [w[3] for w in expected], rtol=1e-4, atol=within
    )


def test_two_thousand_windows_across_twenty_swaps_are_those_of_uninterrupted_runs(
    learned, uninterrupted, swapped
):
    blocks = list(blocks_of_a_pump(540.0))
    # Another bundle, another engine for the same one, a bundle of other windows, and back.
    order = ["first", "second", "second", "longer", "longer", "second", "first"]
    rng = np.random.default_rng(1)
    at = np.linspace(60, len(blocks) - 60, 20).astype(int) + rng.integers(0, 20, 20)
    turns = {0: "first"} | dict(zip(at.tolist(), itertools.cycle(order[1:]), strict=False))
    alone = {name: uninterrupted(name, blocks, RATE) for name in set(order)}
    heard, spans = swapped(blocks, RATE, turns)
    assert len(spans) == 20 + 2
    assert len(heard) >= 1_800
    assert_nothing_is_lost(heard, spans, alone, learned, within=1e-5)


@pytest.mark.parametrize(
    ("rate", "order"),
    [
        (RATE, ["shorter", "slower", "longer", "first"]),
        (48_000, ["first", "slower", "faster", "second"]),
        (44_100, ["faster", "second", "longer", "slower"]),
    ],
)
def test_windows_of_every_kind_go_on_on_their_grid_at_every_rate_of_the_source(
    learned, uninterrupted, swapped, rate, order
):
    count = round(24.0 * rate / BLOCK)
    blocks = list(blocks_of_a_pump(24.0, rate))
    turns = {0: order[0]} | {
        number * count // len(order) + 3: name for number, name in enumerate(order) if number
    }
    alone = {name: uninterrupted(name, blocks, rate) for name in order}
    heard, spans = swapped(blocks, rate, turns)
    assert_nothing_is_lost(heard, spans, alone, learned, within=1e-3)


def resident():
    """Bytes of this process in memory, once what is free has been given back."""
    give_back()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_returns_to_its_former_level():
    bundle = load_bundle(builtin_bundle())
    (network,) = bundle.manifest.networks
    sound = bundle.golden.waveforms[:1].astype(np.float32) / 32768
    inputs = {
        name: compute(spec, sound, bundle.manifest.sample_rate)
        for name, spec in network.inputs.items()
    }

    def opened():
        engine = OnnxEngine(bundle.network(network.id, "fp32"), "network")
        engine.embed(inputs)  # only then everything is in memory
        return NetworkSet(bundle, {network.id: engine})

    serving = Serving(opened())
    serving.begin(Rounds())

    def exchange(count):
        for _ in range(count):
            serving.exchange(opened()).result()
        return resident()

    level = exchange(4)
    more = [opened() for _ in range(4)]
    four = resident() - level
    for networks in more:
        networks.close()
    del more, networks
    level = exchange(2)
    grown = exchange(8) - level
    serving.close()
    assert four > 4e6
    assert grown < four / 2  # had each of the eight left one behind, twice of that


def test_networks_that_a_monitor_cannot_go_on_with_are_refused_and_change_nothing(
    tmp_path, learned
):
    bundle, profile = learned("first")
    other, theirs = learned("longer")
    with listening(tmp_path, open_networks(bundle), profile) as (monitor, serving, _):
        before = serving.networks

        def refuses(kind, words, profiles):
            with pytest.raises(kind, match=words):
                serving.exchange(open_networks(other), profiles).result()
            assert serving.networks is before
            assert monitor.profile is profile

        refuses(ProfileError, "nothing has been learned with longer", None)
        refuses(ProfileError, "has learned nothing", {"fan": theirs})
        monitor.config = monitor.config.model_copy(update={"alert": AlertConfig(above_s=1.3)})
        refuses(ConfigError, "set it above", {"pump-1": theirs})


def test_an_engine_that_fails_while_it_takes_over_is_told_as_for_any_window(tmp_path, learned):
    bundle, profile = learned("longer")
    other, theirs = learned("shorter")
    networks = open_networks(other)

    def embed(_features):
        raise EngineError("no memory is left")

    networks.embed = embed
    with listening(tmp_path, open_networks(bundle), profile) as (monitor, serving, heard):
        rounds = Rounds(monitor)
        serving.begin(rounds)
        monitor.retain(RETAIN_S)
        # One window of the longer ones, and one more of the shorter ones that ends after it.
        sound = machine("pump", 90.0, seed=2)[: 20_480 + 3_072 + 100]
        push(monitor, Block(sound[:, None], 0, WALL_S))
        serving.exchange(networks, {"pump-1": theirs}).result()
        assert [str(rounds.failures.pop())] == ["no memory is left"]
        assert len(heard) == 1
