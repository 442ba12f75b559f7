"""The seams of the pipeline: narrow protocols, none of them thread-safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from edge_asd.records import Block, FloatArray


class AudioSource(Protocol):
    """Where sound comes from; used as a context manager through ``close``."""

    @property
    def sample_rate(self) -> int:
        """Rate of the blocks in hertz, known before the first block."""

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the source is spent (finite) or closed.

        ``captured_at`` of a live source is when the block had been read, less its length; what
        delays there were is found out by whoever reads them.

        Raises:
            CaptureError: The source failed; it may be opened again later.
            DataError: A file of it cannot be decoded.
        """

    def close(self) -> None:
        """Release the device, child process or file; may be called from another thread."""


@runtime_checkable
class PunctualSource(Protocol):
    """A source that can end a block where somebody waits for it."""

    def expect(self, index: int) -> None:
        """Have a block end at this index of its own; from any thread."""


class Engine(Protocol):
    """An inference runtime holding one network."""

    @property
    def name(self) -> str:
        """Which runtime this is, for logs and metrics: ``onnxruntime``, ``tensorrt``."""

    @property
    def precision(self) -> str:
        """What it computes in: ``fp32``, ``fp16``, ``bf16``."""

    @property
    def batch(self) -> int:
        """Windows that are worth being embedded together; 1 where nothing is gained."""

    def embed(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Embed a batch of windows.

        Args:
            inputs: One array (B, …) float32 for every feature of the network.

        Returns:
            Embeddings (B, S, D) float32, S segments a window.

        Raises:
            EngineError: The runtime failed or produced a value that is not finite.
        """

    def close(self) -> None:
        """Release the runtime."""


class Scorer(Protocol):
    """Distance of embeddings to what was learned as normal; higher is more anomalous."""

    def score(self, z: FloatArray) -> FloatArray:
        """Score embeddings (B, S, D) -> (B,)."""

    def nearest(self, z: FloatArray) -> list[int]:
        """Index of the nearest reference of every embedding (B, S, D) -> B indices."""

    def state(self) -> dict[str, FloatArray]:
        """Everything that was fitted, as plain arrays."""
