"""What systemd and the daemon say of the service, for one screen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import EdgeAsdError, ServiceError
from edge_asd.operators.control import ask_daemon
from edge_asd.service.host import STATE, UNIT, run, systemctl
from edge_asd.state_dir import socket_path

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "UnitFileState",
    "ActiveEnterTimestamp",
    "StatusText",
    "MainPID",
    "NRestarts",
    "WatchdogUSec",
    "WatchdogTimestamp",
    "MemoryCurrent",
    "TasksCurrent",
    "FragmentPath",
    "DropInPaths",
    "NeedDaemonReload",
)
_EXPOSURE = re.compile(r"exposure level for \S+ (\d+(?:\.\d+)?)")
_NO_NUMBER = 1 << 63  # what systemd writes for "not measured"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What is known of the service."""

    active: bool
    properties: Mapping[str, str]
    exposure: float | None
    """As ``systemd-analyze security`` rates it; None where it cannot be asked."""
    monitors: tuple[Mapping[str, Any], ...]
    """As the daemon tells; empty if it does not run."""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "active": self.active,
            "exposure": self.exposure,
            "monitors": list(self.monitors),
            "systemd": dict(self.properties),
        }

    def lines(self) -> list[str]:
        """For people."""
        of = self.properties
        since = of["ActiveEnterTimestamp"] or "never"
        reason = "" if of["Result"] in ("", "success") else f", {of['Result']}"
        restarts = of["NRestarts"] or "0"
        paths = [of["FragmentPath"], *of["DropInPaths"].split()]
        lines = [
            f"{UNIT}  {of['ActiveState']} ({of['SubState']}{reason}) since {since}",
            f"  at boot    {of['UnitFileState'] or 'not installed'}, restarted {restarts} times",
            f"  says       {of['StatusText'] or '-'}",
            f"  watchdog   {of['WatchdogUSec']}, last fed {of['WatchdogTimestamp'] or 'never'}",
            f"  takes      {_megabytes(of['MemoryCurrent'])}, {_count(of['TasksCurrent'])} threads",
            f"  exposure   {'unknown' if self.exposure is None else self.exposure} of 10",
            *(f"  file       {path}" for path in paths if path),
        ]
        if of["NeedDaemonReload"] == "yes":
            lines.append("  the files have changed: systemctl daemon-reload")
        lines += [_monitor(row) for row in self.monitors]
        return lines


def service_status() -> ServiceStatus:
    """Ask systemd and the daemon.

    Raises:
        ServiceError: There is no systemd, or no such service.
    """
    answer = systemctl("show", UNIT, f"--property={','.join(_PROPERTIES)}")
    found = dict(line.partition("=")[::2] for line in answer.splitlines())
    properties = {name: found.get(name, "") for name in _PROPERTIES}
    if properties["LoadState"] == "not-found":
        raise ServiceError(f"{UNIT} is not installed: sudo edge-asd service install")
    active = properties["ActiveState"] == "active"
    return ServiceStatus(active, properties, _exposure(), _monitors() if active else ())


def _exposure() -> float | None:
    try:
        found = _EXPOSURE.search(run(["systemd-analyze", "security", "--no-pager", UNIT]))
    except ServiceError:
        return None
    return float(found[1]) if found else None


def _monitors() -> tuple[Mapping[str, Any], ...]:
    try:
        answer = ask_daemon(socket_path(Path(STATE), {}), {"command": "status"}, lambda *_: None)
    except EdgeAsdError:
        return ()
    return tuple((answer or {}).get("monitors", ()))


def _monitor(row: Mapping[str, Any]) -> str:
    score = "-" if row.get("score") is None else f"{row['score']:.2f}"
    return f"  monitor    {row['monitor']:20} {row['state']:10} score {score:>7}  {row['reason']}"


def _megabytes(text: str) -> str:
    return f"{int(text) / 2**20:.0f} MB" if text.isdigit() and int(text) < _NO_NUMBER else "-"


def _count(text: str) -> str:
    return text if text.isdigit() and int(text) < _NO_NUMBER else "-"
