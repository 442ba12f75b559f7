"""Where sound comes from, as text: ``file:``, ``sim:``, ``exec:`` and ``alsa:``.

Parsing opens nothing: no device, no program, no file. A wrong text is refused in one line that
names what is known and what would be right.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from edge_asd.capture import simulated
from edge_asd.capture.options import (
    Option,
    flag,
    integer,
    number,
    one_of,
    parse_options,
    span_s,
    speed,
)
from edge_asd.capture.pcm import FORMATS
from edge_asd.errors import ConfigError

_RATES = integer(1_000, 768_000)
_CHANNELS = integer(1, 256)


@dataclass(frozen=True, slots=True)
class FileUri:
    """A sound file, or a folder of them read as one stream in name order."""

    text: str
    path: str
    speed: float | None = None
    """Times real time; None reads as fast as the audio is taken."""
    loop: bool = False
    gap_per_clip: bool = False
    """Every file is a new start instead of continuing the one before."""

    @property
    def finite(self) -> bool:
        """It ends, unless it loops."""
        return not self.loop

    @property
    def live(self) -> bool:
        """A file waits for its reader: nothing is ever dropped."""
        return False


@dataclass(frozen=True, slots=True)
class SimUri:
    """A simulated machine; times in seconds of stream time."""

    text: str
    kind: str
    unit: int = 1
    seed: int = 1
    fault: str | None = None
    severity: float = 1.0
    onset_s: float = 60.0
    ramp_s: float = 30.0
    clear_s: float | None = None
    off_s: tuple[float, float] | None = None
    """When the machine stands still: begin and end."""
    seconds: float | None = None
    """Length of the stream; None never ends."""
    snr_db: float = 20.0
    """Machine over background."""
    level_dbfs: float = -30.0
    """Of the normal running machine."""
    speed: float | None = 1.0
    """Times real time; None renders as fast as the audio is taken."""
    rate: int = 16_000

    @property
    def finite(self) -> bool:
        """It ends where ``seconds`` is given."""
        return self.seconds is not None

    @property
    def live(self) -> bool:
        """At a set speed it behaves like a microphone, at ``speed=max`` like a file."""
        return self.speed is not None


@dataclass(frozen=True, slots=True)
class ExecUri:
    """Any program that writes PCM to its standard output."""

    text: str
    command: tuple[str, ...]
    rate: int = 16_000
    channels: int = 1
    format: str = "s16le"
    finite: bool = field(default=False, init=False)
    """A program that ends is started again, unless the caller listens only once."""
    live: bool = field(default=True, init=False)


@dataclass(frozen=True, slots=True)
class AlsaUri:
    """A microphone, by card id or name, ``hw:CARD=…``, ``usb:…`` or a part of its PortAudio name.

    ``usb:`` takes a serial number or the socket it is plugged into, ``1-1.2`` (bus and ports) or
    ``0000:00:14.0-1.2`` (controller and ports), as ``edge-asd devices`` shows them; ``,DEV=1``
    behind any of these picks another input of the same card.
    """

    text: str
    name: str
    """Empty: the default input."""
    rate: int | None = None
    """None: the device's own rate. A rate that the hardware refuses becomes its own rate too."""
    channels: int | None = None
    """None: as many as its monitors need. More are opened where the hardware refuses fewer."""
    finite: bool = field(default=False, init=False)
    live: bool = field(default=True, init=False)


SourceUri = FileUri | SimUri | ExecUri | AlsaUri

_FILE_OPTIONS = {
    "speed": Option("speed=max|1|4", speed),
    "loop": Option("loop", flag),
    "gaps": Option("gaps=clip", one_of("clip")),
}
_SIM_OPTIONS = {
    "unit": Option("unit=1", integer(0, 1_000_000)),
    "seed": Option("seed=1", integer(0, 2**32 - 1)),
    "fault": Option("fault=NAME", str),
    "severity": Option("severity=1", number(0.0, 1.0)),
    "onset": Option("onset=60", number(0.0, unit=" (seconds)")),
    "ramp": Option("ramp=30", number(0.0, unit=" (seconds)")),
    "clear": Option("clear=180", number(0.0, unit=" (seconds)")),
    "off": Option("off=200-260", span_s),
    "seconds": Option("seconds=300", number(0.1, unit=" (seconds)")),
    "snr": Option("snr=20", number(-60.0, 120.0, " (dB)")),
    "level": Option("level=-30", number(-120.0, 0.0, " (dBFS)")),
    "speed": Option("speed=1|4|max", speed),
    "rate": Option("rate=16000", _RATES),
}
_PCM_OPTIONS = {
    "rate": Option("rate=16000", _RATES),
    "channels": Option("channels=1", _CHANNELS),
    "format": Option(f"format={'|'.join(FORMATS)}", one_of(*FORMATS)),
}
_ALSA_OPTIONS = {
    "rate": Option("rate=48000", _RATES),
    "channels": Option("channels=1", _CHANNELS),
}
_OF_FAULTS = frozenset({"severity", "onset", "ramp", "clear"})
# Where an option's name does not say its unit, the record's does.
_FIELDS = {
    "onset": "onset_s",
    "ramp": "ramp_s",
    "clear": "clear_s",
    "off": "off_s",
    "snr": "snr_db",
    "level": "level_dbfs",
}


def parse_source(uri: str) -> SourceUri:
    """Read a source's text.

    ``file:PATH?speed=max|NUMBER&loop&gaps=clip`` (a ``?`` or ``%`` in a file name is written
    ``%3F`` or ``%25``), ``sim:KIND?fault=…``, ``exec:COMMAND?rate=…&channels=…&format=…`` (options
    are what follows the last ``?`` if it reads as options) and ``alsa:NAME?rate=…&channels=…``,
    where NAME may be ``usb:SERIAL`` or ``usb:1-1.2``.

    Args:
        uri: The text.

    Returns:
        What it says, complete with defaults.

    Raises:
        ConfigError: The scheme or an option is unknown, a value is malformed, or a part is missing.

    >>> uri = parse_source("alsa:USB?rate=48000")
    >>> (uri.name, uri.rate, uri.live)
    ('USB', 48000, True)
    """
    scheme, colon, rest = uri.strip().partition(":")
    if not colon or scheme not in _SCHEMES:
        raise ConfigError(f"source {uri!r}: {_unknown_scheme(scheme, has_colon=bool(colon))}")
    return _SCHEMES[scheme](uri.strip(), rest)


def _unknown_scheme(scheme: str, *, has_colon: bool) -> str:
    known = ", ".join(f"{name}:" for name in _SCHEMES)
    if not has_colon:
        return f"no scheme; write file:{scheme or 'PATH'} for a file (known: {known})"
    close = difflib.get_close_matches(scheme, _SCHEMES, n=1)
    guess = f"; did you mean {close[0]}:?" if close else ""
    return f"unknown scheme {scheme!r}{guess} (known: {known})"


def _file(text: str, rest: str) -> FileUri:
    raw, _, query = rest.partition("?")
    try:
        options = parse_options(text, query, _FILE_OPTIONS)
    except ConfigError as error:
        raise ConfigError(f"{error} (a '?' in the file name is written %3F)") from None
    if not raw:
        raise ConfigError(f"source {text!r}: no path; write file:/data/pump.wav or file:/data/day")
    path = unquote(raw)
    if "\0" in path:
        raise ConfigError(f"source {text!r}: a path cannot hold a zero byte; correct it")
    return FileUri(
        text=text,
        path=path,
        speed=options.get("speed"),
        loop=options.get("loop", False),
        gap_per_clip="gaps" in options,
    )


def _sim(text: str, rest: str) -> SimUri:
    kind, _, query = rest.partition("?")
    options = parse_options(text, query, _SIM_OPTIONS)
    idle = sorted(_OF_FAULTS & set(options)) if "fault" not in options else []
    if idle:
        raise ConfigError(f"source {text!r}: {idle[0]} needs fault=NAME; add it or leave {idle[0]}")
    values = {_FIELDS.get(name, name): value for name, value in options.items()}
    uri = SimUri(text=text, kind=kind, **values)
    try:
        simulated.check(uri)
    except ValueError as error:
        raise ConfigError(f"source {text!r}: {error}") from None
    return uri


def _exec(text: str, rest: str) -> ExecUri:
    command, options = _split_command(text, rest)
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"source {text!r}: {error}; check the quotes of the command") from None
    if not words:
        raise ConfigError(f"source {text!r}: no command; write exec:PROGRAM ARGUMENTS?rate=16000")
    return ExecUri(text=text, command=words, **options)


def _split_command(text: str, rest: str) -> tuple[str, dict[str, Any]]:
    """Split off the options, knowing that a command may hold a ``?`` of its own."""
    command, mark, query = rest.rpartition("?")
    if not mark:
        return rest, {}
    try:
        return command, parse_options(text, query, _PCM_OPTIONS)
    except ConfigError:
        names = {part.partition("=")[0] for part in query.split("&")}
        in_address = "://" in command.rsplit(None, 1)[-1] if command.strip() else False
        # Every name is ours and no address stands before it: a misspelt value, not a command.
        if names <= set(_PCM_OPTIONS) and not in_address:
            raise
        return rest, {}


def _alsa(text: str, rest: str) -> AlsaUri:
    name, _, query = rest.partition("?")
    name = name.strip()
    if name == "usb:" or name.startswith("usb:,"):
        raise ConfigError(
            f"source {text!r}: which one? write alsa:usb:SERIAL or alsa:usb:1-1.2 "
            f"(see: edge-asd devices)"
        )
    return AlsaUri(text=text, name=name, **parse_options(text, query, _ALSA_OPTIONS))


_SCHEMES: dict[str, Callable[[str, str], SourceUri]] = {
    "alsa": _alsa,
    "file": _file,
    "exec": _exec,
    "sim": _sim,
}
