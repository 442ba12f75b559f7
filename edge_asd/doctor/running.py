"""The running daemon, as it tells itself, and as systemd sees it."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_asd.config import Config
from edge_asd.doctor.findings import Finding, failed, ok, skipped, warning
from edge_asd.errors import EdgeAsdError, ServiceError
from edge_asd.operators.control import ask_daemon
from edge_asd.secrets import read_secret
from edge_asd.service.status import service_status
from edge_asd.state_dir import socket_path
from edge_asd.web.access import listen_address, read_token

_HTTP_S = 5.0
_BOOTED = Path("/run/systemd/system")


def daemon_status(state_dir: Path, environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What a daemon with this state directory says of its monitors, by name; None without one.

    Raises:
        EdgeAsdError: It answers with an error.
    """
    path = socket_path(state_dir, environ)
    answer = ask_daemon(path, {"command": "status"}, lambda *_: None)
    return None if answer is None else {row["monitor"]: row for row in answer["monitors"]}


def examine_daemon(
    config: Config, running: Mapping[str, Any] | None, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Ask its monitors, its probes and its checks.

    Args:
        config: The operator's file.
        running: What it says of its monitors; None if none runs.
        environ: Of the process: systemd's credentials.
    """
    if running is None:
        yield skipped("daemon", "none runs with this state directory")
        return
    for name, row in running.items():
        text = f"{row['state']} {row['reason']}".strip()
        if row["state"] == "unknown":
            yield warning(f"daemon: {name}", text, "look at its source, above")
        else:
            yield ok(f"daemon: {name}", text)
    for path in ("/livez", "/readyz", "/healthz"):
        try:
            status, body = fetch(config, path, environ)
        except (OSError, http.client.HTTPException, EdgeAsdError) as error:
            remedy = "is http.listen the one that it was started with? edge-asd reload"
            yield failed(f"daemon: {path}", f"{config.http.listen}: {error}", remedy)
            return
        if path != "/healthz":
            text = body.decode(errors="replace").strip()
            good = status == http.client.OK
            name = f"daemon: {path}"
            yield (
                ok(name, text)
                if good
                else failed(name, text, "see the log: journalctl -u edge-asd")
            )
        else:
            yield from _checks(body)


def _checks(body: bytes) -> Iterator[Finding]:
    """Everything that the daemon itself complains about."""
    try:
        checks = json.loads(body)["checks"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        yield failed("daemon: /healthz", "not an answer of edge-asd", "correct http.listen")
        return
    bad = [(name, c) for name, c in checks if c["status"] in ("warning", "critical")]
    for name, check in bad:
        yield warning(f"daemon: {name}", f"{check['status']}: {check['text']}", "see its text")
    if not bad:
        yield ok("daemon: /healthz", f"{len(checks)} checks, none complains")


def fetch(config: Config, path: str, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """Ask the HTTP endpoint of a daemon on this machine; status and body.

    Raises:
        OSError: Nobody answers.
        HTTPException: What answers speaks something else.
        EdgeAsdError: The token cannot be read.
    """
    address, port = listen_address(config.http.listen, read_token(config.http.token_file, environ))
    token = read_secret(config.http.token_file, environ, key="http.token_file")
    local = {4: "127.0.0.1", 6: "::1"}[address.version] if address.is_unspecified else str(address)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection(local, port, timeout=_HTTP_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def examine_service() -> Iterator[Finding]:
    """What systemd says of the unit."""
    name = "service"
    if not _BOOTED.exists():
        yield skipped(name, "systemd does not run here")
        return
    try:
        status = service_status()
    except ServiceError as error:
        yield warning(name, str(error), "sudo edge-asd service install")
        return
    of = status.properties
    state = f"{of['ActiveState']} ({of['SubState']}), restarted {of['NRestarts'] or 0} times"
    if of["ActiveState"] == "failed":
        yield failed(name, f"{state}: {of['Result']}", "journalctl -u edge-asd -n 50")
    elif not status.active:
        yield warning(name, state, "sudo systemctl start edge-asd")
    else:
        yield ok(name, f"{state}, watchdog {of['WatchdogUSec'] or 'off'}")
    if of["NeedDaemonReload"] == "yes":
        yield warning("service: unit", "its files have changed", "sudo systemctl daemon-reload")
    if status.active and of["WatchdogUSec"] in ("", "0", "infinity"):
        text = "nobody notices if the daemon hangs"
        yield warning("service: watchdog", text, "sudo edge-asd service install")


def supplementary_groups() -> tuple[str, ...]:
    """Groups that the unit adds to those of its user, as its drop-ins say."""
    if not _BOOTED.exists():
        return ()
    found: list[str] = []
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        for path in sorted(Path(folder, "edge-asd.service.d").glob("*.conf")):
            found.extend(_groups_in(path))
    return tuple(found)


def _groups_in(path: Path) -> list[str]:
    if not os.access(path, os.R_OK):
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    values = [line.partition("=")[2] for line in lines if line.startswith("SupplementaryGroups=")]
    return [group for value in values for group in value.split()]
