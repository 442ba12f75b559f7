"""Ctrl-C is an exit code from the first line of ours on, not a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from brokers import PATIENCE_S
from support.processes import environment

from edge_asd.interrupts import INTERRUPTED, leave_at_once, raise_again

# Interrupted at the moment a module is asked for: no waiting, and no two moments of one test.
COMMAND = """
import runpy, signal, sys

class Impatience:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[-1]:
            sys.argv.pop()
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Impatience())
runpy.run_module("edge_asd", run_name="__main__")
"""


def interrupted_at(module, *before):
    return subprocess.run(
        [*before, sys.executable, "-c", COMMAND, "devices", "--help", module],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("module", ["edge_asd.cli", "click", "edge_asd.cli.devices", "numpy"])
def test_ctrl_c_while_the_program_loads_leaves_without_a_word(module):
    result = interrupted_at(module)
    assert (result.returncode, result.stdout, result.stderr) == (INTERRUPTED, "", "")


def test_where_ctrl_c_is_ignored_it_stays_ignored():
    """As in the background jobs of a script."""
    result = interrupted_at("click", "sh", "-c", "trap '' INT; exec \"$@\"", "sh")
    assert (result.returncode, result.stderr) == (0, "")


def test_once_loaded_ctrl_c_can_be_cleaned_up_after():
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        leave_at_once()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise_again()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_of_somebody_else_is_left_alone():
    before = signal.getsignal(signal.SIGINT)
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        leave_at_once()
        raise_again()
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [True]
