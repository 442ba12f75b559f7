"""``edge-asd reload``: the running daemon reads its configuration again."""

from __future__ import annotations

import json
import os

import click

from edge_asd.cli.bar import Bar
from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.errors import BusyError
from edge_asd.operators.control import ask_daemon
from edge_asd.state_dir import socket_path

_SHOWN = ("added", "removed", "changed", "kept", "relearned", "sections")


@click.command("reload")
@state_dir_option
@json_option
def command(*, state_dir: str | None, as_json: bool) -> None:
    r"""Have the running daemon read its configuration again.

    All or nothing: what cannot be used is refused, and the daemon goes on as before. A monitor
    whose section is the same misses no sound. With another bundle or engine, everything is made
    ready beside the one that scores: every monitor is learned again from its own normal sound, and
    all change over between two windows. Another name of the device needs a restart. SIGHUP and
    "systemctl reload edge-asd" do the same.

    \b
    Example:
        edge-asd reload
        edge-asd check && edge-asd reload --json
    """
    folder = state_dir_path(state_dir)
    with Bar(quiet=as_json, after_s=1.0) as bar:
        path = socket_path(folder, os.environ)
        answer = ask_daemon(path, {"command": "reload"}, bar.update)
    if answer is None:
        raise BusyError(f"{folder}: no daemon runs with this state directory; start edge-asd run")
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo("reloaded" if answer["applied"] else "nothing has changed")
    if answer["serving"]:
        click.echo(f"  serving: {answer['serving']}")
    for key in _SHOWN:
        if answer[key]:
            click.echo(f"  {key}: {', '.join(answer[key])}")
