"""``edge-asd disable``: a monitor that nobody needs at present."""

from __future__ import annotations

import click

from edge_asd.cli.options import config_option, json_option, state_dir_option
from edge_asd.cli.switching import by_option, show, switch


@click.command("disable")
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
    r"""Switch a monitor off until it is switched on again, over restarts.

    Nothing is scored or learned meanwhile, and the ledger says so. An alert that is open ends. For
    maintenance, inhibit with --minutes is safer: it ends by itself.

    \b
    Example:
        edge-asd disable pump-1
    """
    where = {"by": by, "state_dir": state_dir, "config_file": config_file}
    show(switch("enabled", monitor, {"on": False}, **where), as_json=as_json)
