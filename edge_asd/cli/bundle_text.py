"""What ``edge-asd bundle show`` says of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_asd.bundle import Bundle
from edge_asd.bundle.manifest import Manifest, Network, Precision

_LISTED = 8


def describe(bundle: Bundle) -> dict[str, Any]:
    """Everything: the manifest, and what follows from it or from the file."""
    manifest = bundle.manifest
    size = Path(bundle.path).stat().st_size if bundle.path else None
    return {
        "label": bundle.label,
        "sha256": bundle.sha256,
        "bytes": size,
        "parameters": sum(network.parameters for network in manifest.networks),
        "macs": sum(network.macs for network in manifest.networks),
        "network_bytes": {one.id: _sizes(bundle, one) for one in manifest.networks},
        "golden_vectors": len(bundle.golden.waveforms),
        "reference_centres": {name: len(z) for name, z in bundle.references.items()},
        "window_s": manifest.window_samples / manifest.sample_rate,
        "hop_s": manifest.hop_samples / manifest.sample_rate,
        **manifest.model_dump(mode="json", by_alias=True),
    }


def as_text(bundle: Bundle) -> str:
    """The same for people, in a few lines."""
    return "\n".join(f"{name + ':':<13} {text}" for name, text in _lines(bundle))


def _lines(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    rate = manifest.sample_rate
    yield "bundle", f"{bundle.label}, made {manifest.created_at}, licence {manifest.licence}"
    if bundle.path:
        yield "file", f"{Path(bundle.path).stat().st_size / 1e6:.1f} MB, sha256 {bundle.sha256}"
    if manifest.requires:
        yield "requires", f"edge-asd {manifest.requires} or newer"
    window_s, hop_s = manifest.window_samples / rate, manifest.hop_samples / rate
    level = f"levelled to {manifest.reference_dbfs:g} dBFS"
    yield "hears", f"{window_s:g} s every {hop_s:g} s at {rate} Hz, {level}"
    for network in manifest.networks:
        yield "network", _network(network)
        for precision, size in _sizes(bundle, network).items():
            yield f"  {precision}", _file(network, precision, size)
    scorers = ", ".join(f"{scorer.id} ({scorer.kind})" for scorer in manifest.scorers)
    yield "scorers", f"{scorers}; fused by their {manifest.fusion}"
    yield from _learned(manifest)
    if bundle.references:
        centres = sum(map(len, bundle.references.values()))
        yield "references", f"{centres} centres of {_listed(list(bundle.references))}"
    yield from _measured(manifest.metrics)
    yield "integrity", f"{len(bundle.golden.waveforms)} golden vectors; --json shows everything"


def _network(network: Network) -> str:
    inputs = ", ".join(f"{name} ({spec.kind})" for name, spec in network.inputs.items())
    return (
        f"{network.id}: {network.parameters:,} parameters, {network.macs / 1e6:,.1f} M"
        f" multiply-adds a window; {inputs} to {network.segments} x {network.embedding_size} values"
    )


def _file(network: Network, precision: Precision, size: int) -> str:
    measured = [one for one in network.precisions if one.precision == precision]
    distance = (
        f", {measured[0].cosine_distance:.1e} (cosine distance) from torch" if measured else ""
    )
    return (
        f"{size / 1e6:.1f} MB{distance}; {network.tolerance(precision):.0e} tolerated on a device"
    )


def _learned(manifest: Manifest) -> Iterator[tuple[str, str]]:
    recipe, training = manifest.recipe, manifest.metrics.get("training")
    if recipe:
        yield "recipe", str(recipe.get("name", "without a name"))
    if isinstance(training, dict):
        plain = {k: v for k, v in training.items() if v and not isinstance(v, dict | list)}
        yield "trained", ", ".join(f"{key} {value}" for key, value in plain.items())
    if manifest.data_fingerprint:
        yield "fingerprint", f"{manifest.data_fingerprint} of the clips"
    for one in manifest.provenance:
        yield "data", f"{one.name}, {one.licence}"


def _measured(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Official scores, as ``edge-asd-train export --metrics`` brought them in."""
    evaluations = metrics.get("evaluations")
    for one in evaluations if isinstance(evaluations, list) else []:
        if not isinstance(one, dict) or not isinstance(one.get("official"), float):
            continue
        data = one.get("data")
        name = data.get("folder") if isinstance(data, dict) else data
        told = ", ".join(f"{key} {one.get(key)}" for key in ("rules", "scorer", "engine"))
        score = f"official {100 * one['official']:.1f}{_interval(one.get('ci95'))}"
        yield "measured", f"{score} on {name}, {told}"


def _interval(ends: Any) -> str:
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, float) for end in ends):
        return f" (95 % from {100 * ends[0]:.1f} to {100 * ends[1]:.1f})"
    return ""


def _sizes(bundle: Bundle, network: Network) -> dict[Precision, int]:
    sizes: dict[Precision, int] = {"fp32": len(bundle.networks[network.id])}
    if network.id in bundle.networks_fp16:
        sizes["fp16"] = len(bundle.networks_fp16[network.id])
    return sizes


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"
