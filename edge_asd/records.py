"""What flows between the stages: frozen records, positions as sample indices.

Arrays in records are read-only by agreement; whoever needs to change one copies it. ``captured_at``
and the times of alerts are steady seconds (`edge_asd.steady`); they become wall time in messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class State(str, Enum):
    """What is known about a monitored machine right now."""

    NORMAL = "normal"
    WARNING = "warning"
    ALARM = "alarm"
    IDLE = "idle"
    """The machine is off: neither scored nor learned from."""
    BASELINING = "baselining"
    """Normal sound is being learned."""
    INHIBITED = "inhibited"
    """An operator asked for silence."""
    UNKNOWN = "unknown"
    """It cannot be told; never to be read as normal. A reason always comes with it."""


class Severity(str, Enum):
    """How sure an alert is."""

    WARNING = "warning"
    ALARM = "alarm"


class EventType(str, Enum):
    """The life-cycle of an alert."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What a source hands over: consecutive samples of all its channels."""

    samples: FloatArray
    """(n, C) float32 in ±1."""
    start: int
    """Stream index of the first sample, at the source's rate; a jump is lost audio."""
    captured_at: float
    """Steady time of the first sample, seconds since 1970."""
    overflowed: bool = False
    """The driver lost audio just before this block."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One network input, contiguous in time, at the bundle's rate."""

    samples: FloatArray
    """(L,) float32, after the monitor's gain."""
    start: int
    """Stream index of the first sample, at the bundle's rate."""
    run: int
    """Number of the contiguous stretch of audio it belongs to; windows of one run share frames."""
    captured_at: float
    """Steady time of the first sample, seconds since 1970."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A window's anomaly score and what explains it."""

    start: int
    """Stream index of the window's first sample, at the bundle's rate."""
    end: int
    """Stream index after the window's last sample."""
    captured_at: float
    """Steady time of the window's first sample, seconds since 1970."""
    score: float
    """Fused, standardised; higher is more anomalous."""
    level_dbfs: float
    """Level of the window before the monitor's gain."""
    nearest: str
    """Which scorer decided and its nearest reference, for example ``embedding:7``."""
    parts: dict[str, float] = field(default_factory=dict)
    """Standardised score of every fused scorer."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a monitor's state."""

    state: State
    previous: State
    at_s: float
    """Stream time, seconds."""
    captured_at: float
    """Steady time of that moment, seconds since 1970."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One step in the life of an alert; the id stays the same from new to end."""

    id: str
    """UUIDv7."""
    type: EventType
    severity: Severity
    state: State
    score: float
    """Decision statistic at this moment."""
    threshold: float
    percentile: float
    """Share of held-out normal scores below the score, 0 to 100."""
    started_at: float
    """Steady time, seconds since 1970."""
    updated_at: float
    duration_s: float
    """Stream time since the alert began."""
    windows_scored: int
    windows_gapped: int
    nearest: str
    level_dbfs: float
    ended_at: float | None = None
    reason: str = ""
    acked_by: str | None = None
    """Who has taken note of it."""
    acked_at: float | None = None
    held: bool = False
    """It began while the monitor was snoozed: recorded, and told to nobody so far."""


@dataclass(frozen=True, slots=True)
class MicrophoneNotice:
    """The machine cannot be heard, or can be heard again; apart from what the machine does."""

    id: str
    """UUIDv7; the same from new to end."""
    type: EventType
    fault: str
    """What is wrong: ``no_audio``, or a flaw of the signal such as ``digital_zero``."""
    reason: str
    """The same for people, with what to look at."""
    started_at: float
    """Steady time, seconds since 1970."""
    updated_at: float
    duration_s: float
    ended_at: float | None = None
