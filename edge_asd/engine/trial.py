"""What engines cost on this computer, and which one that speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edge_asd.engine.candidates import Candidate, CpuEngine, CpuPrecision

LEAST_SHARE = 0.1
"""An engine that saves less of a window's time is no faster as far as a noisy computer can tell."""
WORTH_OF_HOP = 1e-3
"""Nor is another runtime, with its memory, worth a thousandth of a core for every monitor."""
MEMORY_SHARE = 0.25
"""Of the memory that is free: another runtime must not take more."""


class Trial(BaseModel):
    """One engine, tried."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: CpuEngine
    precision: CpuPrecision
    window_s: Annotated[float, Field(gt=0, lt=3600, allow_inf_nan=False)] | None
    """Median time of a window; None if it must not score."""
    memory_bytes: int = Field(ge=0)
    """Of its runtime and the networks, at most."""
    refused: str = ""
    """Why it must not score."""

    @property
    def candidate(self) -> Candidate:
        """Who was tried."""
        return Candidate(self.name, self.precision)


def decide(trials: Sequence[Trial], *, hop_s: float, available_bytes: int) -> tuple[Candidate, str]:
    """The first of those that were tried, unless another is clearly worth changing to.

    Args:
        trials: At least one.
        hop_s: From one window of a monitor to its next.
        available_bytes: Memory that is free.

    Returns:
        The engine, and the reason in words.
    """
    first, *others = trials
    fit = [(one.window_s, one) for one in others if one.window_s is not None]
    if first.window_s is None or not fit:
        return first.candidate, "; ".join(f"{o.candidate} refused: {o.refused}" for o in others)
    fastest_s, fastest = min(fit, key=lambda pair: pair[0])
    saved_s, another = first.window_s - fastest_s, fastest.name != first.name
    stays = f"{_ms(first.window_s)} a window, {fastest.candidate} {_ms(fastest_s)}"
    if saved_s < LEAST_SHARE * first.window_s:
        return first.candidate, stays
    if another and saved_s < WORTH_OF_HOP * hop_s:
        return first.candidate, f"{stays}: not worth {_mb(fastest.memory_bytes)}"
    if another and fastest.memory_bytes > MEMORY_SHARE * available_bytes:
        too_much = f"{_mb(fastest.memory_bytes)} of {_mb(available_bytes)} that are free"
        return first.candidate, f"{stays}, but takes {too_much}"
    return (
        fastest.candidate,
        f"{_ms(fastest_s)} a window, {first.candidate} {_ms(first.window_s)}",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
