"""The sound of an alert against normal sound, band by band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_asd.audio import level_dbfs
from edge_asd.bundle.manifest import Manifest
from edge_asd.evidence.normal import BandLevels, NormalSound, measure
from edge_asd.evidence.tap import Clip
from edge_asd.evidence.view import FrontEnd, Mono, Spectrogram, heard
from edge_asd.records import FloatArray

MAX_DEVIATIONS = 5
LEAST_UNITS = 4.0
"""A band deviates from so many times its usual spread on …"""
LEAST_DB = 1.5
"""… if a person could hear it."""

Quantity = Literal["level", "swing"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """Neighbouring bands that differ from normal in the same way."""

    quantity: Quantity
    """``level``: how loud; ``swing``: how much it fluctuates in time."""
    from_hz: float
    to_hz: float
    difference_db: float
    """Mean over the bands, positive for more than normal."""
    spread_units: float
    """The same in units of the enrolled spread."""
    peak_hz: float
    """Where it is largest …"""
    peak_db: float
    """… and how large it is there."""

    @property
    def text(self) -> str:
        """For people, such as ``2.1 to 3.4 kHz: 11 dB louder``."""
        more, less = (
            ("louder", "softer")
            if self.quantity == "level"
            else ("more fluctuation", "less fluctuation")
        )
        amount = abs(self.difference_db)
        shown = f"{amount:.0f}" if amount >= 9.95 else f"{amount:.1f}"
        change = more if self.difference_db > 0 else less
        return f"{hertz(self.from_hz, self.to_hz)}: {shown} dB {change}"


def hertz(low: float, high: float) -> str:
    """A range of frequencies for people.

    >>> hertz(102.6, 612.0), hertz(2131.0, 3420.0), hertz(2190.0, 2210.0)
    ('100 to 610 Hz', '2.1 to 3.4 kHz', 'about 2.2 kHz')
    """
    plain = high < 995.0 or (low < 995.0 and high < 1950.0)
    divisor, unit = (1.0, "Hz") if plain else (1000.0, "kHz")
    begin, end = (float(f"{hz:.2g}") / divisor for hz in (low, high))
    return f"about {end:g} {unit}" if begin == end else f"{begin:g} to {end:g} {unit}"


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A clip as the model heard it."""

    spectrogram: Spectrogram
    span_s: tuple[float, float]
    """Seconds of the clip that stand for the alert."""
    levels: BandLevels
    """Of that span."""
    level_dbfs: float
    """Of that span, before gain."""
    windows: int
    """Whole windows it is the mean of; 0 where it is shorter than one."""
    share: float
    """How much of a window was heard at least, up to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What is different."""

    normal: NormalSound
    difference: BandLevels
    """(M,) alert minus normal."""
    units: BandLevels
    """(M,) the same over the enrolled spread, which is wider for less than a window."""
    level_difference_db: float
    """How much louder it is over all frequencies."""
    level_units: float
    """The same over the enrolled spread."""
    deviations: tuple[Deviation, ...]
    """At most five, those that stand out most first."""


def hear(clip: Clip, front_end: FrontEnd, manifest: Manifest, gain_db: float) -> Heard | None:
    """The clip through the bundle's front end; None where it is too short for one frame."""
    rate = manifest.sample_rate
    mono = heard(clip.samples, clip.rate, clip.gaps, target_rate=rate, gain_db=gain_db)
    spectrogram = front_end.spectrogram(mono)
    if not (~np.isnan(spectrogram.db[:, :1])).any():
        return None
    window_s = manifest.window_samples / rate
    span_s = _span(clip, window_s)
    inside = _inside(spectrogram, span_s)
    if not (~np.isnan(spectrogram.db[inside, :1])).any():
        span_s, inside = (0.0, clip.duration_s), np.ones(len(spectrogram.db), bool)
    size = max(1, round(window_s / spectrogram.hop_s))
    windows = _windows(spectrogram.db[inside], size)
    parts = [measure(window) for window in windows]
    return Heard(
        spectrogram=spectrogram,
        span_s=span_s,
        levels=BandLevels(
            np.mean([part.mean_db for part in parts], axis=0),
            np.mean([part.swing_db for part in parts], axis=0),
        ),
        level_dbfs=_level(mono, span_s, rate) - gain_db,
        windows=len(windows) if int(inside.sum()) >= size else 0,
        share=min(1.0, int(inside.sum()) / size),
    )


def compare(heard_: Heard, normal: NormalSound, front_end: FrontEnd) -> Comparison:
    """Subtract normal sound and find the bands that stand out."""
    usual, spread = normal.usual, normal.spread
    level = heard_.levels.mean_db - usual.mean_db
    swing = heard_.levels.swing_db - usual.swing_db
    # Less than a window scatters more than the enrolled windows do.
    scatter = heard_.share**-0.5
    units = BandLevels(level / spread.mean_db / scatter, swing / spread.swing_db / scatter)
    louder = _deviations("level", level, units.mean_db, front_end)
    # A louder tone fluctuates less by itself: how loud says it all where both differ.
    fluctuating = [
        (weight, one)
        for weight, one in _deviations("swing", swing, units.swing_db, front_end)
        if all(one.to_hz <= other.from_hz or other.to_hz <= one.from_hz for _, other in louder)
    ]
    found = sorted(louder + fluctuating, key=lambda one: one[0], reverse=True)
    louder_db = heard_.level_dbfs - normal.level_dbfs
    return Comparison(
        normal=normal,
        difference=BandLevels(level, swing),
        units=units,
        level_difference_db=louder_db,
        level_units=louder_db / normal.level_spread_db / scatter,
        deviations=tuple(deviation for _, deviation in found[:MAX_DEVIATIONS]),
    )


def _span(clip: Clip, window_s: float) -> tuple[float, float]:
    """Which part of a clip stands for the alert.

    The windows that counted reach back to before the fault; from where the alert began it is in all
    of them, unless a single bang may raise: that lies anywhere in them.
    """
    marks = clip.marks
    sustained = marks.decided_s - marks.event_s > window_s
    begin = max(0.0, marks.event_s if sustained else marks.evidence_s)
    end = min(clip.duration_s, marks.decided_s)
    return (begin, end) if begin < end else (0.0, clip.duration_s)


def _inside(spectrogram: Spectrogram, span_s: tuple[float, float]) -> NDArray[np.bool_]:
    times = spectrogram.times_s
    return np.asarray((times >= span_s[0]) & (times <= span_s[1]))


def _windows(db: FloatArray, size: int) -> list[FloatArray]:
    """Frames (T, M) as windows, the last one right-aligned; those without any audio left out."""
    starts = list(range(0, max(1, len(db) - size + 1), size))
    if starts[-1] + size < len(db):
        starts.append(len(db) - size)
    windows = [db[start : start + size] for start in starts]
    return [window for window in windows if (~np.isnan(window[:, 0])).any()]


def _level(mono: Mono, span_s: tuple[float, float], rate: int) -> float:
    """Level of the audio that is there in a span, after gain."""
    begin, end = round(span_s[0] * rate), round(span_s[1] * rate)
    pieces = [mono.samples[max(begin, low) : min(end, high)] for low, high in mono.runs]
    return level_dbfs(np.concatenate([*pieces, np.zeros(0, np.float32)]))


def _deviations(
    quantity: Quantity, difference: FloatArray, units: FloatArray, front_end: FrontEnd
) -> list[tuple[float, Deviation]]:
    """Bands around every peak of the deviation, with how much they stand out together."""
    stands_out = (np.abs(units) >= LEAST_UNITS) & (np.abs(difference) >= LEAST_DB)
    left = np.where(stands_out, np.abs(units), 0.0)
    found: list[tuple[float, Deviation]] = []
    while left.any() and len(found) < MAX_DEVIATIONS:
        peak = int(left.argmax())
        low, high = _around(peak, difference, left)
        first, last = _skirts(low, high, difference, left)
        left[first:last] = 0.0
        deviation = Deviation(
            quantity,
            from_hz=float(front_end.edges_hz[low]),
            to_hz=float(front_end.edges_hz[high]),
            difference_db=float(difference[low:high].mean()),
            spread_units=float(units[low:high].mean()),
            peak_hz=float(front_end.centres_hz[peak]),
            peak_db=float(difference[peak]),
        )
        found.append((float(np.linalg.norm(units[low:high])), deviation))
    return found


def _around(peak: int, difference: FloatArray, left: FloatArray) -> tuple[int, int]:
    """Bands (begin, end) beside a peak that deviate a third as much or more, in its direction.

    A single band in between that does not is bridged: neighbours scatter.
    """
    alike = (difference * np.sign(difference[peak]) >= abs(difference[peak]) / 3) & (left > 0)
    low = high = peak
    while alike[max(0, low - 2) : low].any():
        low = low - 1 if alike[low - 1] else low - 2
    while alike[high + 1 : high + 3].any():
        high = high + 1 if alike[high + 1] else high + 2
    return low, high + 1


def _skirts(low: int, high: int, difference: FloatArray, left: FloatArray) -> tuple[int, int]:
    """The same bands with those beside them in which the deviation fades away."""
    size = difference * np.sign(difference[low])
    while low > 0 and left[low - 1] > 0 and 0 < size[low - 1] < size[low]:
        low -= 1
    while high < len(left) and left[high] > 0 and 0 < size[high] < size[high - 1]:
        high += 1
    return low, high
