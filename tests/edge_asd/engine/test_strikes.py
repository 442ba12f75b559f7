"""What died inside a plan is remembered across the end of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from edge_asd.engine.strikes import DAY_S, Inside, Strikes
from edge_asd.errors import EngineError

NOW = 1_700_000_000.0


@pytest.fixture
def strikes(tmp_path):
    return Strikes(tmp_path / "a.strikes", "it", wall=lambda: NOW)


def at(strikes, later_s):
    return Strikes(strikes.path, "it", wall=lambda: NOW + later_s)


def test_two_within_a_day_are_enough_and_one_is_not(strikes):
    assert strikes.barred() == ""
    strikes.add("it died")
    assert strikes.barred() == ""
    at(strikes, DAY_S - 1).add("it died")
    assert "it died, 2 times within a day" in at(strikes, DAY_S - 1).barred()
    assert str(strikes.path) in at(strikes, DAY_S - 1).barred()  # the remedy
    assert at(strikes, DAY_S + 1).barred() == ""


def test_what_is_final_is_enough_by_itself_until_the_day_is_over(strikes):
    strikes.add("refused", final=True)
    assert "refused; tried again after a day" in strikes.barred()
    assert at(strikes, DAY_S + 1).barred() == ""


def test_a_clock_that_was_set_back_does_not_bar_for_ever(strikes):
    strikes.add("refused", final=True)
    assert at(strikes, -2 * DAY_S).barred() == ""


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"at": 1}]', '{"at": 1}', '[{"at": "x"}]'])
def test_a_damaged_file_remembers_nothing_and_is_written_anew(strikes, text):
    strikes.path.write_text(text)
    assert strikes.barred() == ""
    strikes.add("refused", final=True)
    assert strikes.barred()


def test_a_file_stays_small_whatever_happens(strikes):
    for _ in range(50):
        strikes.add("x" * 100)
    assert strikes.path.stat().st_size < 3000


def test_a_disk_that_refuses_is_survived(tmp_path, caplog):
    (tmp_path / "folder").write_text("a file")
    strikes = Strikes(tmp_path / "folder" / "a.strikes", "it")
    strikes.add("refused", final=True)
    inside = Inside(tmp_path / "folder" / "a.inside", strikes)
    with inside():
        pass
    inside.close()
    assert strikes.barred() == ""
    assert "not remembered" in caplog.text


_DIES = """
import os, signal, sys
from pathlib import Path
from edge_asd.engine.strikes import Inside, Strikes
folder = Path(sys.argv[1])
inside = Inside(folder / "a.inside", Strikes(folder / "a.strikes", "it"))
with inside():
    if sys.argv[2] == "inside":
        os.kill(os.getpid(), signal.SIGSEGV)
os.kill(os.getpid(), signal.SIGKILL)
"""


def die(folder, where):
    ended = subprocess.run([sys.executable, "-c", _DIES, folder, where], check=False)
    assert ended.returncode in (-signal.SIGSEGV, -signal.SIGKILL)


def test_who_died_inside_gets_a_strike_at_the_next_start_and_who_died_outside_none(tmp_path):
    strikes = Strikes(tmp_path / "a.strikes", "it")
    for where, number in (("inside", 1), ("outside", 1), ("inside", 2)):
        die(tmp_path, where)
        Inside(tmp_path / "a.inside", strikes).close()
        assert strikes.path.read_text().count("died in it") == number
        Inside(tmp_path / "a.inside", strikes).close()  # counted once
        assert strikes.path.read_text().count("died in it") == number
    assert "2 times within a day" in strikes.barred()
    with pytest.raises(EngineError, match="the process died in it, 2 times"):
        strikes.inside()


def test_a_second_process_that_looks_on_takes_nobody_for_dead(tmp_path):
    strikes = Strikes(tmp_path / "a.strikes", "it")
    first = Inside(tmp_path / "a.inside", strikes)
    with first():
        second = Inside(tmp_path / "a.inside", strikes)
        with second():
            pass
        second.close()
        assert os.pread(first._file, 1, 0) == b"1"
    first.close()
    Inside(tmp_path / "a.inside", strikes).close()
    assert not strikes.path.exists()


def test_an_error_that_leaves_by_an_exception_is_no_death(tmp_path):
    strikes = Strikes(tmp_path / "a.strikes", "it")
    inside = Inside(tmp_path / "a.inside", strikes)
    with pytest.raises(ValueError, match="no"), inside():
        raise ValueError("no")
    inside.close()
    Inside(tmp_path / "a.inside", strikes).close()
    assert not strikes.path.exists()
