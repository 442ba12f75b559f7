"""``edge-asd ack``: somebody has taken note of an alert."""

from __future__ import annotations

import json

import click

from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.cli.switching import ask, by_option, user_name
from edge_asd.errors import BusyError


@click.command("ack")
@click.argument("alert", required=False, metavar="[MONITOR|EVENT]")
@by_option
@state_dir_option
@json_option
def command(*, alert: str | None, by: str | None, state_dir: str | None, as_json: bool) -> None:
    r"""Tell everybody that you have taken note of the open alert.

    Names the alert by its monitor or by its id, beginning or end of it; without either the only one
    that is open is meant. The first who does so counts. It needs the running daemon: an alert is
    only open while somebody listens.

    \b
    Example:
        edge-asd ack pump-1
        edge-asd ack 5d2e81 --by anna
    """
    folder = state_dir_path(state_dir)
    status = ask(folder, {"command": "status"})
    if status is None:
        raise BusyError(f"{folder}: no daemon runs with this state directory; start edge-asd run")
    request = {"command": "ack", "by": by or user_name()}
    if alert is not None:
        named = alert in {row["monitor"] for row in status["monitors"]}
        request["monitor" if named else "event"] = alert
    answer = ask(folder, request)
    if answer is None:
        raise BusyError(f"{folder}: the daemon has just stopped; try again")
    if as_json:
        click.echo(json.dumps(answer))
        return
    when = answer["acked_at"][:16].replace("T", " ")
    click.echo(
        f"{answer['monitor']}: alert {answer['event_id']} noted by {answer['acked_by']} at {when}Z"
    )
