"""At which rate, with how many channels and in which format a microphone really opens."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from edge_asd.capture.devices import InputDevice
from edge_asd.errors import CaptureError

RATES = (48_000, 44_100, 96_000, 32_000, 22_050, 16_000, 8_000)
"""Tried in this order, hertz: three of them divide down to 16 kHz."""

# int32 keeps 24 bits, cannot hold NaN and is what almost every driver converts to exactly.
FORMATS = {"int32": "s32le", "float32": "f32le", "int16": "s16le"}

BUFFER_S = 0.4
"""Audio the driver keeps while this process does not run: what does not fit is lost."""

_PERIODS = 12  # of which that buffer consists: more cost time, with a sound server for each

_CHANNELS = (2, 4, 6, 8)
_FICTION_HZ = 44_100  # what PortAudio calls the own rate of all that can do it
_PATIENCE_S = 10.0
_UNAVAILABLE = -9985  # paDeviceUnavailable


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that runs, and how."""

    stream: Any
    rate: int
    channels: int
    format: str
    """One of `edge_asd.capture.pcm.FORMATS`."""

    def close(self) -> None:
        """Give the device back; never by ``stop``, which can hang for minutes."""
        self.stream.abort(ignore_errors=True)
        self.stream.close(ignore_errors=True)


def shorten_periods(portaudio: Any) -> None:
    """Have the driver hand over audio every 33 ms; by PortAudio's own choice it is every 100.

    A read ends with a period, however little it asks for.
    """
    with contextlib.suppress(AttributeError, OSError):  # no ALSA: blocks come later
        library = portaudio._libname  # noqa: SLF001 - it has no other name for what it loaded
        ctypes.CDLL(library).PaAlsa_SetNumPeriods(_PERIODS)


def rates_to_try(asked: int, device: InputDevice) -> tuple[int, ...]:
    """The rate asked for (0: none), the device's own, then the common ones."""
    own = () if device.default_rate == _FICTION_HZ else (device.default_rate,)
    rates = (*((asked,) if asked else ()), *own, *RATES, device.default_rate)
    return tuple(dict.fromkeys(rates))


def open_input(
    portaudio: Any,
    device: InputDevice,
    rates: Sequence[int],
    channels: int,
    clock: Callable[[], float] = time.monotonic,
) -> Opened:
    """Open and start a stream the first way that works.

    Some drivers accept settings that they then refuse to open, so opening is the only test.

    Args:
        portaudio: The module ``sounddevice``.
        device: Which input.
        rates: Hertz, the best first.
        channels: At least so many; more where the hardware refuses fewer.
        clock: Monotonic seconds.

    Raises:
        CaptureError: It is busy, or nothing works; names what was tried.
    """
    until = clock() + _PATIENCE_S
    tried: list[tuple[int, int, str]] = []
    refusal: Exception | None = None
    for rate, count, dtype in _ways(rates, channels, device.channels):
        if tried and clock() > until:
            break
        tried.append((rate, count, dtype))
        try:
            stream = _start(portaudio, device, rate, count, dtype)
        except portaudio.PortAudioError as error:
            refusal = error
            if len(error.args) > 1 and error.args[1] == _UNAVAILABLE:
                raise CaptureError(
                    f"alsa: {device.name!r} is busy or gone: {_said(error)}; another program may "
                    f"hold it (fuser -v /dev/snd/*)"
                ) from error
        else:
            return Opened(stream, rate, count, FORMATS[dtype])
    said = _said(refusal) if refusal else "it has none"
    raise CaptureError(
        f"alsa: cannot open {device.name!r} with {channels} of its {device.channels} channels: "
        f"{said}; tried {_list(t[0] for t in tried)} Hz, {_list(t[1] for t in tried)} channels, "
        f"{_list(t[2] for t in tried)}; is it plugged in, and its sound server running?"
    ) from refusal


def _ways(rates: Sequence[int], least: int, most: int) -> Iterator[tuple[int, int, str]]:
    """Rate, channels and sample type, the best first."""
    counts = dict.fromkeys(n for n in (least, *_CHANNELS, most) if least <= n <= most)
    return product(rates, counts, FORMATS)


def _start(portaudio: Any, device: InputDevice, rate: int, channels: int, dtype: str) -> Any:
    stream = portaudio.RawInputStream(
        device=device.index,
        samplerate=rate,
        channels=channels,
        dtype=dtype,
        latency=BUFFER_S,
        dither_off=True,
    )
    try:
        stream.start()
    except portaudio.PortAudioError:
        stream.close(ignore_errors=True)
        raise
    return stream


def _said(error: Exception) -> str:
    """PortAudio's text, and the driver's own where it passes that on."""
    said = str(error.args[0]) if error.args else str(error)
    driver = error.args[2] if len(error.args) > 2 else None
    text = str(driver[2]).strip() if isinstance(driver, tuple) and len(driver) > 2 else ""
    return f"{said} ({text})" if text else said


def _list(values: Any) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(values))
