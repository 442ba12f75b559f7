"""``edge-asd inhibit``: maintenance of a machine."""

from __future__ import annotations

import click

from edge_asd.cli.options import config_option, json_option, state_dir_option
from edge_asd.cli.switching import by_option, show, switch
from edge_asd.errors import UsageError


@click.command("inhibit")
@click.argument("monitor")
@click.option(
    "--minutes", type=float, metavar="N", help="End by itself after so long; a week most."
)
@click.option("--off", is_flag=True, help="The maintenance is over.")
@by_option
@config_option
@state_dir_option
@json_option
def command(
    *,
    monitor: str,
    minutes: float | None,
    off: bool,
    by: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Say that there is maintenance at a machine.

    Nothing is scored or learned meanwhile, and the ledger says so. An alert that is open ends, so
    that nobody waits for it; what was wrong before is found again afterwards. Listening begins anew
    with sound from after the maintenance, once the machine has settled. Without --minutes it lasts
    until --off, over restarts.

    \b
    Example:
        edge-asd inhibit pump-1 --minutes 45
        edge-asd inhibit pump-1 --off
    """
    if off and minutes is not None:
        raise UsageError("give either --minutes or --off")
    wanted = {"minutes": minutes} if minutes is not None else {"on": not off}
    where = {"by": by, "state_dir": state_dir, "config_file": config_file}
    show(switch("inhibit", monitor, wanted, **where), as_json=as_json)
