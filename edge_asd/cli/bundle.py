"""``edge-asd bundle``: look into a bundle, and prove it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edge_asd.bundle import Bundle, load_bundle
from edge_asd.cli.options import json_option
from edge_asd.engine import open_networks


@click.group("bundle")
def command() -> None:
    r"""Look into bundles.

    \b
    Example:
        edge-asd bundle show general-1.asd
        edge-asd bundle verify general-1.asd
    """


@command.command("show")
@click.argument("file")
@json_option
def show(*, file: str, as_json: bool) -> None:
    r"""Show what a bundle is made of, after checking every hash in it.

    \b
    Example:
        edge-asd bundle show general-1.asd --json | jq .metrics
    """
    described = _describe(load_bundle(file))
    if as_json:
        click.echo(json.dumps(described))
        return
    for key, value in described.items():
        if isinstance(value, dict | list):
            shown = json.dumps(value, indent=2).replace("\n", "\n  ")
            click.echo(f"{key}: {shown}")
        else:
            click.echo(f"{key}: {value}")


@command.command("verify")
@click.argument("file")
@json_option
def verify(*, file: str, as_json: bool) -> None:
    r"""Check a bundle's hashes, then run its golden vectors through this device's engine.

    \b
    Example:
        edge-asd bundle verify general-1.asd && echo fit for use
    """
    bundle = load_bundle(file)
    networks = open_networks(bundle)
    result = {
        "bundle": bundle.label,
        "sha256": bundle.sha256,
        "engine": networks.backend,
        "golden_vectors": len(bundle.golden.waveforms),
        "ok": True,
    }
    networks.close()
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(
            f"{bundle.label}: whole, and {result['engine']} reproduces its "
            f"{result['golden_vectors']} golden vectors"
        )


def _describe(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest.model_dump(mode="json", by_alias=True)
    size = Path(bundle.path).stat().st_size if bundle.path else None
    return {
        "label": bundle.label,
        "sha256": bundle.sha256,
        "bytes": size,
        "parameters": sum(network.parameters for network in bundle.manifest.networks),
        "macs": sum(network.macs for network in bundle.manifest.networks),
        "window_s": bundle.manifest.window_samples / bundle.manifest.sample_rate,
        "hop_s": bundle.manifest.hop_samples / bundle.manifest.sample_rate,
        **manifest,
    }
