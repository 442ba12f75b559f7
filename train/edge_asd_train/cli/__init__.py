"""The command line of training: ``edge-asd-train``."""

from __future__ import annotations

import logging

import click

import edge_asd
from edge_asd_train.cli.ablate import ablate
from edge_asd_train.cli.common import CommandGroup
from edge_asd_train.cli.evaluate import evaluate
from edge_asd_train.cli.export import export
from edge_asd_train.cli.fit import fit
from edge_asd_train.cli.simulate import simulate


@click.group(cls=CommandGroup, context_settings={"max_content_width": 100})
@click.version_option(edge_asd.__version__, prog_name="edge-asd-train")
@click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
def main(*, verbose: bool) -> None:
    """Train networks for edge-asd and pack them into bundles."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s")


for command in (fit, evaluate, ablate, export, simulate):
    main.add_command(command)
