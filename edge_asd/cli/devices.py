"""``edge-asd devices``: microphones that can be opened."""

from __future__ import annotations

import dataclasses
import json

import click

from edge_asd.capture import list_inputs
from edge_asd.cli.options import json_option


@click.command("devices")
@json_option
def command(*, as_json: bool) -> None:
    r"""List the inputs that a monitor can listen to.

    \b
    Example:
        edge-asd devices
        edge-asd devices --json
    """
    devices = list_inputs()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(device) for device in devices]))
        return
    if not devices:
        click.echo("no inputs found; plug in a microphone, or check that your user is in 'audio'")
    for device in devices:
        rate = f"{device.native_rate} Hz"
        click.echo(f"alsa:{device.name:40} {device.channels:2} ch  {rate:>9}  {device.host_api}")
