"""``edge-asd check``: the operator's file and what it refers to, without running anything."""

from __future__ import annotations

import json
import os
import time

import click

from edge_asd.cli.findings_text import show
from edge_asd.cli.options import (
    config_option,
    json_option,
    raw_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.doctor.configuration import Examined, examine
from edge_asd.doctor.findings import Status, exit_code, record_of, refuse_failures
from edge_asd.doctor.reading import read


@click.command("check")
@config_option
@state_dir_option
@json_option
def command(*, config_file: str | None, state_dir: str | None, as_json: bool) -> None:
    r"""Check the operator's file and all it names, without opening a microphone.

    Keys and values, secrets, certificates, the bundle, profiles, sources and disk space; everything
    that is wrong is told at once. Exit code 0 when the daemon can start, else that of the worst.

    \b
    Example:
        edge-asd check --config /etc/edge-asd/config.yaml
        edge-asd check && edge-asd reload
    """
    reading = read(lambda: raw_config(config_file))
    examined = examine(reading, state_dir_path(state_dir), os.environ, now_s=time.time())
    if as_json:
        click.echo(json.dumps(_record(examined)))
    else:
        _show(examined)
    refuse_failures(examined.findings)


def _record(examined: Examined) -> dict[str, object]:
    bundle = examined.listening.bundle
    return {
        "ok": exit_code(examined.findings) == 0,
        "bundle": bundle.label if bundle else None,
        "monitors": [
            {
                "monitor": learned.config.name,
                "source": learned.config.source,
                "enrolled": learned.enrolled,
                "provisional": learned.provisional,
            }
            for learned in examined.listening.monitors
        ],
        "findings": [record_of(finding) for finding in examined.findings],
    }


def _show(examined: Examined) -> None:
    bundle, config = examined.listening.bundle, examined.config
    label = bundle.label if bundle else "none"
    failures = sum(finding.status is Status.FAILED for finding in examined.findings)
    verdict = f"configuration not usable, {failures} wrong" if failures else "configuration ok"
    click.echo(f"{verdict}: device {config.device}, bundle {label}")
    show(examined.findings)
