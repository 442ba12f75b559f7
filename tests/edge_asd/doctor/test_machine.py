"""Nodes, groups, clock and heat, as a machine shows them in its files."""

from __future__ import annotations

import os
import stat
import time

import pytest

from edge_asd.doctor.findings import Status
from edge_asd.doctor.machine import Account, examine_clock, examine_heat, examine_nodes
from edge_asd.doctor.state import examine_state

NOBODY = Account("edge-asd", 12_345, frozenset({12_345}))


def test_nodes_that_the_daemon_may_not_open_are_named_with_their_group(tmp_path):
    (tmp_path / "snd").mkdir()
    node = tmp_path / "snd" / "pcmC0D0c"
    node.touch(mode=0o660)
    sound, gpu = examine_nodes(NOBODY, tmp_path)
    assert sound.status is Status.FAILED
    assert str(node) in sound.text
    assert "usermod -aG" in sound.remedy
    assert gpu.status is Status.SKIPPED
    member = Account("edge-asd", 12_345, frozenset({node.stat().st_gid}))
    assert next(examine_nodes(member, tmp_path)).status is Status.OK
    assert next(examine_nodes(Account("root", 0, frozenset()), tmp_path)).status is Status.OK


def program(folder, name, says):
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("timedatectl", "chronyc", "status"),
    [
        ("yes", None, Status.OK),
        ("no", None, Status.WARNING),
        (None, "A,1,2,3,Normal", Status.OK),
        (None, "A,1,2,3,Not synchronised", Status.WARNING),
        ("no", "A,1,2,3,Normal", Status.OK),
        (None, None, Status.SKIPPED),
    ],
)
def test_the_clock_is_believed_to_whoever_sets_it(tmp_path, timedatectl, chronyc, status):
    for name, says in (("timedatectl", timedatectl), ("chronyc", chronyc)):
        if says is not None:
            program(tmp_path, name, says)
    (found,) = examine_clock(time.time(), tmp_path / "flag", programs=str(tmp_path))
    assert found.status is status
    (tmp_path / "flag").touch()
    assert next(examine_clock(time.time(), tmp_path / "flag")).status is Status.OK
    assert next(examine_clock(1000.0, tmp_path / "flag")).status is Status.FAILED


def test_heat_and_throttling_are_seen(tmp_path):
    assert next(examine_heat(tmp_path)).status is Status.SKIPPED
    thermal = tmp_path / "class" / "thermal"
    for folder, files in {
        "thermal_zone0": {"type": "CPU-therm", "temp": "61500"},
        "thermal_zone1": {"type": "broken", "temp": "-256000"},
        "cooling_device0": {"type": "pwm-fan", "cur_state": "3"},
        "cooling_device1": {"type": "cpufreq-cpu0", "cur_state": "0"},
    }.items():
        (thermal / folder).mkdir(parents=True)
        for name, text in files.items():
            (thermal / folder / name).write_text(text + "\n")
    (found,) = examine_heat(tmp_path)
    assert (found.status, found.text) == (Status.OK, "62 °C (CPU-therm)")
    (thermal / "cooling_device1" / "cur_state").write_text("2\n")
    (found,) = examine_heat(tmp_path)
    assert found.status is Status.WARNING
    assert "slowed down: cpufreq-cpu0" in found.text
    (thermal / "cooling_device1" / "cur_state").write_text("0\n")
    (thermal / "thermal_zone0" / "temp").write_text("91000\n")
    assert next(examine_heat(tmp_path)).status is Status.WARNING


def test_a_state_directory_is_judged_by_owner_mode_and_databases(tmp_path):
    me = Account("me", os.geteuid(), frozenset())
    assert next(examine_state(tmp_path / "none", me)).status is Status.SKIPPED
    state = tmp_path / "state"
    state.mkdir(mode=0o750)
    assert next(examine_state(state, me)).status is Status.OK
    state.chmod(0o755)
    open_to_all = next(examine_state(state, me))
    assert (open_to_all.status, "chmod 0750" in open_to_all.remedy) == (Status.WARNING, True)
    assert next(examine_state(state, NOBODY)).status is Status.FAILED
    (state / "events.db").write_bytes(b"not a database at all" * 100)
    damaged = list(examine_state(state, me))[1]
    assert (damaged.name, damaged.status) == ("state: events.db", Status.FAILED)
    assert stat.S_IMODE(state.stat().st_mode) == 0o755  # looking changes nothing
