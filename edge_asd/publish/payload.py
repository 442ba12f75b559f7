"""What payloads share: their base, how times and numbers leave, what orders them, common parts.

Times enter as seconds since 1970 UTC and leave as RFC 3339 with ``Z``; numbers are rounded to what
they mean; a number that is not finite leaves as ``null``, because JSON has no NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge_asd.clock import rfc3339

SCHEMA: Literal[1] = 1
"""Version of the payloads; consumers ignore fields that they do not know."""


def _time(value: object) -> object:
    """Seconds to text; text passes, so that a stored message reads back."""
    if isinstance(value, (int, float)):
        return rfc3339(value) if math.isfinite(value) else None
    return value


def _significant(value: object) -> object:
    """Six significant digits: more than a float32 score means."""
    return _rounded(value, lambda number: float(f"{number:.6g}"))


def _milli(value: object) -> object:
    """Three decimals: milliseconds, thousandths of a percent, thousandths of a decibel."""
    return _rounded(value, lambda number: round(number, 3))


def _rounded(value: object, rounding: Callable[[float], float]) -> object:
    if isinstance(value, (int, float)):
        return rounding(float(value)) if math.isfinite(value) else None
    return value


def or_nan(number: float | None) -> float:
    """A number that left as ``null``, back as NaN."""
    return math.nan if number is None else number


Time = Annotated[
    str, BeforeValidator(_time), Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
]
Number = Annotated["float | None", BeforeValidator(_significant)]
Milli = Annotated["float | None", BeforeValidator(_milli)]
Count = Annotated[int, Field(ge=0)]


class Payload(BaseModel):
    """Base of every message."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    def to_json(self) -> bytes:
        """Serialise in field order; UTF-8, one line."""
        return self.model_dump_json(by_alias=True).encode()


class Versioned(Payload):
    """Base of the messages that stand alone."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    """Version of the payloads; another one only if a field had to change or go."""
    device: str
    """Name of the device."""


class Clock(Payload):
    """Whether the times can be trusted."""

    synchronized: bool | None
    """Whether the system's clock is set by a time server; null when it cannot be known."""


class Stamp(Payload):
    """Orders messages even when the wall clock steps."""

    clock: Clock
    """Whether the wall times of this message can be trusted."""
    monotonic_ns: Count
    """Time since the boot, nanoseconds: orders messages of one boot whatever the wall clock did."""
    boot_id: str
    """Monotonic times compare within one boot only."""


class ModelRef(Payload):
    """The network that decided."""

    name: str
    """Of the bundle."""
    version: str
    """Of the bundle."""
    sha256: str
    """Of the bundle's file."""
    backend: str
    """Runtime: ``onnxruntime``, ``tensorrt``."""


class Audio(Payload):
    """Signal facts."""

    dbfs: Milli
    """Level before the monitor's gain."""
