"""``edge-asd-train export``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from edge_asd.bundle.manifest import Precision
from edge_asd.errors import DataError, StorageError, UsageError
from edge_asd_train import loop
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.cli.common import FILE, FOLDER, progress_bars
from edge_asd_train.datasets import ClipStore
from edge_asd_train.export import Extras, Label, export_bundle
from edge_asd_train.measured import read_evaluation


@click.command()
@click.option("--run", "folder", type=FOLDER, required=True, help="Folder of a finished run.")
@click.option("--out", type=FILE, required=True, help="NAME-VERSION.asd")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="fp16 adds a network for accelerators; the one in fp32 is always there.",
)
@click.option(
    "--metrics",
    type=FILE,
    multiple=True,
    help="An evaluation.json of the run, for the manifest; may be given several times.",
)
@click.option("--licence", default="Apache-2.0", show_default=True, help="Of the bundle.")
@click.option("--created-at", help="RFC 3339; $SOURCE_DATE_EPOCH, else now.")
def export(
    *,
    folder: Path,
    out: Path,
    precision: Precision,
    metrics: tuple[Path, ...],
    licence: str,
    created_at: str | None,
) -> None:
    """Pack a trained network into a bundle.

    Refused when ONNX Runtime does not reproduce the embeddings of torch. The centres of the
    machines in the run's clips go with it, where the clips are still there.

    \b
    Example:
      edge-asd-train evaluate --run runs/mine-1 --data mine --out eval
      edge-asd-train export --run runs/mine-1 --metrics eval/evaluation.json --out mine-1.asd
    """  # noqa: D301
    name, _, version = out.stem.rpartition("-")
    if out.suffix != ".asd" or not name or not version:
        raise UsageError(f"{out}: call it NAME-VERSION.asd, for example general-2.asd")
    now = creation_time(created_at, os.environ)
    evaluations = tuple(read_evaluation(path) for path in metrics)
    checkpoint = load_checkpoint(folder / loop.CHECKPOINT)
    _check_measured(metrics, evaluations, folder / loop.CHECKPOINT)
    clips = _clips(folder)
    with progress_bars() as bars:

        def bar(title: str, total: int) -> Callable[[], None]:
            task = bars.add_task(title, total=total, terms="")
            return lambda: bars.advance(task)

        extras = Extras(precision, clips, evaluations, bar)
        bundle = export_bundle(
            out, checkpoint, Label(name, version, licence), now=now, extras=extras
        )
    if clips is not None and not bundle.references:
        click.echo(f"no references: {len(clips.machine_names)} machines are too many", err=True)
    network = bundle.manifest.networks[0]
    click.echo(
        f"{out}: {bundle.label}, {out.stat().st_size / 1e6:.1f} MB, {network.parameters} parameters"
        f", {network.macs / 1e6:.0f} M multiply-adds a window, sha256 {bundle.sha256}"
    )


def creation_time(given: str | None, environ: Mapping[str, str]) -> datetime:
    """When a bundle says that it was made.

    Args:
        given: ``--created-at``.
        environ: May hold SOURCE_DATE_EPOCH, seconds since 1970, as reproducible builds have it.

    Raises:
        UsageError: It is no time.
    """
    epoch = environ.get("SOURCE_DATE_EPOCH")
    try:
        if given is not None:
            # Python 3.10 does not know the Z of RFC 3339.
            time = datetime.fromisoformat(given.replace("Z", "+00:00").replace("z", "+00:00"))
            return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
        if epoch:
            return datetime.fromtimestamp(int(epoch), timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        where = "SOURCE_DATE_EPOCH" if given is None else "--created-at"
        raise UsageError(
            f"{where}: {given or epoch} is no time; write it as 2026-01-31T12:00:00Z"
            if given
            else f"{where}: {epoch} is no number of seconds; correct or unset it"
        ) from error
    return datetime.now(timezone.utc)


def _clips(folder: Path) -> ClipStore | None:
    """The run's clips, where they are still there; one line where they are not."""
    try:
        return ClipStore.open(folder / "clips")
    except DataError as error:
        click.echo(f"without references and data fingerprint: {error}", err=True)
        return None


def _check_measured(
    paths: tuple[Path, ...], evaluations: tuple[dict[str, Any], ...], checkpoint: Path
) -> None:
    """Say which figures were not measured on the run itself: those of a bundle cannot be told."""
    try:
        own = hashlib.sha256(checkpoint.read_bytes()).hexdigest() if paths else ""
    except OSError as error:
        raise StorageError(f"{checkpoint}: cannot read: {error.strerror}") from error
    for path, one in zip(paths, evaluations, strict=True):
        measured = one["network"]
        if measured.get("sha256") != own:
            click.echo(
                f"{path}: measured on {measured.get('label')}, not on this checkpoint;"
                " the manifest says so",
                err=True,
            )
