"""``edge-asd normal``: an alert that was none."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from edge_asd.bundle.store import choose_bundle
from edge_asd.cli.bar import PATIENCE_S, Bar
from edge_asd.cli.normal_text import list_json, list_text, preview_text, undo_text
from edge_asd.cli.options import (
    chosen_engine,
    config_option,
    json_option,
    monitor_config,
    read_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.cli.switching import by_option, user_name
from edge_asd.engine import open_networks
from edge_asd.errors import UsageError
from edge_asd.normal.confirming import DEFAULT_DAYS, expired, find_alert, plan_confirmation, undone
from edge_asd.normal.normal_orders import (
    NormalCommand,
    answer,
    owner_of,
    refuse_masking,
    undo_answer,
)
from edge_asd.operators.control import ask_daemon
from edge_asd.preview.previewing import Tuning
from edge_asd.profile import Profile, load_profile
from edge_asd.profile.profile_file import confirmed_in
from edge_asd.profile.profile_set import settle
from edge_asd.profile.target_store import save_with_targets
from edge_asd.state_dir import StateLock, socket_path


@click.command("normal")
@click.argument("event", required=False)
@by_option
@click.option("--days", type=float, metavar="N", help=f"For so long (default: {DEFAULT_DAYS:.0f}).")
@click.option("--forever", is_flag=True, help="Until it is undone.")
@click.option("--preview", is_flag=True, help="Only show what it would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even if it masks a fault, or another alert is open.")
@click.option("--list", "listing", is_flag=True, help="What is confirmed as normal, by whom.")
@click.option("--undo", metavar="ID", help="Take a confirmation back.")
@click.option("--monitor", metavar="NAME", help="With --list or --undo: only of this monitor.")
@config_option
@state_dir_option
@json_option
def command(
    *,
    event: str | None,
    by: str | None,
    days: float | None,
    forever: bool,
    preview: bool,
    yes: bool,
    force: bool,
    listing: bool,
    undo: str | None,
    monitor: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> int:
    r"""Say that an alert was no fault: the machine sounds like that, too.

    What the alert rests on becomes part of what the monitor knows as normal, at most 64 windows a
    monitor. First it is shown which past alerts would not have been raised then: look whether one
    of them was a fault. One that is pinned or acknowledged needs --force. IDs may be cut short at
    either end; 'last' is the newest alert.

    \b
    Example:
        edge-asd normal last --preview
        edge-asd normal 01a0c450 --by anna --days 180
        edge-asd normal --list
        edge-asd normal --undo 01a0c450
    """
    if sum((event is not None, undo is not None, listing)) != 1:
        raise UsageError("give the id of an alert, or --list, or --undo ID")
    if forever and days is not None:
        raise UsageError("give either --days N or --forever")
    folder = state_dir_path(state_dir)
    if listing:
        return _list(folder, monitor, as_json=as_json)
    here = _Here(folder, config_file, quiet=as_json)
    if undo is not None:
        asked = {"undo": undo, "monitor": monitor, "by": by or user_name()}
        result = here.ask(asked)
        click.echo(json.dumps(result) if as_json else undo_text(result))
        return 0
    wish = {"event": event, "by": by or user_name(), "days": days, "forever": forever}
    return _confirm(here, wish, preview=preview, yes=yes, force=force, as_json=as_json)


def _confirm(
    here: _Here, wish: dict[str, Any], *, preview: bool, yes: bool, force: bool, as_json: bool
) -> int:
    result = here.ask(wish | {"preview": not yes or preview, "force": force})
    if as_json and (preview or yes):
        click.echo(json.dumps(result))
        return 0
    for line in preview_text(result):
        click.echo(line, err=as_json)
    if preview or yes:
        return 0
    if not sys.stdin.isatty():
        raise UsageError("nothing is changed: look at the above, and say --yes")
    if result["guarded"] and not force:
        raise UsageError(
            "nothing is changed: it would mask an alert that is pinned or acknowledged; if that "
            "was no fault, use --force"
        )
    if not click.confirm("Confirm it as normal?", err=True):
        click.echo("nothing is changed", err=True)
        return 0
    result = here.ask(wish | {"force": force, "unseen": False})
    click.echo(json.dumps(result) if as_json else list(preview_text(result))[-1])
    return 0


class _Here:
    """Has the daemon do it, or does it where none runs."""

    def __init__(self, folder: Path, config_file: str | None, *, quiet: bool) -> None:
        self._folder, self._config_file, self._quiet = folder, config_file, quiet

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry a request out; see `edge_asd.normal.normals` for what it holds."""
        request = {k: v for k, v in request.items() if v is not None} | {"command": "normal"}
        with Bar(quiet=self._quiet, after_s=PATIENCE_S) as bar:
            result = ask_daemon(socket_path(self._folder, os.environ), request, bar.update)
            if result is not None:
                return result
            command = NormalCommand.parse(request)
            if command.preview:
                return self._confirm(command, bar)
            with StateLock(self._folder):
                settle(self._folder)
                return self._undo(command) if command.undo else self._confirm(command, bar)

    def _confirm(self, command: NormalCommand, bar: Bar) -> dict[str, Any]:
        name = find_alert(self._folder, command.wish.event).monitor
        bundle = choose_bundle(self._folder, self._bundle_file(), [name])
        profile = self._tuned(name)
        networks = open_networks(bundle, chosen_engine(self._config_file, self._folder, None))
        try:
            plan = plan_confirmation(
                networks,
                profile,
                self._folder,
                command.wish,
                now=time.time(),
                progress=bar.update,
            )
        finally:
            networks.close()
        if not command.preview:
            refuse_masking(plan.preview, force=command.force)
            changed = plan.applied(profile)
            save_with_targets(self._folder, changed, {plan.recording.audio: plan.sound})
        until = plan.recording.expires_at
        return answer(plan.preview, applied=not command.preview, expires_at=until)

    def _undo(self, command: NormalCommand) -> dict[str, Any]:
        ids = {
            name: [one.event_id for one in found.recordings]
            for name, found in confirmed_in(self._folder).items()
        }
        name = command.monitor or owner_of(ids, command.undo)
        profile = self._tuned(name)
        left = undone(profile, command.undo, command.wish.by, time.time())
        save_with_targets(self._folder, left)
        return undo_answer(profile, left)

    def _bundle_file(self) -> str | None:
        return read_config(self._config_file).bundle

    def _tuned(self, name: str) -> Profile:
        """As the daemon would use it, without what has expired meanwhile."""
        bundle = choose_bundle(self._folder, self._bundle_file(), [name])
        profile = load_profile(self._folder, name, bundle)
        alert = monitor_config(self._config_file, name).alert
        tuned = Tuning(profile, alert, bundle.manifest).profile
        return expired(tuned, time.time()) or tuned


def _list(folder: Path, monitor: str | None, *, as_json: bool) -> int:
    found = confirmed_in(folder)
    if monitor is not None and monitor not in found:
        raise UsageError(f"{folder}: monitor {monitor} has no profile; it has: {', '.join(found)}")
    shown = {name: one for name, one in found.items() if monitor in (None, name)}
    if as_json:
        click.echo(json.dumps(list_json(shown)))
        return 0
    for line in list_text(shown):
        click.echo(line)
    return 0
