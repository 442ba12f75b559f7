"""Without a daemon, switches are kept for its start; what needs one says so."""

from __future__ import annotations

import json

import pytest
from support.processes import assert_refused, write_config

from edge_asd.errors import BusyError, UsageError
from edge_asd.operators.switches import Switchboard
from edge_asd.publish.store import EventStore
from edge_asd.state_dir import StateLock
from edge_asd.steady import SteadyClock


@pytest.fixture
def run(shell, tmp_path):
    """A command for the monitor ``pump-1`` in a state directory of its own."""
    config = write_config(
        tmp_path / "c.yaml", monitors=[{"name": "pump-1"}], device="hall", mqtt=None
    )

    def command(name, *arguments):
        more = () if name in ("ack", "simulate", "status") else ("--config", config)
        return shell(name, *arguments, "--state-dir", tmp_path / "state", *more)

    return command


def kept(tmp_path):
    store = EventStore(tmp_path / "state")
    try:
        return Switchboard(store.switches, SteadyClock()).of("pump-1")
    finally:
        store.close()


def test_what_is_switched_is_kept_and_who_did_it(run, tmp_path):
    result = run("inhibit", "pump-1", "--minutes", "30", "--by", "anna")
    assert "pump-1: inhibited by anna until " in result.stdout
    assert "no daemon runs" in result.stdout
    assert kept(tmp_path).inhibition.asked_s == 1800
    shown = json.loads(run("snooze", "pump-1", "--minutes", "5", "--json").stdout)
    assert shown["snoozed_until"] is not None
    assert shown["inhibited_by"] == "anna"
    run("disable", "pump-1", "--by", "ben")
    assert kept(tmp_path).reason == "switched off by ben"
    run("enable", "pump-1")
    run("inhibit", "pump-1", "--off")
    run("snooze", "pump-1", "--off")
    assert not kept(tmp_path).silent
    assert not kept(tmp_path).snoozed


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("inhibit", "pump-2"), "no monitor 'pump-2'; configured: pump-1"),
        (("inhibit", "pump-1", "--minutes", "0"), "from 0.01"),
        (("inhibit", "pump-1", "--minutes", "nan"), "from 0.01"),
        (("inhibit", "pump-1", "--minutes", "5", "--off"), "either"),
        (("snooze", "pump-1"), "either --minutes N or --off"),
        (("snooze", "pump-1", "--minutes", "99999"), "a week"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, tmp_path, arguments, word):
    assert_refused(run(*arguments), UsageError.exit_code, word)
    assert not (tmp_path / "state" / "events.db").exists()


@pytest.mark.parametrize("arguments", [("ack",), ("simulate", "--fault", "alarm")])
def test_what_needs_the_daemon_says_so(run, arguments):
    assert_refused(run(*arguments), BusyError.exit_code, "no daemon runs")


def test_while_something_else_holds_the_state_nothing_is_switched(run, tmp_path):
    with StateLock(tmp_path / "state"):
        result = run("disable", "pump-1")
    assert_refused(result, BusyError.exit_code, "in use by process")
