"""``edge-asd simulate``: try the alerting chain without waiting for a fault."""

from __future__ import annotations

import json
import os

import click

from edge_asd.cli.bar import Bar
from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.cli.switching import by_option, user_name
from edge_asd.errors import BusyError
from edge_asd.metrics.commands import REHEARSALS
from edge_asd.operators.control import ask_daemon
from edge_asd.operators.orders import LONGEST_S, SHORTEST_S
from edge_asd.state_dir import socket_path

_SECONDS = {"alarm": 30.0, "mic": 30.0, "broker": 45.0, "disk": 60.0}
"""How long each lasts if nothing else is said: long enough to be noticed by what polls."""


@click.command("simulate")
@click.option("--fault", required=True, type=click.Choice(REHEARSALS), help="What is rehearsed.")
@click.option("--monitor", metavar="NAME", help="Of which machine (alarm and mic).")
@click.option(
    "--seconds",
    type=click.FloatRange(SHORTEST_S, LONGEST_S),
    metavar="N",
    help="How long; 30 for alarm and mic, 45 for broker, 60 for disk.",
)
@by_option
@state_dir_option
@json_option
def command(
    *,
    fault: str,
    monitor: str | None,
    seconds: float | None,
    by: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Rehearse your own alerting chain on the running daemon.

    alarm: a whole alert, a warning that becomes an alarm and ends. mic: the notice of a microphone
    that is gone, and state unknown. broker: the daemon leaves the broker without goodbye, so that
    its last will is told (under MQTT 5 the broker waits 10 s with it), and comes back. disk: the
    check of a full disk. Every message says rehearsal: true, and its reason begins with
    "rehearsal:". Listening goes on; what really happens comes first and ends the rehearsal. It ends
    by itself, also when this command or the daemon is killed.

    \b
    Example:
        edge-asd simulate --fault alarm --monitor pump-1 --seconds 20
        edge-asd simulate --fault broker
    """
    folder = state_dir_path(state_dir)
    lasts_s = _SECONDS[fault] if seconds is None else seconds
    request = {"command": "rehearse", "fault": fault, "seconds": lasts_s, "by": by or user_name()}
    if monitor is not None:
        request["monitor"] = monitor
    with Bar(quiet=as_json) as bar:
        answer = ask_daemon(socket_path(folder, os.environ), request, bar.update)
    if answer is None:
        raise BusyError(f"{folder}: no daemon runs with this state directory; start edge-asd run")
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo(f"rehearsal of {fault}: {answer['ended']} after {answer['seconds']:.0f} s")
