"""The computer: who may open its devices, its clock, its temperature."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_asd.clock import CLOCK_FLOOR_S, TIMESYNC_FLAG
from edge_asd.doctor.findings import Finding, failed, ok, skipped, warning
from edge_asd.service.host import USER
from edge_asd.service.nodes import find_nodes

HOT_C = 85.0
_ASK_S = 5.0
_THROTTLES = ("cpufreq", "devfreq", "thermal-cpufreq", "thermal-devfreq")


@dataclass(frozen=True, slots=True)
class Account:
    """Who the daemon runs as."""

    name: str
    uid: int
    groups: frozenset[int]


def service_account(supplementary: Sequence[str] = ()) -> Account:
    """The service's user where it exists, else whoever asks.

    Args:
        supplementary: Groups that the unit adds.
    """
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        groups = frozenset({*os.getgroups(), os.getegid()})
        return Account(_name_of(os.geteuid()), os.geteuid(), groups)
    member = {group.gr_gid for group in grp.getgrall() if USER in group.gr_mem}
    added = {group.gr_gid for group in grp.getgrall() if group.gr_name in supplementary}
    return Account(USER, entry.pw_uid, frozenset({entry.pw_gid, *member, *added}))


def examine_nodes(account: Account, dev: Path = Path("/dev")) -> Iterator[Finding]:
    """Whether the daemon may open microphones and, where there is one, the GPU.

    Args:
        account: Who it runs as.
        dev: Where device nodes are.
    """
    yield _examine("device nodes: sound", sorted((dev / "snd").glob("pcm*c")), account)
    nodes = find_nodes(dev)
    gpu = [dev / Path(node).relative_to("/dev") for node in (*nodes.nvidia, *nodes.render)]
    yield _examine("device nodes: GPU", gpu, account)


def _examine(name: str, nodes: Sequence[Path], account: Account) -> Finding:
    if not nodes:
        return skipped(name, "there are none")
    closed = [node for node in nodes if not _may_open(node, account)]
    if not closed:
        return ok(name, f"{account.name} may open all {len(nodes)}")
    groups = sorted({_group_of(node) for node in closed})
    text = f"{account.name} may not open {', '.join(map(str, closed[:4]))}"
    remedy = f"sudo edge-asd service install; without systemd: sudo usermod -aG {','.join(groups)} "
    return failed(name, text, f"{remedy}{account.name}, and log in again")


def _may_open(node: Path, account: Account) -> bool:
    if account.uid == 0:
        return True
    try:
        found = node.stat()
    except OSError:
        return False
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IRUSR)
    if found.st_gid in account.groups:
        return bool(found.st_mode & stat.S_IRGRP)
    return bool(found.st_mode & stat.S_IROTH)


def _group_of(node: Path) -> str:
    try:
        return node.group()
    except (OSError, KeyError):
        return "audio"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def examine_clock(
    now_s: float, flag: Path = Path(TIMESYNC_FLAG), programs: str | None = None
) -> Iterator[Finding]:
    """Whether the clock is set, as those say who set it.

    Args:
        now_s: Wall time.
        flag: What systemd-timesyncd leaves once it synchronised.
        programs: Where ``timedatectl`` and ``chronyc`` are looked for; None for the usual path.
    """
    name = "clock"
    shown = datetime.fromtimestamp(now_s, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    remedy = "sudo timedatectl set-ntp true, or set up chrony"
    if now_s < CLOCK_FLOOR_S:
        yield failed(name, f"{shown}: it was never set", remedy)
        return
    if flag.exists():
        yield ok(name, f"{shown}, synchronised by systemd-timesyncd")
        return
    said = _ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"], programs)
    tracking = _ask(["chronyc", "-c", "tracking"], programs)
    if said == "yes" or tracking.endswith(("Normal", "Insert second", "Delete second")):
        by = "chrony" if tracking else "timedatectl"
        yield ok(name, f"{shown}, synchronised, says {by}")
    elif said == "no" or tracking:
        yield warning(name, f"{shown}, not synchronised: events may carry a wrong time", remedy)
    else:
        yield skipped(name, f"{shown}; nobody here can tell whether it is synchronised")


def _ask(command: Sequence[str], programs: str | None) -> str:
    program = shutil.which(command[0], path=programs)
    if program is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 - one of two constants
            [program, *command[1:]], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def examine_heat(sysfs: Path = Path("/sys")) -> Iterator[Finding]:
    """The hottest sensor, and whether the processor is slowed down because of heat.

    Args:
        sysfs: ``/sys``.
    """
    zones = sorted((sysfs / "class" / "thermal").glob("thermal_zone*"))
    known = [(_number(zone / "temp") / 1000.0, _text(zone / "type")) for zone in zones]
    known = [(degrees, kind) for degrees, kind in known if degrees > -40.0]
    if not known:
        yield skipped("temperature", "no sensor is shown")
        return
    degrees, kind = max(known)
    text = f"{degrees:.0f} °C ({kind})"
    remedy = "clean the fan, give it air, or choose a lower power mode (nvpmodel)"
    slowed = sorted(
        _text(device / "type")
        for device in (sysfs / "class" / "thermal").glob("cooling_device*")
        if _text(device / "type").startswith(_THROTTLES) and _number(device / "cur_state") > 0
    )
    if slowed:
        yield warning("temperature", f"{text}, slowed down: {', '.join(slowed)}", remedy)
    elif degrees >= HOT_C:
        yield warning("temperature", text, remedy)
    else:
        yield ok("temperature", text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float:
    """A number of sysfs; far below zero where there is none."""
    try:
        return float(_text(path))
    except ValueError:
        return -1e6
