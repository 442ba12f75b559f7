"""Sound sources: files, programs, microphones and simulated machines, all yielding blocks.

Names are imported when they are first used: a microphone's child process is started again after
every fault and needs neither NumPy nor the simulator.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_asd.capture.backoff import Backoff
    from edge_asd.capture.catalogue import InputEntry, list_inputs
    from edge_asd.capture.devices import InputDevice
    from edge_asd.capture.files import FileSource, list_audio, read_audio
    from edge_asd.capture.microphone import Microphone
    from edge_asd.capture.opening import capture, open_source
    from edge_asd.capture.program import ProgramSource
    from edge_asd.capture.resample import Resampler
    from edge_asd.capture.simulated import SimSource
    from edge_asd.capture.status import CaptureStatus
    from edge_asd.capture.supervise import CaptureThread
    from edge_asd.capture.uri import (
        AlsaUri,
        ExecUri,
        FileUri,
        SimUri,
        SourceUri,
        parse_source,
    )

_HOMES = {
    "AlsaUri": "uri",
    "Backoff": "backoff",
    "CaptureStatus": "status",
    "CaptureThread": "supervise",
    "ExecUri": "uri",
    "FileSource": "files",
    "FileUri": "uri",
    "InputDevice": "devices",
    "InputEntry": "catalogue",
    "Microphone": "microphone",
    "ProgramSource": "program",
    "Resampler": "resample",
    "SimSource": "simulated",
    "SimUri": "uri",
    "SourceUri": "uri",
    "capture": "opening",
    "list_audio": "files",
    "list_inputs": "catalogue",
    "open_source": "opening",
    "parse_source": "uri",
    "read_audio": "files",
}

__all__ = [
    "AlsaUri",
    "Backoff",
    "CaptureStatus",
    "CaptureThread",
    "ExecUri",
    "FileSource",
    "FileUri",
    "InputDevice",
    "InputEntry",
    "Microphone",
    "ProgramSource",
    "Resampler",
    "SimSource",
    "SimUri",
    "SourceUri",
    "capture",
    "list_audio",
    "list_inputs",
    "open_source",
    "parse_source",
    "read_audio",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
