"""What is known about a monitor right now, as the worker says it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.records import Event, State


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about a monitor right now."""

    state: State
    reason: str = ""
    score: float | None = None
    percentile: float | None = None
    progress: float | None = None
    """Share of the baselining that is done, 0 to 1."""
    event: Event | None = None
    """Alert that is going on."""


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """What a score stands for."""

    length_s: float
    """Audio in the window."""
    hop_s: float
    """From the window scored before; longer under overload."""
