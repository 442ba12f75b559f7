"""``edge-asd status``: what a running daemon knows."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.cli.switching import switches_text
from edge_asd.errors import BusyError
from edge_asd.operators.control import ask_daemon
from edge_asd.state_dir import socket_path


@click.command("status")
@state_dir_option
@json_option
def command(*, state_dir: str | None, as_json: bool) -> None:
    r"""Show the state of every monitor of the running daemon, and what its network runs on.

    \b
    Example:
        edge-asd status
        edge-asd status --json | jq '.monitors[].state'
    """
    folder = state_dir_path(state_dir)
    answer = ask_daemon(socket_path(folder, os.environ), {"command": "status"}, lambda *_: None)
    if answer is None:
        raise BusyError(f"{folder}: no daemon runs with this state directory; start edge-asd run")
    if as_json:
        click.echo(json.dumps(answer))
        return
    for monitor in answer["monitors"]:
        score = "-" if monitor["score"] is None else f"{monitor['score']:.2f}"
        threshold = "-" if monitor["threshold"] is None else f"{monitor['threshold']:.2f}"
        told = [text for text in (_event_text(monitor), switches_text(monitor)) if text]
        if monitor["state"] != "inhibited":
            told.insert(0, monitor["reason"])
        click.echo(
            f"{monitor['monitor']:20} {monitor['state']:10} score {score:>7} of {threshold:>6}  "
            f"{'; '.join(text for text in told if text)}".rstrip()
        )
    if "engine" in answer:  # a daemon of an earlier version does not say
        click.echo(_engine_text(answer["engine"]))


def _engine_text(engine: dict[str, Any]) -> str:
    reason = f": {engine['reason']}" if engine["reason"] else ""
    return f"{engine['bundle']} on {engine['engine']} {engine['precision']}{reason}"


def _event_text(monitor: dict[str, Any]) -> str:
    if monitor["event_id"] is None:
        return ""
    noted = f", noted by {monitor['acked_by']}" if monitor["acked_by"] else ""
    return f"alert {monitor['event_id']}{noted}"
