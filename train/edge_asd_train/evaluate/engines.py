"""A finished run or a bundle, opened for evaluation on torch or on ONNX Runtime.

Whatever runs the network, the path is the device's: features from ``edge_asd.features``, a
``NetworkSet``, ``Views``. With ONNX Runtime a run is exported first, so that the figures describe
what ships.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from torch import nn

from edge_asd.bundle import Bundle, Golden, load_bundle
from edge_asd.bundle.manifest import SCHEMA, Manifest
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import EngineRequest, NetworkSet, open_networks
from edge_asd.errors import DataError, EngineError, StorageError, UsageError
from edge_asd.features import compute
from edge_asd.records import FloatArray
from edge_asd_train import loop
from edge_asd_train.checkpoint import Checkpoint, load_checkpoint
from edge_asd_train.device import choose_device
from edge_asd_train.export import (
    Label,
    export_bundle,
    manifest_fields,
    trained_network,
)

EngineName = Literal["torch", "onnx"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""Time of a bundle that is made to be measured and thrown away."""


class TorchEngine:
    """One network on torch: an ``edge_asd.protocols.Engine``.

    Args:
        network: In inference mode, returns (B, S, D).
        inputs: Names of its arguments, in order.
        device: Where it runs.
    """

    precision = "fp32"
    batch = 1

    def __init__(self, network: nn.Module, inputs: Sequence[str], device: torch.device) -> None:
        # Two thirds of the time on a CPU, measured in float32.
        self._network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._inputs = tuple(inputs)
        self._device = device

    @property
    def name(self) -> str:
        """Runtime and device, for the tables."""
        return f"torch/{self._device.type}"

    @torch.inference_mode()
    def embed(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Embed a batch of windows: inputs (B, …) -> (B, S, D) float32."""
        arguments = [torch.from_numpy(inputs[name]).to(self._device) for name in self._inputs]
        # Without this, convolutions on a GPU round to 10 bits of mantissa.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            z: FloatArray = self._network(*arguments).float().cpu().numpy()
        if not np.isfinite(z).all():
            raise EngineError("the network produced a value that is not finite; train again")
        return z

    def close(self) -> None:
        """Release the network."""
        del self._network


class DeferredNetworks(NetworkSet):
    """Networks opened at the first window: embeddings that are kept need none."""

    def __init__(self, bundle: Bundle, opening: Callable[[], NetworkSet]) -> None:
        super().__init__(bundle, {})
        self._opening = opening
        self._opened: NetworkSet | None = None

    @property
    def backend(self) -> str:
        """Name of the runtime."""
        return self._networks().backend

    def embed(self, features: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Embeddings of a batch by every network, by id."""
        return self._networks().embed(features)

    def close(self) -> None:
        """Release every runtime that was opened."""
        if self._opened is not None:
            self._opened.close()

    def _networks(self) -> NetworkSet:
        if self._opened is None:
            self._opened = self._opening()
        return self._opened


class BatchEmbedder(WindowEmbedder):
    """``WindowEmbedder`` for many windows at once, and what it was opened from.

    Args:
        networks: Of a run or a bundle.
        label: What the tables call it.
        engine: Which runtime was asked for.
    """

    def __init__(self, networks: NetworkSet, label: str, engine: EngineName) -> None:
        super().__init__(networks)
        self.label = label
        self.engine = engine
        self.identity = networks.bundle.sha256
        """Changes whenever the weights do."""

    def embeddings(self, samples: FloatArray) -> dict[str, FloatArray]:
        """Embeddings of windows that need not touch one another.

        Args:
            samples: (B, L) float32 at the bundle's rate, after gain.

        Returns:
            (B, S, D) float32 by network id.
        """
        features = {
            f"{network.id}/{name}": compute(spec, samples, self.manifest.sample_rate)
            for network in self.manifest.networks
            for name, spec in network.inputs.items()
        }
        return self.networks.embed(features)


def open_embedder(
    run: Path | None = None,
    bundle: Path | None = None,
    *,
    engine: EngineName | None = None,
    device: str | None = None,
    threads: int = 1,
) -> BatchEmbedder:
    """Open a finished run or a bundle.

    Args:
        run: Folder of the run; either this or ``bundle``.
        bundle: A file that ``export`` wrote.
        engine: ``torch`` needs a run; a run's default is ``torch``, a bundle's ``onnx``.
        device: Of torch, as ``choose_device`` reads it; the accelerator by default.
        threads: Of ONNX Runtime.

    Raises:
        UsageError: Both or neither are given, the engine cannot run it, or no such device.
        DataError: No run is in the folder, or it has not ended.
        BundleError: The bundle cannot be used.
    """
    if bundle is not None and run is None:
        if engine == "torch":
            raise UsageError("a bundle holds no torch network: leave --engine out, or give --run")
        if device is not None:
            raise UsageError("--device is for torch; a bundle runs on ONNX Runtime")
        opened = load_bundle(bundle)
        return BatchEmbedder(
            open_networks(opened, EngineRequest(threads=threads)), opened.label, "onnx"
        )
    if run is None or bundle is not None:
        raise UsageError("give either --run or --bundle")
    if engine == "onnx" and device is not None:
        raise UsageError("--device is for torch; leave it or --engine onnx out")
    return _open_run(run, engine or "torch", device, threads)


def _open_run(folder: Path, engine: EngineName, device: str | None, threads: int) -> BatchEmbedder:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the one that fit --out made")
    path = folder / loop.CHECKPOINT
    checkpoint = load_checkpoint(path)
    network = trained_network(checkpoint)
    label = Label(checkpoint.recipe.name, "run")
    fields = manifest_fields(checkpoint.recipe, network, label, now=_EPOCH)
    manifest = Manifest.model_validate({"schema": SCHEMA, **fields, "files": {}})
    nothing = Golden(np.empty((0, manifest.window_samples), np.int16), {})
    stand_in = Bundle(manifest, {}, nothing, {}, _digest(path))
    networks: NetworkSet
    if engine == "torch":
        inputs = list(manifest.networks[0].inputs)
        networks = NetworkSet(
            stand_in,
            {
                checkpoint.recipe.network.kind: TorchEngine(
                    network, inputs, choose_device(device or "auto")
                )
            },
        )
    else:
        networks = DeferredNetworks(stand_in, lambda: _exported(checkpoint, label, threads))
    return BatchEmbedder(networks, folder.resolve().name, engine)


def _exported(checkpoint: Checkpoint, label: Label, threads: int) -> NetworkSet:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.asd"
        return open_networks(
            export_bundle(path, checkpoint, label, now=_EPOCH), EngineRequest(threads=threads)
        )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
