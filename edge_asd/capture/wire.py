r"""What the microphone's child process writes to its owner: a hello line, then framed records.

::

    {"rate": 48000, "channels": 1, "device": "USB Audio (hw:1,0)"}\n
    record := magic "EASB", kind u32, sequence u64, start u64, monotonic_ns u64,
              frames u32, channels u32, then the payload
      BLOCK    frames x channels float32, little-endian, interleaved
      OVERFLOW the same, after audio that the driver lost; start has jumped
      ERROR    ``frames`` bytes of UTF-8: why it gives up; the last record
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

import numpy as np

from edge_asd.records import FloatArray

_HEADER = struct.Struct("<4sIQQQII")
_MAGIC = b"EASB"
HEADER_BYTES = _HEADER.size
MAX_PAYLOAD_BYTES = 1 << 26
"""Beyond any block; a larger one means that the stream is out of step."""

BLOCK, OVERFLOW, ERROR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Hello:
    """What was really opened."""

    rate: int
    channels: int
    device: str

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
        return Hello(int(fields["rate"]), int(fields["channels"]), str(fields["device"]))
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
    monotonic_ns: int
    """When the block had been read, on the clock that all processes of a machine share."""
    frames: int
    channels: int

    @property
    def payload_bytes(self) -> int:
        """Size of what follows."""
        return self.frames if self.kind == ERROR else self.frames * self.channels * 4


def pack(header: Header, payload: FloatArray | bytes) -> bytes:
    """A record as bytes."""
    head = _HEADER.pack(
        _MAGIC,
        header.kind,
        header.sequence,
        header.start,
        header.monotonic_ns,
        header.frames,
        header.channels,
    )
    return head + (payload if isinstance(payload, bytes) else payload.astype("<f4").tobytes())


def pack_error(text: str) -> bytes:
    """An error as the last record."""
    payload = text.encode()[:4096]
    return pack(Header(ERROR, 0, 0, 0, len(payload), 0), payload)


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
        or header.payload_bytes > MAX_PAYLOAD_BYTES
    ):
        raise ValueError(f"records out of step: {data[:16]!r}")
    return header


def unpack_block(header: Header, payload: bytes) -> FloatArray:
    """The samples (n, C) float32 of a block's payload."""
    samples = np.frombuffer(payload, "<f4").astype(np.float32)
    return samples.reshape(header.frames, header.channels)
