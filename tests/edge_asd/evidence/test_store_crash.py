"""Killed at every step that touches the disk: the next start is whole and within its quota."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from support.crashpoints import build_shim, run_crashes

PROCESS = Path(__file__).with_name("crash_process.py")

# What may be there, and what is pinned, before the operation has come to its point and after.
OUTCOMES = {
    "write": [([2, 3], []), ([2, 3, 9], [])],
    "retention": [
        ([2, 3, 4, 5], [2]),
        ([2, 4, 5], [2]),
        ([2, 5], [2]),
        ([2, 5, 9], [2]),
    ],
    "prune": [([0, 1, 5], [1]), ([1, 5], [1])],
    "start": [([3, 4], [])],
    "pin": [([2, 3], []), ([2, 3], [2])],
    "unpin": [([2, 3], [2]), ([2, 3], [])],
}


@pytest.fixture
def folder(tmp_path):
    """In memory where there is such a place: a killed process does not care, and it is fast."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    library = build_shim(tmp_path_factory.mktemp("shim"))
    if library is None:
        pytest.skip("there is no C compiler to make system calls countable with")
    return library


def assert_whole_after_every_crash(scenario, folder, least_steps, shim=None):
    lines = [line.split(" ", 2) for line in run_crashes(PROCESS, scenario, folder, shim=shim)]
    outcomes = OUTCOMES[scenario]
    seen = [outcomes.index(tuple(json.loads(found))) for _, _, found in lines]
    assert seen == sorted(seen), "a later crash has done less"
    assert (seen[0], seen[-1]) == (0, len(outcomes) - 1)
    assert [how for _, how, _ in lines] == ["killed"] * (len(lines) - 1) + ["done"]
    assert len(lines) > least_steps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "least_steps"),
    [("write", 25), ("retention", 50), ("prune", 20), ("start", 25), ("pin", 4), ("unpin", 3)],
)
def test_killed_at_every_call(scenario, least_steps, folder):
    assert_whole_after_every_crash(scenario, folder, least_steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "least_steps"), [("write", 30), ("retention", 60), ("start", 40)]
)
def test_killed_at_every_system_call_those_of_the_index_included(
    scenario, least_steps, folder, shim
):
    assert_whole_after_every_crash(scenario, folder, least_steps, shim)
