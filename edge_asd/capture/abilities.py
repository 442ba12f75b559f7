"""What a sound card's input can do by itself, asked of ALSA without PortAudio's conversions."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_void_p
from dataclasses import dataclass
from typing import Any

LIBRARY = "libasound.so.2"

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)
FORMATS = {"S16_LE": 2, "S24_LE": 6, "S32_LE": 10, "FLOAT_LE": 14, "S24_3LE": 32}
"""Names and numbers of ``snd_pcm_format_t``."""

_CAPTURE, _NONBLOCK = 1, 1


@dataclass(frozen=True, slots=True)
class Abilities:
    """What it can do, or why that cannot be told."""

    rates: tuple[int, ...] = ()
    """Hertz, of the common ones."""
    formats: tuple[str, ...] = ()
    channels: tuple[int, int] | None = None
    """Fewest and most."""
    remark: str = ""
    """Why it cannot be told; empty when it can."""


def abilities(pcm: str) -> Abilities:
    """Ask ALSA about an input, which is opened for that but not started.

    Args:
        pcm: ALSA's name of it, ``hw:1,0``.
    """
    try:
        alsa = _library()
    except OSError:
        return Abilities(remark=f"{LIBRARY} is not installed")
    handle = c_void_p()
    failed = alsa.snd_pcm_open(byref(handle), pcm.encode(), _CAPTURE, _NONBLOCK)
    if failed < 0:
        busy = "in use by another program"
        return Abilities(remark=busy if failed == -16 else os.strerror(-failed))  # EBUSY
    try:
        return _ask(alsa, handle)
    finally:
        alsa.snd_pcm_close(handle)


def _ask(alsa: ctypes.CDLL, handle: c_void_p) -> Abilities:
    # malloc of the library itself: the record's size is its own business.
    space = c_void_p()
    alsa.snd_pcm_hw_params_malloc(byref(space))
    try:
        if alsa.snd_pcm_hw_params_any(handle, space) < 0:
            return Abilities(remark="has no settings that fit together")
        fewest, most = c_uint(), c_uint()
        alsa.snd_pcm_hw_params_get_channels_min(space, byref(fewest))
        alsa.snd_pcm_hw_params_get_channels_max(space, byref(most))
        return Abilities(
            rates=tuple(
                rate
                for rate in RATES
                if alsa.snd_pcm_hw_params_test_rate(handle, space, rate, 0) == 0
            ),
            formats=tuple(
                name
                for name, number in FORMATS.items()
                if alsa.snd_pcm_hw_params_test_format(handle, space, number) == 0
            ),
            channels=(fewest.value, most.value),
        )
    finally:
        alsa.snd_pcm_hw_params_free(space)


def _library() -> ctypes.CDLL:
    alsa = ctypes.CDLL(LIBRARY)
    for name, arguments in _FUNCTIONS.items():
        getattr(alsa, name).argtypes = arguments
    return alsa


_FUNCTIONS: dict[str, list[Any]] = {
    "snd_pcm_open": [POINTER(c_void_p), c_char_p, c_int, c_int],
    "snd_pcm_close": [c_void_p],
    "snd_pcm_hw_params_malloc": [POINTER(c_void_p)],
    "snd_pcm_hw_params_free": [c_void_p],
    "snd_pcm_hw_params_any": [c_void_p, c_void_p],
    "snd_pcm_hw_params_get_channels_min": [c_void_p, POINTER(c_uint)],
    "snd_pcm_hw_params_get_channels_max": [c_void_p, POINTER(c_uint)],
    "snd_pcm_hw_params_test_rate": [c_void_p, c_void_p, c_uint, c_int],
    "snd_pcm_hw_params_test_format": [c_void_p, c_void_p, c_int],
}
