"""What a connection to a broker is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ONLINE, OFFLINE = b"online", b"offline"


class Protocol(str, Enum):
    """Version of MQTT."""

    V5 = "5"
    V3_1_1 = "3.1.1"


class Opening(str, Enum):
    """How an attempt to connect ended; the values are labels of the metric."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The broker answered no."""
    UNREACHABLE = "unreachable"
    """No connection, no encryption, or closed without an answer."""
    SILENT = "silent"
    """The broker took the connection and said nothing."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Result of ``Link.open``."""

    result: Opening
    text: str = ""
    """Why not, for the operator."""
    try_older: bool = False
    """It may be the version of the protocol that the broker cannot take."""


@dataclass(frozen=True, slots=True)
class Ack:
    """A PUBACK."""

    mid: int
    code: int
    """Reason code; always 0 with MQTT 3.1.1, which cannot refuse."""
    text: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: float | None = None
    """After so long the broker need not deliver it any more (MQTT 5)."""
    correlation: bytes | None = None
    """What the asker recognises an answer by (MQTT 5)."""
