"""From a source's text to something that yields blocks."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from edge_asd.capture.backoff import Backoff
from edge_asd.capture.cards import identities, read_cards
from edge_asd.capture.files import FileSource
from edge_asd.capture.microphone import Microphone
from edge_asd.capture.program import ProgramSource
from edge_asd.capture.simulated import SimSource
from edge_asd.capture.supervise import CaptureThread
from edge_asd.capture.uri import AlsaUri, ExecUri, FileUri, SourceUri, parse_source
from edge_asd.errors import CaptureError
from edge_asd.protocols import AudioSource
from edge_asd.steady import SteadyClock

RETRY_S = 5.0
"""Longest delay between attempts: who plugs a microphone in again wants to see it heard."""

_OF_ONE_CARD = re.compile(r"(?:usb|card) (?!.* \+ ).*?(?:, device (\d+))?")


def open_source(
    uri: str | SourceUri,
    *,
    live: bool = False,
    channels: int = 1,
    expected_identity: str = "",
    clock: SteadyClock | None = None,
) -> AudioSource:
    """Open a source.

    Args:
        uri: Its text, or what `parse_source` made of it.
        live: Hold a program back to real time.
        channels: How many a microphone is opened with where ``uri`` does not say.
        expected_identity: Of the microphone that must be opened; empty for any.
        clock: What blocks are dated with.

    Raises:
        ConfigError: The text is wrong.
        DataError: A file of it cannot be used.
        CaptureError: The device cannot be opened.
    """
    parsed = parse_source(uri) if isinstance(uri, str) else uri
    if isinstance(parsed, FileUri):
        return FileSource(parsed, clock=clock)
    if isinstance(parsed, ExecUri):
        return ProgramSource(parsed, live=live, clock=clock)
    if isinstance(parsed, AlsaUri):
        return Microphone(
            parsed, channels=channels, expected_identity=expected_identity, clock=clock
        )
    return SimSource(parsed, clock)


def capture(
    name: str,
    uri: str | SourceUri,
    *,
    once: bool = False,
    channels: int = 1,
    clock: SteadyClock | None = None,
    expected_identity: str = "",
) -> CaptureThread:
    """A thread, not yet started, that reads a source into a queue.

    A microphone is the one that was opened first, for ever, and at the same rate if it still can:
    another one in its place is refused until `CaptureThread.accept_another_microphone`.

    Args:
        name: Of the source, for the thread and the log.
        uri: Its text, or what `parse_source` made of it.
        once: Let a program that ended well be the end, and wait for the worker instead of
            dropping what it writes too fast.
        channels: How many a microphone is opened with where ``uri`` does not say.
        clock: What blocks are dated with.
        expected_identity: Of the microphone that must be opened even at first; empty for any.

    Raises:
        ConfigError: The text is wrong.
    """
    parsed = parse_source(uri) if isinstance(uri, str) else uri
    live = parsed.live and not (once and isinstance(parsed, ExecUri))
    clock = clock or SteadyClock()
    thread = partial(
        CaptureThread,
        name,
        live=live,
        finite=parsed.finite or once,
        backoff=Backoff(limit_s=RETRY_S),
    )
    if isinstance(parsed, AlsaUri):
        same = _SameMicrophone(parsed, channels, expected_identity, clock)
        return thread(same.open, surroundings=read_cards, forget=same.forget)
    return thread(partial(open_source, parsed, live=live, clock=clock))


class _SameMicrophone:
    """Opens a microphone, and that one again ever after."""

    def __init__(
        self, uri: AlsaUri, channels: int, expected_identity: str, clock: SteadyClock
    ) -> None:
        self._uri, self._channels, self._clock = uri, channels, clock
        self._identity = expected_identity
        self._rate: int | None = None  # at which it was opened first

    def open(self) -> AudioSource:
        if not _may_be_there(self._identity):
            # Known without starting a process every few seconds, for weeks perhaps.
            raise CaptureError(
                f"alsa:{self._uri.name}: the microphone {self._identity!r} is not plugged in; plug "
                f"it in again, or learn the machine's sound through another one: edge-asd enrol"
            )
        wanted = self._rate or self._uri.rate
        microphone = self._try(wanted)
        if wanted not in {None, microphone.sample_rate}:
            # It came while one rate after the other was tried: the right one may do by now.
            microphone.close()
            microphone = self._try(wanted)
        self._identity = self._identity or microphone.identity
        self._rate = self._rate or microphone.sample_rate
        return microphone

    def forget(self) -> None:
        """Another one will do."""
        self._identity, self._rate = "", None

    def _try(self, rate: int | None) -> Microphone:
        return Microphone(
            replace(self._uri, rate=rate),
            channels=self._channels,
            expected_identity=self._identity,
            clock=self._clock,
        )


def _may_be_there(identity: str) -> bool:
    """False for a microphone on a sound card that is surely missing."""
    match = _OF_ONE_CARD.fullmatch(identity)
    if match is None:
        return True
    cards, device = read_cards(), int(match.group(1) or 0)
    return any(identity in identities(card, device, cards) for card in cards)
