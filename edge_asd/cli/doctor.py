"""``edge-asd doctor``: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json
import os

import click

from edge_asd.cli.findings_text import show
from edge_asd.cli.options import (
    config_option,
    json_option,
    raw_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.doctor.diagnosis import diagnose, patient_of
from edge_asd.doctor.findings import Finding, Status, exit_code, record_of
from edge_asd.doctor.reading import read


@click.command("doctor")
@config_option
@state_dir_option
@json_option
def command(*, config_file: str | None, state_dir: str | None, as_json: bool) -> int:
    r"""Look at everything this installation depends on; each complaint has its remedy.

    Configuration, device nodes and groups, clock, temperature, state directory, microphones,
    runtime, the broker in stages (DNS, TCP, TLS, CONNACK, publish, echo), the service and the
    daemon. Nothing is changed, and a running daemon goes on: microphones that it has open are left
    alone. Run it as the service's user, or as root, to see what the service sees.

    Exit code 0 when nothing has failed, warnings included; else that of the worst.

    \b
    Example:
        sudo edge-asd doctor
        edge-asd doctor --json | jq '.findings[] | select(.status == "failed")'
    """
    patient = patient_of(
        read(lambda: raw_config(config_file)), state_dir_path(state_dir), os.environ
    )
    found: list[Finding] = []
    records = []
    for title, findings in diagnose(patient):
        if as_json:
            group = list(findings)
            records += [{"group": title, **record_of(finding)} for finding in group]
            found += group
            continue
        click.echo(title)
        for finding in findings:
            show([finding])
            found.append(finding)
    failures, warnings = (
        sum(finding.status is status for finding in found)
        for status in (Status.FAILED, Status.WARNING)
    )
    if as_json:
        click.echo(json.dumps({"ok": not failures, "findings": records}))
    else:
        click.echo(f"{failures} failed, {warnings} warnings")
    return exit_code(found)
