"""``edge-asd enable``: a monitor that was switched off."""

from __future__ import annotations

import click

from edge_asd.cli.options import config_option, json_option, state_dir_option
from edge_asd.cli.switching import by_option, show, switch


@click.command("enable")
@click.argument("monitor")
@by_option
@config_option
@state_dir_option
@json_option
def command(
    *,
    monitor: str,
    by: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Listen to a machine again that was switched off.

    Listening begins anew with sound from now on, once the machine has settled.

    \b
    Example:
        edge-asd enable pump-1
    """
    where = {"by": by, "state_dir": state_dir, "config_file": config_file}
    show(switch("enabled", monitor, {"on": True}, **where), as_json=as_json)
