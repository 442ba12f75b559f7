"""The schema of ``details.json``: why a monitor raised, in numbers and in sentences.

It is code, and fields are only ever added.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field

from edge_asd.evidence.compare import Quantity
from edge_asd.publish.payload import Count, Milli, Number, Payload, Time
from edge_asd.records import Severity

SCHEMA: Literal[1] = 1


class Nearest(Payload):
    """What the sound was most like, of all that was enrolled."""

    scorer: str
    """The scorer that contributed most to the score."""
    reference: str
    """Number of its nearest reference."""


class Score(Payload):
    """Of the decision statistic when the alert was raised."""

    value: Number
    threshold: Number
    percentile: Milli
    """Share of held-out normal scores below it, 0 to 100."""
    provisional: bool
    """The threshold promises more than the enrolled audio can support."""
    nearest: Nearest
    parts: dict[str, Number]
    """Standardised score of every scorer, of the last window that counted."""
    fusion: str
    """How they become one."""


class Model(Payload):
    """What listened."""

    name: str
    version: str
    sha256: str
    sample_rate: Count
    window_s: Milli
    scorers: tuple[str, ...]
    shown: dict[str, Any]
    """The feature that bands and picture are made of."""
    shown_is_read: bool
    """Whether the model reads that feature itself."""


class Learned(Payload):
    """What it was compared with."""

    created_at: str
    enrolled_s: Milli
    gain_db: Milli


class Gap(Payload):
    """Lost audio."""

    begin_s: Milli
    end_s: Milli


class Sound(Payload):
    """``clip.flac``; times are seconds from its first sample."""

    begins_at: Time
    sample_rate: Count
    duration_s: Milli
    asked_s: Milli
    """How long it would be had everything been there."""
    evidence_s: Milli
    """The first window that counted begins; negative where the clip begins later."""
    event_s: Milli
    """The alert begins."""
    decided_s: Milli
    """The alert was raised."""
    gaps: tuple[Gap, ...]


class Level(Payload):
    """How loud it was over all frequencies, before gain."""

    dbfs: Milli
    normal_dbfs: Milli
    difference_db: Milli
    spread_units: Milli
    """The difference in units of how much enrolled windows differ."""


class Band(Payload):
    """Neighbouring bands that differ from normal in the same way."""

    quantity: Quantity
    """``level``: how loud; ``swing``: how much it fluctuates."""
    from_hz: Milli
    to_hz: Milli
    difference_db: Milli
    """Mean over the bands."""
    spread_units: Milli
    peak_hz: Milli
    peak_db: Milli
    text: str


class Bands(Payload):
    """Every band of the model, lowest first; levels in the model's own decibels."""

    centre_hz: tuple[Milli, ...]
    level_db: tuple[Milli, ...]
    normal_level_db: tuple[Milli, ...]
    level_spread_db: tuple[Milli, ...]
    """How much the mean levels of enrolled windows differ."""
    swing_db: tuple[Milli, ...]
    """Standard deviation over time."""
    normal_swing_db: tuple[Milli, ...]
    swing_spread_db: tuple[Milli, ...]


class Difference(Payload):
    """The sound of the alert against enrolled sound."""

    begin_s: Milli
    """The part of the clip that was compared, seconds from its first sample …"""
    end_s: Milli
    windows: Count
    """… in so many windows; 0 where it is shorter than one."""
    normal_windows: Count
    """Enrolled windows that stand for normal."""
    level: Level
    deviations: tuple[Band, ...]
    """At most five, those that stand out most first."""
    bands: Bands


class Details(Payload):
    """The whole file."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    event_id: str
    device: str
    monitor: str
    severity: Severity
    started_at: Time
    decided_at: Time
    summary: tuple[str, ...]
    """For people."""
    score: Score
    model: Model
    profile: Learned
    clip: Sound
    difference: Difference | None
    difference_missing: str
    """Why there is none; empty where there is."""

    def to_file(self) -> bytes:
        """Serialise for people too: a key a line, rows of numbers in one."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False)
        rows = re.sub(r"\[[^][{}\"]+\]", lambda row: " ".join(row[0].split()), text)
        return f"{rows}\n".encode()
