"""``alsa:`` a microphone, read by a child process and watched from here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from edge_asd.capture import wire
from edge_asd.capture.devices import portaudio_child
from edge_asd.capture.due import Due
from edge_asd.capture.pcm import FORMATS, decode
from edge_asd.capture.uri import AlsaUri
from edge_asd.errors import CaptureError
from edge_asd.records import Block
from edge_asd.steady import SteadyClock, boottime_s

STALL_S = 3.0
"""A microphone that delivers nothing for this long is given up; a suspended one never says so."""

OPEN_S = 20.0
"""A slow board takes long to load the interpreter and to ask every sound server."""

_HELLO_BYTES = 8192
_HINT = "is it unplugged, or suspended by a sound server?"

logger = logging.getLogger(__name__)


class Microphone:
    """A microphone in a child process; open from construction to ``close``.

    Args:
        uri: Which one, at which rate.
        channels: How many are needed where ``uri`` does not say; the first ones are delivered.
        expected_identity: Of the microphone that must be opened, as `identity` said; empty for any.
        stall_s: Longest time without a block.
        open_s: Longest time for opening.
        clock: What blocks are dated with.
        boottime: Seconds since the machine was booted, the clock of the child.

    Raises:
        CaptureError: It is missing, busy, opens in no way that was tried, or is another one.
    """

    def __init__(
        self,
        uri: AlsaUri,
        *,
        channels: int = 1,
        expected_identity: str = "",
        stall_s: float = STALL_S,
        open_s: float = OPEN_S,
        clock: SteadyClock | None = None,
        boottime: Callable[[], float] = boottime_s,
    ) -> None:
        self._what = f"alsa:{uri.name}"
        self._channels = uri.channels if uri.channels is not None else channels
        self._stall_s = stall_s
        self._clock = clock if clock is not None else SteadyClock()
        self._boottime = boottime
        self._sequence = 0  # of the next record
        self._due, self._told = Due(), 0
        arguments = [f"--device={uri.name}", f"--channels={self._channels}"]
        if uri.rate is not None:
            arguments.append(f"--rate={uri.rate}")
        if expected_identity:
            arguments.append(f"--expect={expected_identity}")
        self._child = portaudio_child(self._what, _HINT, *arguments)
        try:
            self._hello = self._greet(open_s)
            self._check_identity(expected_identity)
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

    @property
    def identity(self) -> str:
        """Which microphone it is, the same whenever it is opened and whatever it is called."""
        return self._hello.identity

    @property
    def note(self) -> str:
        """What an operator should know about this opening, or nothing."""
        return self._hello.note

    @property
    def format(self) -> str:
        """How its samples come from the driver, one of `edge_asd.capture.pcm.FORMATS`."""
        return self._hello.format

    @property
    def opened_channels(self) -> int:
        """Channels the hardware was opened with, delivered or not."""
        return self._hello.channels

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of about 0.1 s until closed.

        Raises:
            CaptureError: The device or its driver failed, or nothing came for ``stall_s``.
        """
        while not self._child.closed:
            head = self._child.read(wire.HEADER_BYTES, self._stall_s)
            if len(head) < wire.HEADER_BYTES:
                break
            header, payload = self._record(head)
            if len(payload) < header.size:
                break
            if header.sequence != self._sequence:
                raise CaptureError(f"{self._what}: a block is missing between child and owner")
            self._sequence += 1
            yield self._block(header, payload)
            if self._told != self._due.index:
                self._told = self._due.index
                self._child.write(wire.pack_due(self._told))
        if not self._child.closed:
            raise self._death()

    def expect(self, index: int) -> None:
        """Have a block end at this stream index; from any thread."""
        self._due.index = index

    def close(self) -> None:
        """End the child; the kernel closes the device."""
        self._child.close()

    def _greet(self, open_s: float) -> wire.Hello:
        line = self._child.read_line(_HELLO_BYTES, open_s)
        if line.startswith(b"EASB"):
            # An error instead of a hello; its text may hold a newline, so read on to its end.
            head = line + self._child.read(max(0, wire.HEADER_BYTES - len(line)), self._stall_s)
            self._record(head[: wire.HEADER_BYTES], head[wire.HEADER_BYTES :])
        try:
            hello = wire.parse_hello(line)
        except ValueError:
            raise self._death() from None
        if hello.format not in FORMATS or hello.channels < self._channels:
            raise CaptureError(f"{self._what}: the child opened it in a way nobody asked for")
        return hello

    def _check_identity(self, expected: str) -> None:
        if expected and self.identity != expected:
            raise CaptureError(
                f"{self._what}: this is another microphone: {self.device!r} is "
                f"{self.identity!r}, not {expected!r}; plug that one in again, or learn the "
                f"machine's sound through the new one: edge-asd enrol"
            )

    def _record(self, head: bytes, payload: bytes = b"") -> tuple[wire.Header, bytes]:
        try:
            header = wire.unpack_header(head)
        except ValueError as error:
            raise CaptureError(f"{self._what}: {error}") from error
        payload += self._child.read(header.size - len(payload), self._stall_s)
        if header.kind == wire.ERROR:
            raise CaptureError(payload.decode("utf-8", "replace"))
        return header, payload

    def _block(self, header: wire.Header, payload: bytes) -> Block:
        samples = decode(payload, self._hello.format, self._hello.channels)
        if len(samples) != header.frames:
            raise CaptureError(f"{self._what}: a block of {header.frames} frames is torn")
        age_s = self._boottime() - header.boottime_ns * 1e-9 + header.frames / self.sample_rate
        return Block(
            samples=samples[:, : self._channels],
            start=header.start,
            captured_at=self._clock.now() - age_s,
            overflowed=header.kind == wire.OVERFLOW,
        )

    def _death(self) -> CaptureError:
        code = self._child.wait(2.0)
        said = self._child.last_error_line
        return CaptureError(
            f"{self._what}: the process that reads the microphone died (code {code})"
            f"{': ' + said if said else ''}"
        )
