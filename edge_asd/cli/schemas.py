"""``edge-asd schemas``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_asd.files import replace_file
from edge_asd.publish.schemas import contract_files


@click.command("schemas")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to fill."
)
def command(out: Path) -> None:
    r"""Write the JSON Schemas of all MQTT payloads and the AsyncAPI document.

    They are made from the very models that this version publishes with: check your subscriber
    against them.

    \b
    Example: edge-asd schemas --out contract
    """
    for name, data in contract_files().items():
        path = out / name
        replace_file(path, data)
        click.echo(path)
