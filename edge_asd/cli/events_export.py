"""``edge-asd events export``: alerts with their evidence, to be taken along."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge_asd.cli.events_find import Given, Story, find_story, read_stories
from edge_asd.cli.options import json_option, state_dir_option, state_dir_path
from edge_asd.clock import rfc3339
from edge_asd.errors import DataError, UsageError
from edge_asd.evidence.exporting import Contents, FolderTarget, Target, ZipTarget, contents_of

STEPS = "steps.jsonl"


@click.command("export")
@click.argument("event_ids", metavar="[ID]...", nargs=-1)
@click.option("--days", type=click.FloatRange(min=0), help="All of the last so many days.")
@click.option("--monitor", metavar="NAME", help="Only alerts of this monitor.")
@click.option(
    "--to",
    "target",
    metavar="DIR|FILE.zip",
    help="Where to; nothing is overwritten (default: edge-asd-events-TIME.zip here).",
)
@state_dir_option
@json_option
@click.pass_obj
def export(
    given: Given,
    *,
    event_ids: tuple[str, ...],
    days: float | None,
    monitor: str | None,
    target: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Copy alerts and their evidence: sound, picture, details and every step.

    An alert is a folder named by time, monitor and id. Every file is checked against the hash that
    was taken when it was written.

    \b
    Example:
        edge-asd events export last --to /media/usb/alert.zip
        edge-asd events export --days 7 --monitor pump-1 --to /media/usb/week
    """
    if bool(event_ids) == (days is not None):
        raise UsageError("say what to export: either IDs (see edge-asd events), or --days N")
    folder = state_dir_path(state_dir or given.state_dir)
    stories = _chosen(read_stories(folder), event_ids, days, monitor)
    path = Path(target or time.strftime("edge-asd-events-%Y%m%dT%H%M%SZ.zip", time.gmtime()))
    damaged, size = _write(stories, path)
    with_evidence = sum(story.kept is not None for story in stories)
    if as_json or given.as_json:
        fields = {"to": str(path), "events": len(stories), "with_evidence": with_evidence}
        click.echo(json.dumps({**fields, "bytes": size, "damaged": damaged}))
    else:
        click.echo(
            f"{len(stories)} events, {with_evidence} of them with evidence, {size / 1e6:.1f} MB: "
            f"{path}"
        )
    if damaged:
        raise DataError(
            f"{len(damaged)} files are not as they were written, they may be damaged: "
            + ", ".join(damaged[:3])
        )


def _chosen(
    stories: Mapping[str, Story], ids: tuple[str, ...], days: float | None, monitor: str | None
) -> list[Story]:
    if days is None:
        chosen = list({one.id: one for one in (find_story(stories, each) for each in ids)}.values())
    else:
        since = rfc3339(max(0.0, time.time() - days * 86400.0))
        chosen = [story for story in stories.values() if story.last_at >= since]
    if monitor is not None:
        known = sorted({story.monitor for story in stories.values()})
        if monitor not in known:
            raise UsageError(f"no events of monitor {monitor!r}; there are of: {', '.join(known)}")
        chosen = [story for story in chosen if story.monitor == monitor]
    if not chosen:
        raise DataError("no events in that time: nothing is exported")
    return chosen


def _write(stories: list[Story], path: Path) -> tuple[list[str], int]:
    """Copy everything; returns which files are damaged, and how many bytes were written."""
    target: Target = ZipTarget(path) if path.suffix.lower() == ".zip" else FolderTarget(path)
    damaged: list[str] = []
    size = 0
    with target, _progress() as progress:
        for story in progress.track(stories, description="exporting"):
            contents = contents_of(story.kept) if story.kept else Contents({}, ())
            steps = b"".join(step.to_json() + b"\n" for step in story.steps)
            files = {**contents.files, STEPS: steps}
            name = _name(story)
            target.add(name, story.began_at, files)
            damaged += [f"{name}/{file}" for file in contents.damaged]
            size += sum(map(len, files.values()))
    return damaged, size


def _name(story: Story) -> str:
    stamp = story.began_at[:19].replace("-", "").replace(":", "")
    return f"{stamp}Z_{story.monitor}_{story.id}"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
