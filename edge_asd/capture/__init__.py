"""Sound sources: files, programs, microphones and simulated machines, all yielding blocks."""

from __future__ import annotations

from edge_asd.capture.backoff import Backoff
from edge_asd.capture.devices import InputDevice, list_devices
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

__all__ = [
    "AlsaUri",
    "Backoff",
    "CaptureStatus",
    "CaptureThread",
    "ExecUri",
    "FileSource",
    "FileUri",
    "InputDevice",
    "Microphone",
    "ProgramSource",
    "Resampler",
    "SimSource",
    "SimUri",
    "SourceUri",
    "capture",
    "list_audio",
    "list_devices",
    "open_source",
    "parse_source",
    "read_audio",
]
