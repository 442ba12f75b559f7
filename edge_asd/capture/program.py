"""``exec:`` any program that writes PCM to its standard output."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_asd.capture.child import Child
from edge_asd.capture.due import Due
from edge_asd.capture.pacing import Throttle
from edge_asd.capture.pcm import FORMATS, decode
from edge_asd.capture.uri import ExecUri
from edge_asd.errors import CaptureError
from edge_asd.records import Block
from edge_asd.steady import SteadyClock

STALL_S = 10.0
"""A network stream may take this long to begin; a program silent for longer is given up."""

_BLOCK_S = 0.1
_EXIT_S = 2.0
_HINT = "does it write raw PCM to standard output, without waiting for a terminal?"


class ProgramSource:
    """Audio from a program, which is started with the first block and ended by ``close``.

    Leaving with code 0 means that the audio is over; any other way to leave is a failure.

    Args:
        uri: Command and format.
        live: Hold it back to real time, and date blocks by when they were read; otherwise it is a
            recording, read as fast as it is taken and dated by its own time from the beginning.
        stall_s: Longest time for a block of 0.1 s.
        clock: What blocks are dated with.
    """

    def __init__(
        self,
        uri: ExecUri,
        *,
        live: bool = False,
        stall_s: float = STALL_S,
        clock: SteadyClock | None = None,
    ) -> None:
        self._uri = uri
        self._stall_s = stall_s
        self._live = live
        self._clock = clock or SteadyClock()
        self._due = Due()
        self._child: Child | None = None
        self._closed = False

    @property
    def sample_rate(self) -> int:
        """Rate that the operator says the program writes."""
        return self._uri.rate

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of about 0.1 s until the program ends.

        Raises:
            CaptureError: It cannot be started, fails or stalls.
        """
        if self._closed:
            return
        uri = self._uri
        self._child = child = Child(uri.command, f"exec:{uri.command[0]}", _HINT)
        try:
            yield from self._read(child)
            if not child.closed:
                self._check_exit(child)
        finally:
            child.close()

    def expect(self, index: int) -> None:
        """Have a block end at this stream index; from any thread."""
        self._due.index = index

    def close(self) -> None:
        """End the program."""
        self._closed = True
        if self._child is not None:
            self._child.close()

    def _read(self, child: Child) -> Iterator[Block]:
        uri = self._uri
        usual, frame_bytes = max(1, round(_BLOCK_S * uri.rate)), uri.channels * FORMATS[uri.format]
        start, data, throttle, opened_at = 0, b" ", Throttle(), 0.0
        while data and not self._closed:
            try:
                frames = self._due.length(start, usual)
                data = child.read(frames * frame_bytes, self._stall_s)
            except CaptureError as error:
                said = child.last_error_line
                raise CaptureError(f"{error}{': ' + said if said else ''}") from None
            samples = decode(data, uri.format, uri.channels)
            if not np.isfinite(samples).all():
                what = f"{child.what}: wrote a sample that is NaN or infinite"
                raise CaptureError(f"{what}; check format={uri.format}")
            if not len(samples) or child.closed:
                continue
            captured_at = self._clock.now() - len(samples) / uri.rate
            if not start:
                opened_at = captured_at
            yield Block(samples, start, captured_at if self._live else opened_at + start / uri.rate)
            start += len(samples)
            if self._live:
                child.pause(throttle.wait_s(len(samples) / uri.rate))

    def _check_exit(self, child: Child) -> None:
        code = child.wait(_EXIT_S)
        if code and not child.closed:
            how = f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"
            said = child.last_error_line or "nothing on standard error"
            raise CaptureError(f"{child.what}: {how}: {said}; try the command by itself")
