"""A second of listening: is this the right microphone, and does it hear anything?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_asd.capture.microphone import Microphone
from edge_asd.capture.uri import AlsaUri
from edge_asd.errors import CaptureError
from edge_asd.records import FloatArray

PROBE_S = 1.0
"""Audio that is measured."""

_SETTLE_S = 0.2  # many microphones begin with a click
_OPEN_S = 8.0
_STALL_S = 2.0
_PIECE_S = 0.05
_QUIETEST = 10.0  # percentile of the pieces
_FULL_SCALE = 0.999


@dataclass(frozen=True, slots=True)
class ChannelLevel:
    """What one channel hears; levels in dB below a full-scale square wave, None for nothing."""

    level_dbfs: float | None
    """Root mean square without the constant part."""
    peak_dbfs: float | None
    noise_dbfs: float | None
    """Level of the quietest tenth."""
    dc: float
    """Constant part, in ±1."""
    clipped_ratio: float
    """Share of samples at full scale."""
    digital_silence: bool
    """Every sample is the same: muted, unplugged behind its converter, or not a microphone."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How an opening for a second went."""

    source: str
    error: str = ""
    """Why it could not be listened to; then the rest is empty."""
    identity: str = ""
    rate: int = 0
    format: str = ""
    opened_channels: int = 0
    note: str = ""
    channels: tuple[ChannelLevel, ...] = ()


def measure(samples: FloatArray, rate: int) -> tuple[ChannelLevel, ...]:
    """Levels of every channel.

    Args:
        samples: (n, C) in ±1, n > 0.
        rate: Hertz.
    """
    return tuple(_measure(samples[:, at], rate) for at in range(samples.shape[1]))


def _measure(mono: FloatArray, rate: int) -> ChannelLevel:
    mono = mono[np.isfinite(mono)]
    if not len(mono):
        return ChannelLevel(None, None, None, 0.0, 0.0, digital_silence=False)
    dc = float(np.mean(mono, dtype=np.float64))
    swing = mono - np.float32(dc)
    piece = min(len(mono), max(1, round(_PIECE_S * rate)))
    pieces = swing[: len(swing) // piece * piece].reshape(-1, piece)  # (n,) -> (P, piece)
    powers = np.mean(np.square(pieces, dtype=np.float64), axis=1)
    still = bool(np.all(mono == mono[0]))
    return ChannelLevel(
        level_dbfs=None if still else _db(float(np.mean(np.square(swing, dtype=np.float64)))),
        peak_dbfs=_db(float(np.max(np.abs(mono))) ** 2),
        noise_dbfs=None if still else _db(float(np.percentile(powers, _QUIETEST))),
        dc=dc,
        clipped_ratio=float(np.mean(np.abs(mono) >= _FULL_SCALE)),
        digital_silence=still,
    )


def _db(power: float) -> float | None:
    return round(10.0 * math.log10(power), 1) if power > 0.0 else None


def probe(
    uri: AlsaUri,
    *,
    channels: int = 1,
    open_s: float = _OPEN_S,
    stall_s: float = _STALL_S,
    clock: Callable[[], float] = time.monotonic,
) -> Probe:
    """Listen for about a second, in a process of its own and never for much longer.

    Args:
        uri: Which microphone.
        channels: How many to measure.
        open_s: Longest time for opening.
        stall_s: Longest time without a block, and by how much the whole may be late.
        clock: Monotonic seconds.

    Returns:
        The levels, or why there are none.
    """
    try:
        microphone = Microphone(uri, channels=channels, open_s=open_s, stall_s=stall_s)
    except CaptureError as error:
        return Probe(uri.text, error=str(error))
    try:
        samples = _listen(microphone, clock() + _SETTLE_S + PROBE_S + stall_s, clock)
    except CaptureError as error:
        return Probe(uri.text, error=str(error))
    finally:
        microphone.close()
    return Probe(
        uri.text,
        identity=microphone.identity,
        rate=microphone.sample_rate,
        format=microphone.format,
        opened_channels=microphone.opened_channels,
        note=microphone.note,
        channels=measure(samples, microphone.sample_rate),
    )


def _listen(microphone: Microphone, until: float, clock: Callable[[], float]) -> FloatArray:
    skip = round(_SETTLE_S * microphone.sample_rate)
    wanted = skip + round(PROBE_S * microphone.sample_rate)
    parts, n = [], 0
    for block in microphone.blocks():
        parts.append(block.samples)
        n += len(block.samples)
        if n >= wanted or clock() > until:
            break
    if n <= skip:
        raise CaptureError("it delivers next to nothing; is it suspended, or still starting?")
    return np.concatenate(parts)[skip:]
