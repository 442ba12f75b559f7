"""From a source's text to something that yields blocks."""

from __future__ import annotations

from functools import partial

from edge_asd.capture.files import FileSource
from edge_asd.capture.microphone import Microphone
from edge_asd.capture.program import ProgramSource
from edge_asd.capture.simulated import SimSource
from edge_asd.capture.supervise import CaptureThread
from edge_asd.capture.uri import AlsaUri, ExecUri, FileUri, SourceUri, parse_source
from edge_asd.protocols import AudioSource


def open_source(uri: str | SourceUri) -> AudioSource:
    """Open a source.

    Args:
        uri: Its text, or what `parse_source` made of it.

    Raises:
        ConfigError: The text is wrong.
        DataError: A file of it cannot be used.
        CaptureError: The device cannot be opened.
    """
    parsed = parse_source(uri) if isinstance(uri, str) else uri
    if isinstance(parsed, FileUri):
        return FileSource(parsed)
    if isinstance(parsed, ExecUri):
        return ProgramSource(parsed)
    if isinstance(parsed, AlsaUri):
        return Microphone(parsed)
    return SimSource(parsed)


def capture(name: str, uri: str | SourceUri, *, once: bool = False) -> CaptureThread:
    """A thread, not yet started, that reads a source into a queue.

    Args:
        name: Of the source, for the thread and the log.
        uri: Its text, or what `parse_source` made of it.
        once: Let a program that ended well be the end, and wait for the worker instead of
            dropping what it writes too fast.

    Raises:
        ConfigError: The text is wrong.
    """
    parsed = parse_source(uri) if isinstance(uri, str) else uri
    return CaptureThread(
        name,
        partial(open_source, parsed),
        live=parsed.live and not (once and isinstance(parsed, ExecUri)),
        finite=parsed.finite or once,
    )
