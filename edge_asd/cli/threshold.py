"""``edge-asd threshold``: what decides, and what other thresholds would have decided."""

from __future__ import annotations

import difflib
import json
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from edge_asd.books.history_view import monitors_with_history, read_pieces
from edge_asd.bundle.store import choose_bundle
from edge_asd.cli.bar import PATIENCE_S, Bar
from edge_asd.cli.options import (
    config_option,
    json_option,
    monitor_config,
    read_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.cli.threshold_text import Shown, json_of, preview_text, standing_text
from edge_asd.config import Config
from edge_asd.errors import DataError, EdgeAsdError, UsageError
from edge_asd.preview.previewing import HIGHEST_RATE, Setting, Trial, Tuning, days_of, heard_with
from edge_asd.preview.replaying import replay
from edge_asd.profile import load_profile

_DAY_S = 86_400.0
_FACTORS = (0.1, 1.0, 10.0)
"""Rates that are tried unless others are asked for, times the configured one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    preview: bool
    rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    days: float | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything lies."""

    folder: Path
    config: Config
    config_file: str | None


@click.command("threshold")
@click.option("--preview", is_flag=True, help="Replay what was heard with other thresholds.")
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(min=0, min_open=True, max=HIGHEST_RATE),
    multiple=True,
    metavar="N",
    help="With --preview: false alarms a week to try; may be repeated "
    "(default: a tenth and ten times what is configured).",
)
@click.option(
    "--threshold",
    "thresholds",
    type=float,
    multiple=True,
    metavar="X",
    help="With --preview: a threshold to try; may be repeated.",
)
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    metavar="D",
    help="With --preview: only the last so many days.",
)
@click.option("--monitor", metavar="NAME", help="Only this monitor.")
@config_option
@state_dir_option
@json_option
def command(
    *,
    preview: bool,
    rates: tuple[float, ...],
    thresholds: tuple[float, ...],
    days: float | None,
    monitor: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> int:
    r"""Show the thresholds in force, or with --preview what others would have raised.

    The scores of the last weeks are kept. A preview gives them to the same decision once more: with
    this rate of false alarms, or this threshold, you would have had so many alerts, on these days.
    Days and times are local, those of --json are UTC. Nothing is changed, and a daemon may run.

    \b
    Example:
        edge-asd threshold
        edge-asd threshold --preview --monitor pump-1
        edge-asd threshold --preview --rate 0.1 --rate 5 --threshold 3.5 --days 14
    """
    wanted = Wanted(preview, rates, thresholds, days)
    _check(wanted)
    folder = state_dir_path(state_dir)
    config = read_config(config_file)
    place = Place(folder, config, config_file)
    shown, failed = [], 0
    for name in _names(place, monitor):
        one = _look_or_say_why(place, name, wanted, quiet=as_json)
        if isinstance(one, Shown):
            shown.append(one)
        else:
            failed = one
    if as_json:
        click.echo(json.dumps(json_of(shown)))
        return failed
    for number, one in enumerate(shown):
        if number:
            click.echo()
        for line in preview_text(one) if preview else standing_text(one):
            click.echo(line)
    return failed


def _check(wanted: Wanted) -> None:
    given = {"--rate": wanted.rates, "--threshold": wanted.thresholds, "--days": wanted.days}
    for option, value in given.items():
        if value and not wanted.preview:
            raise UsageError(f"{option} needs --preview")
    for number in (*wanted.rates, *wanted.thresholds, wanted.days or 1.0):
        if not math.isfinite(number):
            raise UsageError(f"{number} is no number to try")


def _names(place: Place, monitor: str | None) -> list[str]:
    """Monitors to show.

    Raises:
        UsageError: There is no such monitor.
        DataError: There is none at all.
    """
    folder, config = place.folder, place.config
    enrolled = sorted(path.parent.name for path in folder.glob("profiles/*/profile.json"))
    if monitor is None:
        if not enrolled:
            raise DataError(
                f"{folder}: no monitor is enrolled; run 'edge-asd enrol' or 'edge-asd run' first"
            )
        return enrolled
    configured = [
        section.name for section in config.monitors if "monitors" in config.model_fields_set
    ]
    known = sorted({*enrolled, *configured, *monitors_with_history(folder)})
    if monitor not in known:
        near = difflib.get_close_matches(monitor, known)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there is: {', '.join(known)}"
        raise UsageError(f"no monitor {monitor}; {hint if known else 'none is enrolled yet'}")
    return [monitor]


def _look_or_say_why(place: Place, name: str, wanted: Wanted, *, quiet: bool) -> Shown | int:
    """One monitor that cannot be shown must not hide the others; its exit code then."""
    try:
        return _look(place, name, wanted, quiet=quiet)
    except EdgeAsdError as error:
        click.echo(f"edge-asd: {error}", err=True)
        return error.exit_code


def _look(place: Place, name: str, wanted: Wanted, *, quiet: bool) -> Shown:
    folder = place.folder
    bundle = choose_bundle(folder, place.config.bundle, [name])
    profile = load_profile(folder, name, bundle)
    tuning = Tuning(profile, monitor_config(place.config_file, name).alert, bundle.manifest)
    since = None if wanted.days is None else time.time() - wanted.days * _DAY_S
    heard = heard_with(read_pieces(folder, name, since), profile.key, tuning.grid)
    if not wanted.preview:
        return Shown(name, profile.created_at, tuning, heard)
    if not heard.scores:
        raise DataError(_nothing(folder, name, profile.created_at, heard.others_s, wanted.days))
    trials = []
    settings = _settings(tuning, wanted)
    with Bar(quiet=quiet, after_s=PATIENCE_S) as bar:
        for number, setting in enumerate(settings):
            alerts = replay(
                heard.stretches,
                tuning.rules,
                setting.thresholds,
                tuning.grid.rate,
                partial(_tell, bar, name, number, len(settings)),
            )
            trials.append(Trial(setting, tuple(alerts)))
    days = tuple(days_of(heard.stretches, tuning.grid.hop_s))
    return Shown(name, profile.created_at, tuning, heard, tuple(trials), days)


def _tell(bar: Bar, name: str, number: int, total: int, done: float) -> None:
    bar.update((number + done) / total, f"{name}: replaying")


def _settings(tuning: Tuning, wanted: Wanted) -> list[Setting]:
    """What is tried, the rarest alerts first; what is in force is always among it."""
    now = tuning.in_force
    asked = now.rate_per_week or 1.0
    rates = wanted.rates
    if not rates and not wanted.thresholds:
        rates = tuple(float(f"{asked * f:.6g}") for f in _FACTORS if asked * f <= HIGHEST_RATE)
    tried = {rate: tuning.of_rate(rate) for rate in rates if rate != asked}
    settings = [now, *tried.values(), *map(tuning.of_threshold, dict.fromkeys(wanted.thresholds))]
    return sorted(settings, key=lambda setting: -setting.thresholds.warning)


def _nothing(folder: Path, name: str, enrolled_at: str, others_s: float, days: float | None) -> str:
    if others_s:
        return (
            f"{name}: {others_s / 3600.0:.1f} h of history were scored with other profiles, before "
            f"it was enrolled on {enrolled_at} or sound was confirmed as normal, and their scores "
            "do not compare; let it listen"
        )
    if days is not None:
        return f"{name}: nothing was scored in the last {days:g} days; leave --days out"
    return (
        f"{folder}: no scores of {name} are kept yet; let 'edge-asd run' listen for a while, the "
        "first are there after a minute"
    )
