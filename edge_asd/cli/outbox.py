"""``edge-asd outbox``: what waits for the broker, whether it is sound, and sending it again."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from edge_asd.cli.events_find import find_story, read_stories
from edge_asd.cli.ledger import parse_since
from edge_asd.cli.options import (
    config_option,
    json_option,
    read_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.config import Config
from edge_asd.errors import DataError, UsageError
from edge_asd.operators.control import ask_daemon
from edge_asd.operators.redelivery import COMMAND
from edge_asd.publish.fsck import Finding, look_through
from edge_asd.publish.outbox import Waiting
from edge_asd.publish.replay import Replayed, Span
from edge_asd.publish.salvage import mend, resume, salvage
from edge_asd.publish.store import FILE_NAME, EventStore
from edge_asd.publish.topics import Topics
from edge_asd.state_dir import StateLock, socket_path

_DAY_S = 86400.0
_AGES = ((_DAY_S, "d"), (3600.0, "h"), (60.0, "min"))


@click.group("outbox")
def command() -> None:
    r"""Look into what waits for the broker; check, repair and send again.

    \b
    Example:
        edge-asd outbox ls
        edge-asd outbox fsck
        edge-asd outbox replay --since 2d --dry-run
    """


@command.command("ls")
@state_dir_option
@json_option
def ls(*, state_dir: str | None, as_json: bool) -> None:
    r"""List what waits for the broker, oldest first; empty while everything is delivered.

    \b
    Example:
        edge-asd outbox ls
        edge-asd outbox ls --json | jq -r 'select(.class == "event_new") | .topic'
    """
    folder = state_dir_path(state_dir)
    rows = _waiting(folder)
    if as_json:
        for row in rows:
            click.echo(json.dumps(_json_of(row)))
        return
    now_s = time.time()
    for row in rows:
        age = _age(now_s - row.created_at)
        click.echo(
            f"{row.id}  {row.row_class.value:12}  {row.monitor:16}  number {row.seq:<6} "
            f"{age:>8}  {row.bytes:>7} bytes  {row.topic}"
        )
    size = sum(row.bytes for row in rows) / 1e6
    click.echo(f"{len(rows)} messages wait, {size:.1f} MB" if rows else "nothing waits")


def _waiting(folder: Path) -> list[Waiting]:
    if not (folder / FILE_NAME).exists():
        return []
    store = EventStore(folder, read_only=True)
    try:
        return list(store.outbox.waiting())
    finally:
        store.close()


def _json_of(row: Waiting) -> dict[str, object]:
    shown = asdict(row)
    shown["class"] = shown.pop("row_class").value
    return shown


def _age(seconds: float) -> str:
    for unit_s, name in _AGES:
        if seconds >= unit_s:
            return f"{seconds / unit_s:.1f} {name}"
    return f"{max(0.0, seconds):.0f} s"


@command.command("fsck")
@click.option("--repair", is_flag=True, help="Set right what can be; only without a daemon.")
@config_option
@state_dir_option
@json_option
def fsck(*, repair: bool, config_file: str | None, state_dir: str | None, as_json: bool) -> None:
    r"""Check the database of events: the file, numbers, what waits. Changes nothing by itself.

    Exit code 65 when something is wrong. A repair keeps every row that can be read, and the damaged
    file beside the new one.

    \b
    Example:
        edge-asd outbox fsck
        sudo systemctl stop edge-asd && edge-asd outbox fsck --repair
    """
    folder, config = state_dir_path(state_dir), read_config(config_file)
    if repair:
        with StateLock(folder):
            findings = _repaired(folder, config, quiet=as_json)
    else:
        findings = _found(folder, config)
    for finding in findings:
        line = json.dumps(asdict(finding)) if as_json else f"{finding.check}: {finding.text}"
        click.echo(line)
    if findings:
        raise DataError(f"{folder / FILE_NAME}: {len(findings)} things are wrong, see above")
    if not as_json:
        click.echo(f"{folder / FILE_NAME}: sound")


def _found(folder: Path, config: Config) -> list[Finding]:
    return look_through(
        folder / FILE_NAME, max_age_s=config.outbox.max_days * _DAY_S, now_s=time.time()
    )


def _repaired(folder: Path, config: Config, *, quiet: bool) -> list[Finding]:
    path = folder / FILE_NAME
    if resume(path):
        click.echo("finished an earlier repair", err=quiet)
    before = _found(folder, config)
    if any(finding.check == "damaged" for finding in before):
        aside, saved = salvage(path, now_s=time.time())
        rows = ", ".join(f"{count} of {table}" for table, count in saved.items())
        click.echo(f"saved {rows}; the damaged file is {aside}", err=quiet)
    elif any(finding.repairable for finding in before):
        mend(path)
        click.echo("counters and sizes set right", err=quiet)
    return _found(folder, config)


@command.command("replay")
@click.option("--since", metavar="WHEN", help="An age (12h, 7d) or a date; from then on.")
@click.option("--until", metavar="WHEN", help="As --since; only before then.")
@click.option("--event", metavar="ID", help="One alert, all its steps; 'last' is the newest.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@state_dir_option
@json_option
def replay(
    *,
    since: str | None,
    until: str | None,
    event: str | None,
    dry_run: bool,
    yes: bool,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Deliver stored events once more, for a subscriber that lost them.

    They keep their id and number, by which subscribers know what they have already. Events that
    still wait for their first delivery are left as they are.

    \b
    Example:
        edge-asd outbox replay --since 2026-11-20T06:00 --until 12h --dry-run
        edge-asd outbox replay --event last --yes
    """
    if since is None and event is None:
        raise UsageError("which events? give --since WHEN or --event ID")
    folder, now_s = state_dir_path(state_dir), time.time()
    span = Span(
        since=None if since is None else max(0.0, parse_since(since, now_s)),
        until=None if until is None else max(0.0, parse_since(until, now_s)),
        event_id=None if event is None else find_story(read_stories(folder), event).id,
    )
    again = _replay(folder, config_file, span, dry_run=True)
    if again.messages and not dry_run:
        _confirm(again, yes=yes)
        again = _replay(folder, config_file, span, dry_run=False)
    if as_json:
        click.echo(json.dumps(asdict(again) | {"dry_run": dry_run}))
        return
    click.echo(f"{_told(again)} {'would be' if dry_run else 'are'} sent again")
    if again.waiting:
        click.echo(f"{again.waiting} of the span wait for their first delivery")


def _told(again: Replayed) -> str:
    return f"{again.messages} messages of {again.alerts} alerts"


def _confirm(again: Replayed, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{_told(again)} would be sent again: say --yes, or --dry-run")
    click.confirm(f"Send {_told(again)} again?", abort=True, err=True)


def _replay(folder: Path, config_file: str | None, span: Span, *, dry_run: bool) -> Replayed:
    """Through the daemon if one runs, else in its place."""
    request = {
        "command": COMMAND,
        "since": span.since,
        "until": span.until,
        "event": span.event_id,
        "dry_run": dry_run,
    }
    answer = ask_daemon(socket_path(folder, os.environ), request, lambda *_: None)
    if answer is not None:
        return Replayed(**answer)
    config = read_config(config_file)
    if config.mqtt is None:
        raise UsageError("no broker is configured, so nothing would be delivered: set mqtt.url")
    with StateLock(folder):
        store = EventStore(
            folder,
            max_bytes=int(config.outbox.max_mb * 2**20),
            max_age_s=config.outbox.max_days * _DAY_S,
        )
        try:
            return store.replay(span, Topics(config.device), dry_run=dry_run)
        finally:
            store.close()
