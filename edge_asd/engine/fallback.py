"""An engine that may fail, with one behind it that scores the very window it failed on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edge_asd.engine.strikes import Inside
from edge_asd.errors import EdgeAsdError
from edge_asd.protocols import Engine
from edge_asd.records import FloatArray

logger = logging.getLogger(__name__)


def explained(error: Exception) -> str:
    """An error in words, also one that nobody thought of."""
    if isinstance(error, EdgeAsdError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"


class Trust:
    """Shared by all that run on one GPU in one process: if one of them fails, none goes on."""

    def __init__(self) -> None:
        self.failure = ""
        """Why it is lost; empty while it is not."""


class Fallback:
    """See the module; not thread-safe.

    Args:
        engine: What serves as long as it does not fail.
        spare: Opens what serves after that, proven; not called before, for it takes memory.
        trust: In the GPU.
        inside: Told whenever the engine is entered.
    """

    def __init__(
        self,
        engine: Engine,
        spare: Callable[[], Engine],
        trust: Trust,
        inside: Inside,
    ) -> None:
        self._engine, self._open_spare, self._trust, self._inside = engine, spare, trust, inside
        self._spare: Engine | None = None

    @property
    def failure(self) -> str:
        """Why the spare serves; empty while it does not."""
        return self._trust.failure

    @property
    def name(self) -> str:
        """Of the runtime that serves now."""
        return self._serving.name

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self._serving.precision

    @property
    def batch(self) -> int:
        """Windows that are worth being embedded together now."""
        return self._serving.batch

    def embed(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Embed a batch of windows: inputs (B, …) -> (B, S, D) float32."""
        if not self.failure:
            try:
                with self._inside():
                    return self._engine.embed(inputs)
            except Exception as error:  # noqa: BLE001 - whatever it is, the window must be scored
                self._trust.failure = explained(error)
                logger.error(  # noqa: TRY400 - a line for operators, not a traceback
                    "engine failed backend=%s reason=%s", self._engine.name, self._trust.failure
                )
        if self._spare is None:
            self._spare = self._open_spare()
            logger.warning("engine fallback backend=%s until=restart", self._spare.name)
        return self._spare.embed(inputs)

    def close(self) -> None:
        """Release both runtimes."""
        if self._spare is not None:
            self._spare.close()
        self._engine.close()
        self._inside.close()

    @property
    def _serving(self) -> Engine:
        return self._spare or self._engine
