"""The few functions and records of libpulse that `edge_asd.capture.pulse` uses.

Through ctypes: its callbacks work where memory must never be writable and executable, which those
of cffi do not. The records are the beginnings of those in ``pulse/introspect.h``; they have not
changed since version 1.0, and may only grow at their end.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, c_char_p, c_int, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from edge_asd.errors import CaptureError, StallError

LIBRARY = "libpulse.so.0"

NO_AUTOSPAWN = 1
READY = 4
ENDED = frozenset({5, 6})  # PA_CONTEXT_FAILED, PA_CONTEXT_TERMINATED
RUNNING = 0  # PA_OPERATION_RUNNING
SOURCE_OUTPUTS = 8  # PA_SUBSCRIPTION_MASK_SOURCE_OUTPUT
KIND_MASK, REMOVED = 0x30, 0x20  # PA_SUBSCRIPTION_EVENT_TYPE_MASK, …_REMOVE

SUBSCRIBE_CB = CFUNCTYPE(None, c_void_p, c_int, c_uint32, c_void_p)
SUCCESS_CB = CFUNCTYPE(None, c_void_p, c_int, c_void_p)
INFO_CB = CFUNCTYPE(None, c_void_p, c_void_p, c_int, c_void_p)

_CHANNELS_MAX = 32


class _SampleSpec(ctypes.Structure):
    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class _ChannelMap(ctypes.Structure):
    _fields_ = (("channels", c_uint8), ("map", c_int * _CHANNELS_MAX))


class _Volume(ctypes.Structure):
    _fields_ = (("channels", c_uint8), ("values", c_uint32 * _CHANNELS_MAX))


class StreamInfo(ctypes.Structure):
    """The beginning of ``pa_source_output_info``."""

    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("client", c_uint32),
        ("source", c_uint32),
        ("sample_spec", _SampleSpec),
        ("channel_map", _ChannelMap),
        ("buffer_usec", c_uint64),
        ("source_usec", c_uint64),
        ("resample_method", c_char_p),
        ("driver", c_char_p),
        ("proplist", c_void_p),
    )


class SourceInfo(ctypes.Structure):
    """The beginning of ``pa_source_info``."""

    _fields_ = (
        ("name", c_char_p),
        ("index", c_uint32),
        ("description", c_char_p),
        ("sample_spec", _SampleSpec),
        ("channel_map", _ChannelMap),
        ("owner_module", c_uint32),
        ("volume", _Volume),
        ("mute", c_int),
        ("monitor_of_sink", c_uint32),
        ("monitor_of_sink_name", c_char_p),
        ("latency", c_uint64),
        ("driver", c_char_p),
        ("flags", c_int),
        ("proplist", c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that records."""

    number: int
    source: int
    token: str


@dataclass(frozen=True, slots=True)
class Source:
    """What streams record from."""

    name: str
    rate: int
    card: int | None
    device: int
    plays: str
    """Name of the sink whose sound it repeats; empty for a microphone."""


def read_stream(pulse: ctypes.CDLL, info: StreamInfo, token: str) -> Stream:
    """Copy what is needed: the record lives only as long as its callback."""
    return Stream(info.index, info.source, _property(pulse, info.proplist, token))


def read_source(pulse: ctypes.CDLL, info: SourceInfo) -> Source:
    """As `read_stream`."""
    card = _property(pulse, info.proplist, "alsa.card")
    device = _property(pulse, info.proplist, "alsa.device")
    # What a loudspeaker plays is a source too, and names the loudspeaker's card.
    plays = (info.monitor_of_sink_name or b"").decode("utf-8", "replace")
    return Source(
        name=(info.name or b"").decode("utf-8", "replace"),
        rate=info.sample_spec.rate,
        card=int(card) if card.isdigit() and not plays else None,
        device=int(device) if device.isdigit() else 0,
        plays=plays,
    )


def no_answer(what: str) -> StallError:
    """The error for a server that hangs."""
    return StallError(f"{what} does not answer; restart it")


def library() -> ctypes.CDLL:
    """The library, with the types of what is used of it.

    Raises:
        CaptureError: It is not installed.
    """
    try:
        pulse = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise CaptureError(f"{LIBRARY} is not installed; apt install libpulse0") from error
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(pulse, name)
        function.restype, function.argtypes = result, arguments
    return pulse


def _property(pulse: ctypes.CDLL, properties: int | None, name: str) -> str:
    value = pulse.pa_proplist_gets(properties, name.encode()) if properties else None
    return value.decode("utf-8", "replace") if value else ""


_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "pa_mainloop_new": (c_void_p,),
    "pa_mainloop_get_api": (c_void_p, c_void_p),
    "pa_mainloop_prepare": (c_int, c_void_p, c_int),
    "pa_mainloop_poll": (c_int, c_void_p),
    "pa_mainloop_dispatch": (c_int, c_void_p),
    "pa_mainloop_free": (None, c_void_p),
    "pa_context_new": (c_void_p, c_void_p, c_char_p),
    "pa_context_connect": (c_int, c_void_p, c_char_p, c_int, c_void_p),
    "pa_context_disconnect": (None, c_void_p),
    "pa_context_unref": (None, c_void_p),
    "pa_context_get_state": (c_int, c_void_p),
    "pa_context_errno": (c_int, c_void_p),
    "pa_context_set_subscribe_callback": (None, c_void_p, SUBSCRIBE_CB, c_void_p),
    "pa_context_subscribe": (c_void_p, c_void_p, c_int, SUCCESS_CB, c_void_p),
    "pa_context_get_source_output_info": (c_void_p, c_void_p, c_uint32, INFO_CB, c_void_p),
    "pa_context_get_source_output_info_list": (c_void_p, c_void_p, INFO_CB, c_void_p),
    "pa_context_get_source_info_by_index": (c_void_p, c_void_p, c_uint32, INFO_CB, c_void_p),
    "pa_operation_get_state": (c_int, c_void_p),
    "pa_operation_unref": (None, c_void_p),
    "pa_proplist_gets": (c_char_p, c_void_p, c_char_p),
    "pa_strerror": (c_char_p, c_int),
}
