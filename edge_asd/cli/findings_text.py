"""Findings as text: how it is, what it is about, what was found; and below it what to do."""

from __future__ import annotations

from collections.abc import Iterable

import click

from edge_asd.doctor.findings import Finding, Status

_COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "red"}


def show(findings: Iterable[Finding]) -> None:
    """Each as soon as it is known."""
    for finding in findings:
        status = click.style(f"{finding.status.value:8}", fg=_COLOURS.get(finding.status))
        click.echo(f"  {status} {finding.name}: {finding.text}")
        if finding.remedy:
            click.echo(f"           -> {finding.remedy}")
