"""``edge-asd ledger``: what became of every second."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path

import click

from edge_asd.books.ledger_file import FILE_NAME
from edge_asd.books.ledger_view import LedgerReader
from edge_asd.cli.ledger_text import Kept, json_of, text_of
from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.errors import UsageError

_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([mhdw])")
_END_S = 2**40  # far beyond every date


@click.command("ledger")
@click.option(
    "--since",
    default="7d",
    show_default=True,
    metavar="WHEN",
    help="An age (90m, 12h, 7d, 4w) or a date (2026-11-20, 2026-11-20T06:00; local unless it has "
    "a zone).",
)
@click.option("--monitor", metavar="NAME", help="Only this monitor.")
@click.option("--by", type=click.Choice(["day"]), help="A line a day, of the local time zone.")
@state_dir_option
@json_option
def command(
    *, since: str, monitor: str | None, by: str | None, state_dir: str | None, as_json: bool
) -> None:
    r"""Show what became of every second: scored, or why not.

    A second is scored when a window that was scored covers it. Times are local, those of --json
    are UTC. The newest half minute of a running daemon is not in it yet.

    \b
    Example:
        edge-asd ledger
        edge-asd ledger --since 30d --by day --monitor pump-1
        edge-asd ledger --json | jq '.monitors[] | {monitor, coverage}'
    """
    now_s = time.time()
    begin_s = int(parse_since(since, now_s))
    folder = state_dir_path(state_dir)
    exists = (folder / FILE_NAME).exists()
    kept = _read(folder, monitor, begin_s) if exists else []
    if as_json:
        click.echo(json.dumps(json_of(kept, by_day=by == "day")))
        return
    if not exists:
        click.echo(f"nothing recorded: nothing has run with {folder} yet")
    elif not kept:
        click.echo(f"nothing recorded since {since}")
    for number, one in enumerate(kept):
        if number:
            click.echo()
        for line in text_of(one, now_s, by_day=by == "day"):
            click.echo(line)


def _read(folder: Path, monitor: str | None, begin_s: int) -> list[Kept]:
    reader = LedgerReader(folder)
    known = reader.monitors()
    if monitor is not None and monitor not in known:
        raise UsageError(f"the ledger has no monitor {monitor!r}; it has: {', '.join(known)}")
    names = known if monitor is None else [monitor]
    found = [Kept(name, reader.passages(name, begin_s, _END_S)) for name in names]
    reader.close()
    return [kept for kept in found if kept.passages]


def parse_since(text: str, now_s: float) -> float:
    """Wall time of an age or a date.

    Raises:
        UsageError: It is neither.

    >>> parse_since("90m", 6000.0)
    600.0
    """
    age = _AGE.fullmatch(text.strip())
    if age:
        return now_s - float(age[1]) * _UNITS_S[age[2]]
    try:
        # Python 3.10 does not know the Z.
        return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip())).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--since: {text!r} is neither an age such as 7d or 12h nor a date such as 2026-11-20"
        ) from error
