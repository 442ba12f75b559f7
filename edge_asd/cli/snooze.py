"""``edge-asd snooze``: a monitor that is silent for a while."""

from __future__ import annotations

import click

from edge_asd.cli.options import config_option, json_option, state_dir_option
from edge_asd.cli.switching import by_option, show, switch
from edge_asd.errors import UsageError


@click.command("snooze")
@click.argument("monitor")
@click.option("--minutes", type=float, metavar="N", help="How long; a week at most.")
@click.option("--off", is_flag=True, help="Be silent no longer.")
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
    r"""Raise no alert for a while.

    Scoring and evidence go on, and alerts are recorded, but none is raised: topic alarm stays OFF.
    An alert that is still high when the time is over is raised then; one that is over by then is
    only in the history (edge-asd events). An open alert is silenced as well; its end is told.

    \b
    Example:
        edge-asd snooze pump-1 --minutes 60
        edge-asd snooze pump-1 --off
    """
    if off == (minutes is not None):
        raise UsageError("give either --minutes N or --off")
    wanted = {"on": False} if off else {"minutes": minutes}
    where = {"by": by, "state_dir": state_dir, "config_file": config_file}
    show(switch("snooze", monitor, wanted, **where), as_json=as_json)
