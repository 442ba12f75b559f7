"""``alsa:`` a microphone, read by a child process and watched from here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from edge_asd.capture import wire
from edge_asd.capture.devices import portaudio_child
from edge_asd.capture.uri import AlsaUri
from edge_asd.errors import CaptureError
from edge_asd.records import Block

STALL_S = 3.0
"""A microphone that delivers nothing for this long is given up; a suspended one never says so."""

_OPEN_S = 20.0  # a slow board loads the interpreter and asks every sound server
_HELLO_BYTES = 4096
_HINT = "is it unplugged, or suspended by a sound server?"

logger = logging.getLogger(__name__)


class Microphone:
    """A microphone in a child process; open from construction to ``close``.

    Args:
        uri: Which one, at which rate.
        stall_s: Longest time without a block.
        clock: Monotonic seconds, the clock of ``time.monotonic_ns``.
        wall: Seconds since 1970 UTC.

    Raises:
        CaptureError: It is missing, busy, or refuses the rate or the channels.
    """

    def __init__(
        self,
        uri: AlsaUri,
        *,
        stall_s: float = STALL_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._what = f"alsa:{uri.name}"
        self._stall_s = stall_s
        self._clock = clock
        self._wall = wall
        self._sequence = 0  # of the next record
        arguments = [f"--device={uri.name}", f"--channels={uri.channels}"]
        if uri.rate is not None:
            arguments.append(f"--rate={uri.rate}")
        self._child = portaudio_child(self._what, _HINT, *arguments)
        try:
            self._hello = self._greet()
        except BaseException:
            self._child.close()
            raise
        logger.debug("source=%s device=%r rate=%d", self._what, self.device, self.sample_rate)

    @property
    def sample_rate(self) -> int:
        """Rate at which the device was opened."""
        return self._hello.rate

    @property
    def device(self) -> str:
        """Name of the device that was opened."""
        return self._hello.device

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of 0.1 s until closed.

        Raises:
            CaptureError: The device or its driver failed, or nothing came for ``stall_s``.
        """
        while not self._child.closed:
            head = self._child.read(wire.HEADER_BYTES, self._stall_s)
            if len(head) < wire.HEADER_BYTES:
                break
            header, payload = self._record(head)
            if len(payload) < header.payload_bytes:
                break
            if header.sequence != self._sequence:
                raise CaptureError(f"{self._what}: a block is missing between child and owner")
            self._sequence += 1
            yield self._block(header, payload)
        if not self._child.closed:
            raise self._death()

    def close(self) -> None:
        """End the child; the kernel closes the device."""
        self._child.close()

    def _greet(self) -> wire.Hello:
        line = self._child.read_line(_HELLO_BYTES, _OPEN_S)
        if line.startswith(b"EASB"):
            # An error instead of a hello; its text may hold a newline, so read on to its end.
            head = line + self._child.read(max(0, wire.HEADER_BYTES - len(line)), self._stall_s)
            self._record(head[: wire.HEADER_BYTES], head[wire.HEADER_BYTES :])
        try:
            return wire.parse_hello(line)
        except ValueError:
            raise self._death() from None

    def _record(self, head: bytes, payload: bytes = b"") -> tuple[wire.Header, bytes]:
        try:
            header = wire.unpack_header(head)
        except ValueError as error:
            raise CaptureError(f"{self._what}: {error}") from error
        payload += self._child.read(header.payload_bytes - len(payload), self._stall_s)
        if header.kind == wire.ERROR:
            raise CaptureError(payload.decode("utf-8", "replace"))
        return header, payload

    def _block(self, header: wire.Header, payload: bytes) -> Block:
        age_s = self._clock() - header.monotonic_ns * 1e-9 + header.frames / self.sample_rate
        return Block(
            samples=wire.unpack_block(header, payload),
            start=header.start,
            captured_at=self._wall() - age_s,
            overflowed=header.kind == wire.OVERFLOW,
        )

    def _death(self) -> CaptureError:
        code = self._child.wait(2.0)
        said = self._child.last_error_line
        return CaptureError(
            f"{self._what}: the process that reads the microphone died (code {code})"
            f"{': ' + said if said else ''}"
        )
