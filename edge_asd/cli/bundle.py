"""``edge-asd bundle``: look into a bundle, and prove it."""

from __future__ import annotations

import json

import click

from edge_asd.bundle import load_bundle
from edge_asd.cli.bundle_text import as_text, describe
from edge_asd.cli.options import (
    chosen_engine,
    config_option,
    engine_option,
    json_option,
    state_dir_option,
    state_dir_path,
)
from edge_asd.engine import EngineRequest, open_networks


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
@engine_option
@config_option
@state_dir_option
@json_option
def verify(
    *,
    file: str,
    engine: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Check a bundle's hashes, then run its golden vectors through this device's engine.

    Without --engine every precision that it holds is run on ONNX Runtime.

    \b
    Example:
        edge-asd bundle verify general-2.asd && echo fit for use
        edge-asd bundle verify general-2.asd --engine auto
    """
    bundle = load_bundle(file)
    requests = [EngineRequest()]
    if engine is not None:
        requests = [chosen_engine(config_file, state_dir_path(state_dir), engine)]
    elif all(network.has("fp16") for network in bundle.manifest.networks):
        requests.append(EngineRequest(precision="fp16"))
    precisions = []
    for request in requests:
        networks = open_networks(bundle, request)
        networks.close()
        precisions.append(networks.precision)
    result = {
        "bundle": bundle.label,
        "sha256": bundle.sha256,
        "engine": networks.backend,
        "precisions": precisions,
        "reason": networks.reason,
        "golden_vectors": len(bundle.golden.waveforms),
        "ok": True,
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(
            f"{bundle.label}: whole, and {networks.backend} reproduces its "
            f"{len(bundle.golden.waveforms)} golden vectors in {' and '.join(precisions)}"
        )
        if engine is not None:
            click.echo(f"{networks.backend} {networks.precision}: {networks.reason}")
