"""``edge-asd events``: what was raised, and the evidence of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from edge_asd.cli.events_export import export
from edge_asd.cli.events_find import (
    Given,
    Story,
    find_story,
    read_steps,
    read_stories,
    why_without,
)
from edge_asd.cli.events_text import json_of, line_of, text_of
from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.errors import DataError, StorageError, UsageError
from edge_asd.evidence.reader import EvidenceReader
from edge_asd.evidence.records import Kept
from edge_asd.profile.profile_file import Confirmed, confirmed_in
from edge_asd.publish.store import FILE_NAME


@click.group("events", invoke_without_command=True)
@click.option("--days", type=click.FloatRange(min=0), help="Only the last so many days.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@state_dir_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    days: float | None,
    limit: int | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""List the steps (new, update, end) of every alert and microphone fault, oldest first.

    The column before the id says whether there is evidence: sound, picture and details.

    \b
    Example:
        edge-asd events --days 7
        edge-asd events show last
        edge-asd events --json | jq 'select(.type == "new")'
    """
    ctx.obj = Given(state_dir, as_json)
    if ctx.invoked_subcommand is not None:
        if days is not None or limit is not None:
            raise UsageError(
                f"--days and --limit before {ctx.invoked_subcommand} say nothing; write them "
                "after it where it has them"
            )
        return
    _list(state_dir_path(state_dir), days, limit, as_json=as_json)


def _list(folder: Path, days: float | None, limit: int | None, *, as_json: bool) -> None:
    since = None if days is None else time.time() - days * 86400.0
    steps = read_steps(folder, since, limit)
    if as_json:
        for step in steps:
            click.echo(step.to_json())
        return
    if not steps:
        nothing = f"no events: nothing has run with {folder} yet"
        click.echo("no events" if (folder / FILE_NAME).exists() else nothing)
        return
    try:
        kept = EvidenceReader(folder).kept()
    except StorageError as error:  # what was raised matters more
        click.echo(f"edge-asd: evidence is not shown: {error}", err=True)
        kept = {}
    for step in steps:
        click.echo(line_of(step, kept))


@command.command("show")
@click.argument("event_id", metavar="ID")
@state_dir_option
@json_option
@click.pass_obj
def show(given: Given, *, event_id: str, state_dir: str | None, as_json: bool) -> None:
    r"""Show everything about one alert: its steps, scores, and where its evidence lies.

    IDs may be cut short at either end; 'last' is the newest alert.

    \b
    Example:
        edge-asd events show last
        edge-asd events show 01a0c450
        edge-asd events show last --json | jq -r '.evidence.files[].path'
    """
    folder, story = _found(given, state_dir, event_id)
    missing = why_without(folder, story)
    confirmed = confirmed_in(folder).get(story.monitor, Confirmed()).of(story.id)
    if as_json or given.as_json:
        click.echo(json.dumps(json_of(story, missing, confirmed), ensure_ascii=False))
        return
    for line in text_of(story, missing, confirmed):
        click.echo(line)


@command.command("pin")
@click.argument("event_ids", metavar="ID...", nargs=-1, required=True)
@state_dir_option
@click.pass_obj
def pin(given: Given, *, event_ids: tuple[str, ...], state_dir: str | None) -> None:
    r"""Keep the evidence of alerts, whatever its age and however little space there is.

    Pinned evidence counts towards the quota: what comes later has the less. A running daemon heeds
    it at once.

    \b
    Example:
        edge-asd events pin last
        edge-asd events pin 01a0c450 01a0c487
    """
    folder = _folder(given, state_dir)
    reader = EvidenceReader(folder)
    for story, kept in _with_evidence(folder, event_ids):
        if not reader.pin(kept):
            raise DataError(f"{story.id}: its evidence has just been deleted")
        click.echo(f"pinned {story.id} of {story.monitor}: its evidence stays")
    pinned = [kept for kept in reader.kept().values() if kept.pinned]
    size = sum(kept.bytes for kept in pinned) / 1e6
    click.echo(f"{len(pinned)} pinned, {size:.1f} MB of the quota for evidence")


@command.command("unpin")
@click.argument("event_ids", metavar="ID...", nargs=-1, required=True)
@state_dir_option
@click.pass_obj
def unpin(given: Given, *, event_ids: tuple[str, ...], state_dir: str | None) -> None:
    r"""Let the evidence of alerts be deleted again once it is old or space is short.

    \b
    Example:
        edge-asd events unpin 01a0c450
    """
    folder = _folder(given, state_dir)
    reader = EvidenceReader(folder)
    for story, kept in _with_evidence(folder, event_ids):
        reader.unpin(kept)
        click.echo(f"unpinned {story.id} of {story.monitor}: it goes when its time has come")


command.add_command(export)


def _folder(given: Given, state_dir: str | None) -> Path:
    return state_dir_path(state_dir or given.state_dir)


def _found(given: Given, state_dir: str | None, event_id: str) -> tuple[Path, Story]:
    folder = _folder(given, state_dir)
    return folder, find_story(read_stories(folder), event_id)


def _with_evidence(folder: Path, event_ids: tuple[str, ...]) -> list[tuple[Story, Kept]]:
    """All of them, before anything is changed."""
    stories = read_stories(folder)
    found = []
    for event_id in event_ids:
        story = find_story(stories, event_id)
        if story.kept is None:
            raise DataError(f"{story.id}: has no evidence: {why_without(folder, story)}")
        found.append((story, story.kept))
    return found
