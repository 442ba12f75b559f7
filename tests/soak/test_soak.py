"""A short soak with everything in it, and that the soak would notice if something were wrong."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from publish_samples import message
from support import evidence
from support.ledger_board import Board as LedgerBoard

from edge_asd.books.ledger import Account
from edge_asd.publish.store import EventStore
from soak import audit
from soak import gauge as gauge_module
from soak import soak as soak_script
from soak.audit import Life
from soak.gauge import Gauge, Promise, Sample, measure
from soak.witness import Said, Witness

WINDOWS = 10_000
SCRIPT = Path(soak_script.__file__)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # half a minute on an idle machine
def test_ten_thousand_windows_with_faults_keep_every_promise():
    command = [sys.executable, SCRIPT, "--seed", "4", "--windows", str(WINDOWS), "--json"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-4000:]
    found = json.loads(result.stdout)
    assert found["windows"] >= WINDOWS
    assert found["results"]["scored"] > WINDOWS / 2
    # A soak that met nothing would keep its promises as well.
    assert found["restarts"] >= 1
    assert {"clock", "disk", "hold", "enrol", "restart"} <= set(found["strikes"])
    accounts = {name for each in found["seconds"].values() for name, s in each.items() if s}
    assert accounts >= {account.value for account in Account} - {"inhibited", "starting"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_soak_with_a_leak_and_a_wrong_second_breaks_these_promises_and_no_other(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(gauge_module, "REST_S", 0.5)
    monkeypatch.setattr(soak_script, "EVERY", 20)
    leaked = []

    def meddle(board):
        leaked.append(os.dup(0))
        with closing(sqlite3.connect(board.state / "ledger.db")) as connection, connection:
            connection.execute(
                "UPDATE stretches SET account = 'scored'"
                " WHERE monitor = 'fan-1' AND account = 'baselining'"
            )

    try:
        outcome = soak_script.soak(tmp_path, seed=1, windows=600, broker=False, meddle=meddle)
    finally:
        for descriptor in leaked:
            os.close(descriptor)
    assert {promise.name for promise in outcome.broken} == {
        "no growth of descriptors",
        "all descriptors given back",
        "scored seconds are scored",
    }


def test_a_broken_promise_is_named_and_the_exit_code_says_so(tmp_path, monkeypatch, capsys):
    promises = [
        Promise("memory is flat", kept=False, found="+3 MB"),
        Promise("no growth of threads", kept=True, found="7"),
    ]
    monkeypatch.setattr(
        soak_script, "soak", lambda *_, **__: soak_script.Outcome(promises, {"seed": 5})
    )
    assert soak_script.main(["--folder", str(tmp_path / "new")]) == 1
    out, err = capsys.readouterr()
    assert err == "broken promise: memory is flat: +3 MB\n"
    assert "seed: 5" in out


# The gauge


def leak_descriptor(stack):
    stack.append(Path(os.devnull).open())  # noqa: SIM115


def leak_thread(stack):
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    stack.append((over, thread))


def leak_child(stack):
    stack.append(subprocess.Popen(["sleep", "600"]))


def give_back(one):
    if isinstance(one, tuple):
        one[0].set()
        one[1].join()
    elif isinstance(one, subprocess.Popen):
        one.kill()
        one.wait()
    else:
        one.close()


@pytest.mark.parametrize(
    ("leak", "name"),
    [(leak_descriptor, "descriptors"), (leak_thread, "threads"), (leak_child, "children")],
)
@pytest.mark.parametrize("every", [1, 7])
def test_what_is_not_given_back_is_noticed(leak, name, every):
    gauge, stack = Gauge(), []
    gauge.closed.append(measure(0))
    try:
        for number in range(20):
            if number % every == every - 1:
                leak(stack)
            gauge.running.append(measure(number))
        gauge.closed.append(measure(20))
    finally:
        for one in stack:
            give_back(one)
    broken = {promise.name for promise in gauge.promises(1) if not promise.kept}
    assert {f"no growth of {name}", f"all {name} given back"} <= broken
    others = {"threads", "descriptors", "children"} - {name}
    if name != "children":  # a child brings descriptors
        assert not broken & {f"no growth of {other}" for other in others}


def test_a_dead_child_that_nobody_waited_for_counts():
    before = measure(0).children
    child = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert measure(0).children == before + 1
    child.wait()
    child.stdout.close()
    assert measure(0).children == before


def test_a_file_of_the_state_directory_counts_only_if_it_is_open_twice(tmp_path):
    path = tmp_path / "some.db"
    path.touch()
    before = measure(0, tmp_path).descriptors
    with path.open():
        assert measure(0, tmp_path).descriptors == before
        with path.open():
            assert measure(0, tmp_path).descriptors == before + 1


@pytest.mark.parametrize(("growth_mb", "kept"), [(-1.0, True), (0.8, True), (1.2, False)])
def test_memory_may_grow_by_a_megabyte_in_a_hundred_thousand_windows(growth_mb, kept):
    gauge = Gauge()
    for windows in range(0, 1_000_001, 1000):
        warm = min(windows, 200_000) * 400  # a steep rise before it is warm does not count
        noise = 300_000 * (windows // 1000 % 2)
        rss = 10**8 + warm + noise + growth_mb * 10 * windows
        gauge.running.append(Sample(windows, rss, 1, 1, 0))
    assert gauge.slope == pytest.approx(1e6 * growth_mb, abs=1e4)
    assert gauge._memory().kept is kept


def test_evidence_beyond_its_quota_is_noticed():
    gauge = Gauge()
    gauge.running = [Sample(0, 1, 1, 1, 0, evidence=10), Sample(1, 1, 1, 1, 0, evidence=9)]
    assert gauge._evidence(10).kept
    assert not gauge._evidence(9).kept


# The audit


@pytest.fixture
def lived(tmp_path):
    """A ledger of two runs and a step of the clock, and when that was."""
    board = LedgerBoard(tmp_path)
    life = Life(board.counter_s)
    board.start()
    board.run(100, Account.IDLE, scored=True)
    board.ahead_s += 3600
    life.steps_s.append(3600)
    board.run(40, Account.MICROPHONE_FAULT)
    board.ledger.close()
    board.counter_s += 60
    life.last_ahead_s = board.ahead_s
    ledger = board.start()
    board.run(30, Account.GAPPED, scored=True)
    ledger.close()
    life.ended_s = board.counter_s
    life.scored_s = {("pump-1", 1): (100, 100), ("pump-1", 2): (30, 30)}
    return life


def ledger_checks(folder, life):
    return {
        promise.name
        for promise in (
            audit.check_ledger(folder, "pump-1", life),
            audit.check_stretches(folder),
            audit.check_scored(folder, life),
        )
        if not promise.kept
    }


EXACT, TORN = "ledger of pump-1 is exact", "no second twice, none missing"
SCORED = "scored seconds are scored"


def test_an_exact_ledger_passes(tmp_path, lived):
    assert ledger_checks(tmp_path, lived) == set()


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE stretches SET end_s = end_s + 1 WHERE account = 'microphone_fault'", {EXACT}),
        (
            "UPDATE stretches SET end_s = end_s - 1 WHERE account = 'scored' AND run = 1",
            {EXACT, TORN, SCORED},
        ),
        ("UPDATE stretches SET begin_s = begin_s + 1 WHERE run = 2", {EXACT, TORN, SCORED}),
        ("DELETE FROM stretches WHERE account = 'microphone_fault'", {EXACT}),
        ("UPDATE monitors SET down_s = down_s - 1 WHERE run = 2", {EXACT}),
        ("UPDATE anchors SET offset_s = offset_s - 1 WHERE offset_s > 0", {EXACT}),
        ("UPDATE stretches SET account = 'idle' WHERE run = 2", {SCORED}),
    ],
)
def test_a_wrong_second_is_noticed(tmp_path, lived, change, broken):
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        assert connection.execute(change).rowcount
    assert ledger_checks(tmp_path, lived) == broken


def test_seconds_after_the_last_written_one_are_noticed(tmp_path, lived):
    lived.ended_s += 60
    assert EXACT in ledger_checks(tmp_path, lived)


IDS = [evidence.event_id(number) for number in range(3)]


def tell(folder, *steps):
    """Store steps (alert, type), and have them told; returns the witness."""
    witness = Witness(folder / "said")
    store = EventStore(folder)
    for number, kind in steps:
        store.record(message(kind, id=IDS[number]), monitor="pump-1", topic=None)
        witness._heard.append(Said("pump-1", "event", IDS[number], kind))
    store.close()
    return witness


GOOD = [(0, "new"), (0, "update"), (0, "end"), (1, "new")]


def test_alerts_that_are_stored_as_told_pass(tmp_path):
    witness = tell(tmp_path, *GOOD)
    assert audit.check_events(tmp_path, witness).kept
    assert audit.check_order(tmp_path).kept


def test_an_alert_that_was_told_and_is_not_stored_is_noticed(tmp_path):
    witness = tell(tmp_path, *GOOD)
    witness._heard.append(Said("pump-1", "event", IDS[1], "end"))
    assert not audit.check_events(tmp_path, witness).kept


def test_what_the_disk_refused_to_the_last_is_in_the_log(tmp_path):
    witness = tell(tmp_path, *GOOD)
    lost = Said("pump-1", "event", IDS[1], "end")
    witness._heard.append(lost)
    witness.unstored.add(lost)
    assert audit.check_events(tmp_path, witness).kept


@pytest.mark.parametrize(
    "steps",
    [
        [(0, "update")],
        [(0, "new"), (0, "new")],
        [(0, "new"), (1, "end")],
        [(0, "new"), (0, "end"), (0, "update")],
    ],
)
def test_alerts_out_of_order_are_noticed(tmp_path, steps):
    tell(tmp_path, *steps)
    assert not audit.check_order(tmp_path).kept


def test_a_step_that_is_missing_in_between_is_noticed(tmp_path):
    tell(tmp_path, *GOOD)
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection, connection:
        connection.execute("DELETE FROM events WHERE seq = 2")
    assert not audit.check_order(tmp_path).kept


def test_evidence_that_changed_or_belongs_to_nobody_is_noticed(tmp_path):
    tell(tmp_path, *((number, "new") for number in range(2)))
    store = evidence.opened(tmp_path)
    evidence.fill(store, range(2))
    kept = store.kept()
    store.close()
    assert audit.check_evidence(tmp_path).kept
    kept[0].path("clip.flac").write_bytes(b"something else")
    assert "clip.flac" in audit.check_evidence(tmp_path).found
    store = evidence.opened(tmp_path)
    evidence.fill(store, [2])
    store.close()
    assert IDS[2] in audit.check_evidence(tmp_path).found


def test_an_unexpected_error_is_noticed(tmp_path):
    with Witness(tmp_path / "said") as witness:
        logger = logging.getLogger("edge_asd.somewhere")
        for text in ("a bug in a source", "a bug in the worker"):
            logger.error("event=unexpected_error", exc_info=RuntimeError(text))
    assert "a bug in the worker" in audit.check_log(witness).found
    assert len(witness.unexpected) == 1


def test_waiting_messages_are_noticed(tmp_path):
    store = EventStore(tmp_path)
    assert audit.check_outbox(tmp_path).kept
    store.record(message("new"), monitor="pump-1", topic="t")
    store.close()
    assert not audit.check_outbox(tmp_path).kept
