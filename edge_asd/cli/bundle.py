"""``edge-asd bundle``: look into a bundle, and prove it."""

from __future__ import annotations

import json

import click

from edge_asd.bundle import load_bundle
from edge_asd.cli.bundle_text import as_text, describe
from edge_asd.cli.options import json_option
from edge_asd.engine import EngineRequest, open_networks
from edge_asd.manifest import Precision


@click.group("bundle")
def command() -> None:
    r"""Look into bundles.

    \b
    Example:
        edge-asd bundle show general-2.asd
        edge-asd bundle verify general-2.asd
    """


@command.command("show")
@click.argument("file")
@json_option
def show(*, file: str, as_json: bool) -> None:
    r"""Show what a bundle is made of, after checking every hash in it.

    \b
    Example:
        edge-asd bundle show general-2.asd --json | jq .metrics
    """
    bundle = load_bundle(file)
    click.echo(json.dumps(describe(bundle)) if as_json else as_text(bundle))


@command.command("verify")
@click.argument("file")
@json_option
def verify(*, file: str, as_json: bool) -> None:
    r"""Check a bundle's hashes, then run its golden vectors through this device's engine.

    \b
    Example:
        edge-asd bundle verify general-2.asd && echo fit for use
    """
    bundle = load_bundle(file)
    held: list[Precision] = ["fp32"]
    if all(network.has("fp16") for network in bundle.manifest.networks):
        held.append("fp16")
    for precision in held:
        networks = open_networks(bundle, EngineRequest(precision=precision))
        engine = networks.backend
        networks.close()
    result = {
        "bundle": bundle.label,
        "sha256": bundle.sha256,
        "engine": engine,
        "precisions": held,
        "golden_vectors": len(bundle.golden.waveforms),
        "ok": True,
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(
            f"{bundle.label}: whole, and {engine} reproduces its "
            f"{len(bundle.golden.waveforms)} golden vectors in {' and '.join(held)}"
        )
