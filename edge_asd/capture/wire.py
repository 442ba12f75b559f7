r"""What the microphone's child process writes to its owner: a hello line, then framed records.

::

    {"rate": 48000, "channels": 1, "format": "s32le", "device": "USB Audio (hw:1,0)", …}\n
    record := magic "EASB", kind u32, sequence u64, start u64, boottime_ns u64,
              frames u32, size u32, then ``size`` bytes of payload
      BLOCK    frames x channels samples as the driver gave them, in the hello's format, interleaved
      OVERFLOW the same, after audio that the driver lost, who knows how much; start has jumped by 1
      ERROR    UTF-8: why it gives up; the last record

The child copies bytes and computes nothing: it starts without NumPy, in a fraction of the time.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

_HEADER = struct.Struct("<4sIQQQII")
_MAGIC = b"EASB"
HEADER_BYTES = _HEADER.size
MAX_PAYLOAD_BYTES = 1 << 26
"""Beyond any block; a larger one means that the stream is out of step."""

BLOCK, OVERFLOW, ERROR = 0, 1, 2

_DUE = struct.Struct("<Q")
DUE_BYTES = _DUE.size


@dataclass(frozen=True, slots=True)
class Hello:
    """What was really opened."""

    rate: int
    """Hertz."""
    channels: int
    """Of every frame on the wire: the hardware may refuse fewer than were asked for."""
    format: str
    """One of `edge_asd.capture.pcm.FORMATS`."""
    device: str
    """What PortAudio calls it."""
    identity: str
    """Which microphone that is, the same whenever it is opened."""
    note: str = ""
    """What an operator should know about this opening, or nothing."""

    def line(self) -> bytes:
        """As the child's first line."""
        return json.dumps(asdict(self)).encode() + b"\n"


def parse_hello(line: bytes) -> Hello:
    """Read the child's first line.

    Raises:
        ValueError: It is not a hello line.
    """
    try:
        fields = json.loads(line)
        return Hello(
            rate=int(fields["rate"]),
            channels=int(fields["channels"]),
            format=str(fields["format"]),
            device=str(fields["device"]),
            identity=str(fields["identity"]),
            note=str(fields["note"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a hello line: {line[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class Header:
    """Everything of a record but its payload."""

    kind: int
    sequence: int
    """Counts records from 0."""
    start: int
    """Stream index of the first sample."""
    boottime_ns: int
    """When the block had been read, on the clock that all processes of a machine share and that
    goes on while it is suspended."""
    frames: int
    size: int
    """Bytes that follow."""


def pack(header: Header, payload: bytes) -> bytes:
    """A record as bytes."""
    head = _HEADER.pack(
        _MAGIC,
        header.kind,
        header.sequence,
        header.start,
        header.boottime_ns,
        header.frames,
        header.size,
    )
    return head + payload


def pack_error(text: str) -> bytes:
    """An error as the last record."""
    payload = text.encode()[:4096]
    return pack(Header(ERROR, 0, 0, 0, 0, len(payload)), payload)


def pack_due(index: int) -> bytes:
    """What the owner writes to the child: a block should end at this stream index."""
    return _DUE.pack(index)


def unpack_due(data: bytes) -> int:
    """Stream index at which the owner wants a block to end."""
    return int(_DUE.unpack(data)[0])


def unpack_header(data: bytes) -> Header:
    """Read a record's header.

    Raises:
        ValueError: The bytes are out of step.
    """
    magic, *fields = _HEADER.unpack(data)
    header = Header(*fields)
    if (
        magic != _MAGIC
        or header.kind not in {BLOCK, OVERFLOW, ERROR}
        or header.size > MAX_PAYLOAD_BYTES
    ):
        raise ValueError(f"records out of step: {data[:16]!r}")
    return header
