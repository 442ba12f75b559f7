"""What a monitor hears with: flaws and outages are told, and every second has its account."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from support.ledger_board import Board, quick_folder, seconds

from edge_asd.books.ledger import Account
from edge_asd.health import Health, HealthBoard
from edge_asd.hearing.hearing import NO_AUDIO, Hearing
from edge_asd.hearing.outage import OutageNotices
from edge_asd.metrics.metrics import Metrics
from edge_asd.records import Block, EventType

RATE = 16_000
NAME = "pump-1"
NOTIFY_S = 5.0
BLOCK_S = 0.5


class Bench:
    """A hearing with a ledger of its own, and a source that it is fed from."""

    def __init__(self, folder) -> None:
        self.board = Board(folder)
        self.board.start(NAME, settle_s=3.0)
        self.began_s = self.board.clock.now()
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, version="0")
        metrics.init_monitor(NAME, queue_capacity=20)
        self.health = HealthBoard()
        self.told = []
        numbers = itertools.count(1)
        report = SimpleNamespace(
            books=SimpleNamespace(ledger=self.board.ledger, open=self.board.ledger.open),
            metrics=metrics,
            health=self.health,
            clock=self.board.clock,
            notice=lambda _monitor, notice: self.told.append(notice),
        )
        notices = OutageNotices(NOTIFY_S, lambda _at_s: f"id-{next(numbers)}")
        self.hearing = Hearing(NAME, 1, report, notices, settle_s=3.0, rule=None)
        self.position = 0
        self.rng = np.random.default_rng(1)

    @property
    def now_s(self):
        return self.board.clock.now()

    def sound(self):
        return self.rng.normal(0.0, 0.1, round(BLOCK_S * RATE))

    def hear(self, duration_s, sound=None, *, account=Account.IDLE, dropped=False):
        """Blocks of sound; the last ``Sound``."""
        heard = None
        for _ in range(round(duration_s / BLOCK_S)):
            mono = self.sound() if sound is None else np.resize(sound, round(BLOCK_S * RATE))
            samples = np.stack([self.sound(), mono], axis=1).astype(np.float32)
            block = Block(samples, self.position, self.now_s)
            self.position += len(samples)
            self.board.counter_s += BLOCK_S
            heard = self.hearing.take(block, RATE, dropped=dropped)
            dropped = False
            self.hearing.account(heard, self.now_s, account)
            self.board.look()
        return heard

    def pause(self, duration_s, *, notify=True):
        """Nothing comes for so long, and the worker looks now and then."""
        until_s = self.board.counter_s + duration_s
        while self.board.counter_s < until_s:
            self.board.counter_s = min(until_s, self.board.counter_s + 0.3)
            self.hearing.wait(self.now_s, notify=notify)
            self.board.look()
        self.position += round(duration_s * RATE)

    def lose(self, duration_s, reason="unplugged"):
        """An outage of the source."""
        self.hearing.lost(reason)
        self.pause(duration_s)

    def skip(self, duration_s):
        """Audio is lost while the source runs."""
        self.board.counter_s += duration_s
        self.position += round(duration_s * RATE)

    @property
    def totals(self):
        return seconds(self.board.ledger.totals(NAME, self.began_s, self.now_s))

    def fault_metric(self, fault):
        labels = {"monitor": NAME, "fault": fault}
        return self.registry.get_sample_value("edge_asd_microphone_fault", labels)

    def metric(self, name):
        return self.registry.get_sample_value(f"edge_asd_{name}", {"monitor": NAME})

    @property
    def check(self):
        return self.health.snapshot()[f"microphone/{NAME}"]


@pytest.fixture
def bench():
    with quick_folder() as folder:
        yield Bench(folder)


def kinds(bench):
    return [(notice.type, notice.fault) for notice in bench.told]


def test_sound_is_of_the_monitors_channel_and_nothing_is_told(bench):
    heard = bench.hear(4.0, np.linspace(-0.5, 0.5, 77))
    assert heard.mono[1] - heard.mono[0] == pytest.approx(1 / 76)
    assert (heard.lost_s, heard.numbers, bench.told) == (0.0, True, [])
    assert bench.check.status is Health.HEALTHY
    assert bench.totals == {Account.IDLE: 4}


def test_time_before_the_first_audio_is_the_start(bench):
    bench.pause(5.0)
    assert bench.totals == {Account.STARTING: 5}
    assert bench.told == []
    bench.hear(5.0)
    assert bench.totals == {Account.STARTING: 5, Account.IDLE: 5}


def test_a_microphone_that_never_came_is_a_fault_and_no_start(bench):
    bench.lose(20.0, "no such card")
    assert bench.totals == {Account.MICROPHONE_FAULT: 20}
    assert kinds(bench) == [(EventType.NEW, NO_AUDIO)]
    assert bench.told[0].reason == "no such card"


def test_an_outage_is_told_shown_accounted_for_to_its_first_second_and_ended(bench):
    bench.hear(10.0)
    bench.skip(2.0)  # so long it takes until the silence is noticed
    bench.position -= 2 * RATE
    bench.hearing.lost("silent")
    bench.pause(10.0)
    assert (bench.fault_metric(NO_AUDIO), bench.check.status) == (1.0, Health.CRITICAL)
    assert bench.totals == {Account.IDLE: 10, Account.MICROPHONE_FAULT: 12}
    bench.position += 2 * RATE
    heard = bench.hear(10.0)
    assert bench.totals == {Account.IDLE: 20, Account.MICROPHONE_FAULT: 12}
    assert heard.lost_s == 0.0
    assert kinds(bench) == [(EventType.NEW, NO_AUDIO), (EventType.END, NO_AUDIO)]
    assert bench.told[0].id == bench.told[1].id
    assert (bench.fault_metric(NO_AUDIO), bench.check.status) == (0.0, Health.HEALTHY)


def test_the_time_until_the_first_block_after_an_outage_belongs_to_it(bench):
    bench.hear(2.0)
    bench.lose(4.0)
    bench.skip(3.0)  # the worker was busy with something else
    bench.hear(2.0)
    assert bench.totals == {Account.IDLE: 4, Account.MICROPHONE_FAULT: 7}


@pytest.mark.parametrize(("dropped", "account"), [(False, Account.GAPPED), (True, Account.DROPPED)])
def test_audio_that_is_missing_in_a_running_stream_has_its_reason(bench, dropped, account):
    bench.hear(3.0)
    bench.skip(2.0)
    heard = bench.hear(BLOCK_S, dropped=dropped)
    assert heard.lost_s == pytest.approx(2.0)
    assert bench.hear(2.5).lost_s == 0.0
    assert bench.totals == {Account.IDLE: 6, account: 2}
    assert bench.told == []


def test_a_new_start_loses_nothing(bench):
    bench.hear(1.0)
    bench.hearing.new_start()
    bench.position += 40 * RATE  # another stream: its index says nothing
    assert bench.hear(1.0).lost_s == 0.0


def test_a_silence_that_is_nobodys_fault_is_not_told(bench):
    bench.hear(2.0)
    bench.hearing.lost("the recording is over")
    bench.pause(30.0, notify=False)
    assert bench.told == []
    assert bench.check.status is Health.HEALTHY


@pytest.mark.parametrize(
    ("flaw", "sound"),
    [
        ("digital_zero", np.zeros(8)),
        ("stuck", np.full(8, 0.25)),
        ("not_finite", np.full(8, np.nan)),
        ("noise_floor", np.random.default_rng(2).normal(0.0, 1.0, 8000).round() / 32768),
    ],
)
def test_a_dead_signal_is_told_by_its_name_and_ended_by_sound_that_lasts(bench, flaw, sound):
    bench.hear(10.0)
    heard = bench.hear(10.0, sound)
    assert heard.health.flaw.value == flaw
    assert heard.numbers == (flaw != "not_finite")
    assert (bench.fault_metric(flaw), bench.check.status) == (1.0, Health.CRITICAL)
    assert bench.totals[Account.MICROPHONE_FAULT] == pytest.approx(10, abs=1)
    bench.hear(2.0)
    assert len(bench.told) == 1  # not sound for long enough yet
    bench.hear(3.0)
    assert kinds(bench) == [(EventType.NEW, flaw), (EventType.END, flaw)]
    assert (bench.fault_metric(flaw), bench.check.status) == (0.0, Health.HEALTHY)
    assert bench.totals[Account.MICROPHONE_FAULT] == pytest.approx(13, abs=1)
    labels = {"monitor": NAME, "flaw": flaw}
    flawed_s = bench.registry.get_sample_value("edge_asd_signal_flawed_seconds_total", labels)
    assert flawed_s == pytest.approx(10.0, abs=1.0)


def test_lost_audio_and_reports_of_the_driver_are_counted(bench):
    bench.hear(3.0)
    bench.skip(2.0)
    bench.hear(1.0)
    assert bench.metric("capture_lost_seconds_total") == pytest.approx(2.0)
    assert bench.metric("capture_overflows_total") == 0
    samples = np.stack([bench.sound()] * 2, axis=1).astype(np.float32)
    block = Block(samples, bench.position, bench.now_s, overflowed=True)
    bench.hearing.take(block, RATE, dropped=False)
    assert bench.metric("capture_overflows_total") == 1


def test_zeros_are_counted_and_are_no_quiet(bench):
    bench.hear(4.0)
    floor = bench.metric("audio_noise_floor_dbfs")
    assert floor == pytest.approx(-20.0, abs=1.0)  # of noise of 0.1 of full scale
    bench.hear(3.0, np.zeros(8))
    assert bench.metric("audio_zero_seconds_total") == pytest.approx(3.0, abs=0.5)
    labels = {"monitor": NAME, "flaw": "digital_zero"}
    name = "signal_flawed_seconds_total"
    flawed_s = bench.registry.get_sample_value(f"edge_asd_{name}", labels)
    assert flawed_s == bench.metric("audio_zero_seconds_total")
    assert bench.fault_metric("digital_zero") == 1, "microphone_fault"
    assert bench.metric("audio_noise_floor_dbfs") == floor


def test_clipping_and_an_offset_are_measured(bench):
    loud = np.clip(2.0 * np.sin(np.arange(RATE) / 7.0), -1.0, 1.0)
    bench.hear(4.0, loud)
    # A sine of twice full scale is cut off for two thirds of the time.
    assert bench.metric("audio_clipped_ratio") == pytest.approx(2 / 3, abs=0.02)
    cut_off = bench.metric("audio_clipped_samples_total")
    assert cut_off == pytest.approx(4.0 * RATE * 2 / 3, rel=0.15)  # the first half second is none
    bench.hear(2.0, 0.05 + 0.01 * np.sin(np.arange(RATE) / 7.0))
    assert bench.metric("audio_dc_ratio") == pytest.approx(0.05, abs=0.005)


def test_a_dropout_is_neither_a_fault_nor_the_end_of_one(bench):
    bench.hear(5.0)
    bench.hear(BLOCK_S, np.zeros(8))
    bench.hear(5.0)
    assert bench.told == []
    assert bench.hearing.fault is None
    bench.lose(10.0)
    bench.hear(1.0, np.zeros(8))  # audio, but no sound
    assert kinds(bench) == [(EventType.NEW, NO_AUDIO)]
    bench.hear(5.0)
    assert kinds(bench) == [(EventType.NEW, NO_AUDIO), (EventType.END, NO_AUDIO)]


def test_a_microphone_that_comes_back_dead_is_the_same_outage(bench):
    bench.hear(2.0)
    bench.lose(10.0)
    bench.hear(10.0, np.zeros(8))
    assert bench.fault_metric("digital_zero") == 1.0
    assert bench.fault_metric(NO_AUDIO) == 0.0
    bench.hear(5.0)
    assert kinds(bench) == [(EventType.NEW, NO_AUDIO), (EventType.END, NO_AUDIO)]
    assert bench.told[1].duration_s > 20.0


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["hear", "zero", "lose", "pause", "skip", "drop"]),
        st.sampled_from([0.5, 1.0, 2.5, 4.0, 7.5]),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(ACTIONS)
def test_whatever_happens_every_second_is_in_one_account_and_every_notice_has_its_end(actions):
    with quick_folder() as folder:
        bench = Bench(folder)
        for what, duration_s in [*actions, ("hear", 12.5)]:
            if what in ("hear", "zero"):
                bench.hear(duration_s, np.zeros(8) if what == "zero" else None)
            elif what == "drop":
                bench.skip(duration_s)
                bench.hear(BLOCK_S, dropped=True)
            else:
                getattr(bench, what)(duration_s)
        elapsed_s = bench.now_s - bench.began_s
        assert sum(bench.totals.values()) == pytest.approx(elapsed_s, abs=1.0)
        lost_s = sum(duration_s for what, duration_s in actions if what == "lose")
        assert bench.totals.get(Account.MICROPHONE_FAULT, 0) >= lost_s - len(actions)
        told = kinds(bench)
        assert [kind for kind, _ in told] == [EventType.NEW, EventType.END] * (len(told) // 2)
