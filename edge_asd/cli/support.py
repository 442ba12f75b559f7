"""``edge-asd support``: one archive with everything that helps, and without secrets."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from edge_asd.cli.options import (
    DEFAULT_CONFIG,
    config_option,
    json_option,
    raw_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.config import Config
from edge_asd.doctor.reading import read
from edge_asd.errors import EdgeAsdError
from edge_asd.support.archive import Entry, evidence_of, piece, write_archive
from edge_asd.support.redact import REDACTED, Redactor, referred_files, secrets_in
from edge_asd.support.sources import Subject, gather

_MEGA = 1e6
_README = """\
Made by edge-asd support at {at}.
The last {days:g} days of events, ledger and log; the rest is as it was at that moment.
Passwords, tokens, logins in addresses and private keys were taken out: look for {redacted}.
Sound is in here only where it was asked for with --with-evidence.
Look through it before you send it: names of devices, machines and computers are still in it.
"""


@click.command("support")
@config_option
@state_dir_option
@click.option("--out", metavar="FILE", help="Where (default: here, named by device and time).")
@click.option(
    "--days",
    type=click.FloatRange(0.01, 400),
    default=7.0,
    show_default=True,
    help="How far back events, ledger and log go.",
)
@click.option(
    "--with-evidence",
    "evidence",
    multiple=True,
    metavar="EVENT",
    help="Put in the sound and the picture of this alert; may be given several times.",
)
@json_option
def command(
    *,
    config_file: str | None,
    state_dir: str | None,
    out: str | None,
    days: float,
    evidence: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Pack everything that helps somebody else to find a fault.

    Versions, configuration, doctor, status, health, metrics, ledger, events, log, unit, and a list
    of the files of the state directory. Passwords, tokens and keys are taken out; no sound is put
    in unless you ask for it. Works without a daemon, with a broken configuration and with a damaged
    state directory: what cannot be had says why.

    \b
    Example:
        sudo edge-asd support
        edge-asd support --days 1 --out /tmp/fault.tar.gz --with-evidence 01890a5d-…
    """
    subject = _subject(config_file, state_dir_path(state_dir), days)
    now_s = time.time()
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    folder = f"edge-asd-support-{subject.redactor.text(_file_name(subject))}-{at}"
    path = Path(out or f"{folder}.tar.gz")
    readme = _README.format(at=at, days=days, redacted=REDACTED)
    # Before the rest, which takes its time.
    sound = list(evidence_of(subject.state_dir, evidence))
    entries = [piece("README.txt", readme)]
    entries += [piece(name, text) for name, text in gather(subject)]
    entries += sound
    size = write_archive(path, folder, entries, now_s)
    if as_json:
        told = [{"name": entry.name, "bytes": len(entry.content)} for entry in entries]
        click.echo(json.dumps({"path": str(path), "bytes": size, "entries": told}))
    else:
        _show(path, size, entries)


def _subject(config_file: str | None, state_dir: Path, days: float) -> Subject:
    path = Path(config_file) if config_file else DEFAULT_CONFIG
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        text = f"# {path}: {error.strerror}\n"
    try:
        raw, _ = raw_config(config_file)
    except EdgeAsdError:
        raw = None
    reading = read(lambda: raw_config(config_file))
    files = [*referred_files(text, os.environ), *_named_files(reading.config)]
    secrets = [*secrets_in(raw), *(found for file in files if (found := _read_secret(file)))]
    return Subject(reading, raw, text, state_dir, os.environ, days, Redactor(secrets))


def _named_files(config: Config) -> list[Path]:
    mqtt = config.mqtt
    names = [config.http.token_file, *((mqtt.password_file, mqtt.key_file) if mqtt else ())]
    return [Path(name) for name in names if name]


def _read_secret(path: Path) -> str:
    """Who cannot read it cannot give it away."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _file_name(subject: Subject) -> str:
    """The device, as far as it can be part of a file's name."""
    device = subject.reading.config.device
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in device)[:40]


def _show(path: Path, size: int, entries: list[Entry]) -> None:
    for entry in entries:
        click.echo(f"  {len(entry.content):>10}  {entry.name}")
    click.echo(f"{path}: {size / _MEGA:.2f} MB; look through it before you send it")
