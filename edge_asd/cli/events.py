"""``edge-asd events``: what was raised."""

from __future__ import annotations

import time

import click

from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.publish.store import FILE_NAME, EventStore


@click.command("events")
@click.option("--days", type=click.FloatRange(min=0), help="Only the last so many days.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@state_dir_option
@json_option
def command(*, days: float | None, limit: int | None, state_dir: str | None, as_json: bool) -> None:
    r"""List the steps (new, update, end) of every alert, oldest first.

    \b
    Example:
        edge-asd events --days 7
        edge-asd events --json | jq 'select(.type == "new")'
    """
    folder = state_dir_path(state_dir)
    if not (folder / FILE_NAME).exists():
        if not as_json:
            click.echo(f"no events: nothing has run with {folder} yet")
        return
    store = EventStore(folder, read_only=True)
    since = None if days is None else time.time() - days * 86400.0
    messages = store.events(since, limit)
    store.close()
    if not messages and not as_json:
        click.echo("no events")
    for message in messages:
        if as_json:
            click.echo(message.to_json())
            continue
        click.echo(
            f"{message.updated_at}  {message.source:16} {message.type.value:6} "
            f"{message.severity.value:7} score {message.score or float('nan'):8.2f} of "
            f"{message.threshold or float('nan'):6.2f}  {message.duration_s or 0:6.0f} s  "
            f"{message.id}  {message.reason}"
        )
