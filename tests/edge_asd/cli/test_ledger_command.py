"""``edge-asd ledger`` says what became of every second, to people and to scripts."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone

import pytest
from support.ledger_board import Board

from edge_asd.books.ledger import Account
from edge_asd.cli import ledger as ledger_command
from edge_asd.cli import main
from edge_asd.clock import parse_rfc3339, rfc3339

NOW_S = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
DAY_S = 86_400
DOWN = "    2026-09-20 16:12:20 CEST        02:00:00  down: edge-asd was not running, or was killed"
FAULT = (
    "    2026-09-20 18:12:20 CEST        22:00:00  "
    "microphone_fault: the microphone was missing, dead or covered"
)


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    """A zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def ask(capsys, tmp_path, monkeypatch):
    """Run the command at NOW_S; what it prints, and how it ends."""
    monkeypatch.setattr(ledger_command.time, "time", lambda: NOW_S)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["ledger", "--state-dir", str(tmp_path), *arguments])
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run


@pytest.fixture
def board(tmp_path):
    """Two days that ended a minute ago: an idle night, a kill, a fault of the microphone."""
    board = Board(tmp_path, NOW_S - 2 * DAY_S - 60)
    board.start("pump-1")
    began_s = board.clock.now()
    board.ledger.scored("pump-1", began_s, began_s + DAY_S)
    board.run(DAY_S, Account.GAPPED, step_s=DAY_S)
    board.ledger.close()
    board.counter_s += 7200
    board.start("pump-1", "fan-1")
    board.run(DAY_S - 7200, Account.MICROPHONE_FAULT, step_s=DAY_S)
    board.ledger.spend("fan-1", board.clock.now(), Account.IDLE)
    board.ledger.close()
    return board


@pytest.mark.usefixtures("board")
def test_people_read_shares_and_the_longest_silence(ask):
    code, said, _ = ask()
    assert code == 0
    fan, pump = said.split("\n\n")
    assert fan.startswith("fan-1  2026-09-20 18:12:20 CEST to 2026-09-21 16:12:20 CEST\n")
    assert pump.splitlines() == [
        "pump-1  2026-09-19 16:12:20 CEST to 2026-09-21 16:12:20 CEST",
        "  scored                  86400 s   50.00%    1 d 00:00:00",
        "  microphone_fault        79200 s   45.83%        22:00:00",
        "  down                     7200 s    4.17%        02:00:00",
        "  sum                    172800 s  100.00%    2 d 00:00:00",
        "  wall time              172800 s",
        "  longest not scored:",
        FAULT,
        DOWN,
    ]


@pytest.mark.usefixtures("board")
def test_scripts_read_the_same_in_utc(ask):
    code, said, _ = ask("--json", "--monitor", "pump-1")
    assert code == 0
    (pump,) = json.loads(said)["monitors"]
    assert (pump["monitor"], pump["coverage"]) == ("pump-1", 0.5)
    assert (pump["from"], pump["to"]) == (rfc3339(NOW_S - 2 * DAY_S - 60), rfc3339(NOW_S - 60))
    assert set(pump["seconds"]) == {account.value for account in Account}
    assert sum(pump["seconds"].values()) == pump["accounted_s"] == pump["wall_s"] == 2 * DAY_S
    assert pump["longest_unscored"][0] == {
        "from": rfc3339(NOW_S - 60 - 79_200),
        "to": rfc3339(NOW_S - 60),
        "seconds": 79_200,
        "account": "microphone_fault",
    }


@pytest.mark.usefixtures("board")
def test_days_are_those_of_the_local_zone(ask):
    (pump,) = json.loads(ask("--json", "--by", "day", "--monitor", "pump-1")[1])["monitors"]
    days = pump["days"]
    assert [day["day"] for day in days] == ["2026-09-19", "2026-09-20", "2026-09-21"]
    assert days[1]["from"] == "2026-09-19T22:00:00.000Z"
    assert [day["accounted_s"] for day in days] == [28_060, DAY_S, 58_340]
    assert days[0]["coverage"] == 1.0
    lines = ask("--by", "day", "--monitor", "pump-1")[1].splitlines()
    assert lines[1].split() == [
        *("day", "coverage", "sum", "wall", "time", "scored", "microphone_fault", "down"),
        "(seconds)",
    ]
    assert lines[2].split() == ["2026-09-19", "100.00%", "28060", "28060", "28060", "0", "0"]


def test_a_day_of_25_hours_has_them(tmp_path, ask, monkeypatch):
    end_s = datetime(2026, 10, 27, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr(ledger_command.time, "time", lambda: end_s)
    board = Board(tmp_path, end_s - 4 * DAY_S)
    board.start("pump-1")
    board.run(4 * DAY_S, Account.IDLE, step_s=3600)
    board.ledger.close()
    days = json.loads(ask("--json", "--by", "day")[1])["monitors"][0]["days"]
    assert {day["day"]: day["wall_s"] for day in days}["2026-10-25"] == 25 * 3600


def test_a_clock_that_was_set_is_named_and_explains_the_sum(tmp_path, ask):
    board = Board(tmp_path, NOW_S - 4000)
    board.start("pump-1")
    board.run(200, Account.IDLE)
    board.ahead_s += 3600
    board.run(200, Account.IDLE)
    board.ledger.close()
    _, said, _ = ask()
    assert "  sum                       400 s" in said
    assert "  wall time                4000 s" in said
    assert "the clock was set forward by 3600 s" in said


@pytest.mark.usefixtures("board")
def test_since_leaves_out_what_was_before(ask):
    seconds = json.loads(ask("--since", "23h", "--json", "--monitor", "pump-1")[1])
    assert seconds["monitors"][0]["accounted_s"] == 23 * 3600 - 60
    local = json.loads(ask("--since", "2026-09-21T16:00", "--json", "--monitor", "pump-1")[1])
    assert local["monitors"][0]["accounted_s"] == 740
    zoned = json.loads(ask("--since", "2026-09-21T14:00:00Z", "--json", "--monitor", "pump-1")[1])
    assert zoned == local


def test_nothing_recorded_is_said_clearly(tmp_path, ask):
    code, said, _ = ask()
    assert (code, said) == (0, f"nothing recorded: nothing has run with {tmp_path} yet\n")
    assert json.loads(ask("--json")[1]) == {"schema": 1, "monitors": []}
    (tmp_path / "ledger.db").touch()  # a daemon is just making it
    assert ask()[:2] == (0, "nothing recorded since 7d\n")
    assert ask("--monitor", "pump-1")[0] == 2


@pytest.mark.usefixtures("board")
def test_nothing_lately_is_said_clearly(ask):
    assert ask("--since", "30m", "--monitor", "pump-1")[1].startswith("pump-1")
    assert (
        ask("--since", "2026-09-21T14:13:00Z")[1] == "nothing recorded since 2026-09-21T14:13:00Z\n"
    )


@pytest.mark.usefixtures("board")
def test_a_ledger_that_stands_still_is_named(ask, monkeypatch):
    monkeypatch.setattr(ledger_command.time, "time", lambda: NOW_S + 3600)
    said = ask("--monitor", "pump-1")[1]
    assert "nothing was written since 2026-09-21 16:12:20 CEST" in said


@pytest.mark.parametrize("since", ["soon", "7", "-3d", "2026-13-01", "d"])
def test_a_since_that_means_nothing_is_refused(ask, since):
    code, _, complaint = ask(f"--since={since}")
    assert code == 2
    assert "neither an age such as 7d" in complaint


@pytest.mark.usefixtures("board")
def test_an_unknown_monitor_is_refused_with_those_that_there_are(ask):
    code, _, complaint = ask("--monitor", "press")
    assert code == 2
    assert "it has: fan-1, pump-1" in complaint


def test_it_reads_while_a_daemon_writes(tmp_path, ask):
    board = Board(tmp_path, NOW_S - 300)
    board.start("pump-1")
    board.run(200, Account.IDLE)
    (found,) = json.loads(ask("--json")[1])["monitors"]
    assert parse_rfc3339(found["to"]) >= NOW_S - 100 - 22
    board.ledger.close()
