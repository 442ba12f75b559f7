"""Which microphone a sound server feeds our stream from, and word at once when that changes.

PulseAudio, and PipeWire in its place, move a stream to another microphone when the one it listens
to goes away, and tell nobody who did not ask. So we ask, through the very library that the stream
itself uses: it is there wherever a stream can come from such a server.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_asd.capture import pulse_api as api
from edge_asd.errors import CaptureError

TOKEN = "edge_asd.token"  # noqa: S105 - a name, not a secret
"""Property of a stream that tells ours from those of other processes and machines."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where our stream comes from."""

    stream: int
    """The server's number of it."""
    source: str
    """The source's name."""
    rate: int
    """Hertz, the source's own."""
    card: int | None = None
    """Number of the sound card behind it, where the source is one input of one card."""
    device: int = 0
    """Number of that input."""
    plays: str = ""
    """Name of the loudspeaker whose sound the source repeats; empty for a microphone."""


class PulseClient:
    """A connection to a sound server besides the stream's own. Used by one thread at a time.

    Args:
        address: As in ``PULSE_SERVER``; empty for the default server.
        timeout_s: Longest wait for any answer.

    Raises:
        StallError: The server does not answer.
        CaptureError: There is no library, or no such server behind the address.
    """

    def __init__(self, address: str, timeout_s: float = 3.0) -> None:
        self._what = f"sound server {address or 'of this user'}"
        self._timeout_s = timeout_s
        self._pulse = pulse = api.library()
        self._changes: list[tuple[int, int]] = []  # kind and number of a stream
        # The library keeps pointers to these: they live as long as the connection.
        self._on_change = api.SUBSCRIBE_CB(self._changed)
        self._callbacks: list[Any] = []
        self._loop = pulse.pa_mainloop_new()
        self._context = pulse.pa_context_new(
            pulse.pa_mainloop_get_api(self._loop), b"edge-asd: which microphone is it"
        )
        try:
            self._connect(address)
        except BaseException:
            self.close()
            raise

    def route(self, token: str, wait_s: float = 1.0) -> Route | None:
        """Find our stream; None if there is none even after a while.

        Args:
            token: Its property `TOKEN`.
            wait_s: How long it may take to show up.
        """
        until = time.monotonic() + wait_s
        while True:
            streams = [s for s in self._streams() if s.token == token]
            if streams:
                newest = max(streams, key=lambda stream: stream.number)
                return self._route(newest)
            if time.monotonic() > until:
                return None
            self._iterate(0.05)

    def follow(self, route: Route) -> str:
        """Wait until the stream does not come from that source any more.

        Returns:
            What happened, in words.
        """
        try:
            while not (reason := self._departed(route)):
                self._iterate(None)
        except CaptureError as error:
            return str(error)
        return reason

    def close(self) -> None:
        """Disconnect."""
        if self._context:
            self._pulse.pa_context_disconnect(self._context)
            self._pulse.pa_context_unref(self._context)
            self._pulse.pa_mainloop_free(self._loop)
            self._context = None

    def _departed(self, route: Route) -> str:
        changes, self._changes = self._changes, []
        kinds = {kind for kind, number in changes if number == route.stream}
        if api.REMOVED in kinds:
            return f"the sound server ended the stream: {route.source!r} is gone"
        now = self._source_of(route.stream) if kinds else None
        if now is None or now.name == route.source:
            return ""
        return f"the sound server moved the stream from {route.source!r} to {now.name!r}"

    def _connect(self, address: str) -> None:
        pulse, context = self._pulse, self._context
        pulse.pa_context_set_subscribe_callback(context, self._on_change, None)
        server = address.encode() or None
        if pulse.pa_context_connect(context, server, api.NO_AUTOSPAWN, None) < 0:
            raise CaptureError(f"{self._what}: {self._error()}")
        until = time.monotonic() + self._timeout_s
        while self._state() != api.READY:
            self._iterate(until - time.monotonic())
        done = api.SUCCESS_CB(lambda *_: None)
        self._callbacks = [done]
        self._finish(pulse.pa_context_subscribe(context, api.SOURCE_OUTPUTS, done, None))

    def _state(self) -> int:
        return int(self._pulse.pa_context_get_state(self._context))

    def _error(self) -> str:
        number = self._pulse.pa_context_errno(self._context)
        return str((self._pulse.pa_strerror(number) or b"unknown error").decode())

    def _changed(self, _context: Any, event: int, number: int, _data: Any) -> None:
        self._changes.append((event & api.KIND_MASK, number))

    def _iterate(self, timeout_s: float | None) -> None:
        """Let the library work once; None waits for ever."""
        if timeout_s is not None and timeout_s <= 0.0:
            raise api.no_answer(self._what)
        wait_us = -1 if timeout_s is None else int(timeout_s * 1e6)
        loop = self._loop
        if (
            self._pulse.pa_mainloop_prepare(loop, wait_us) < 0
            or self._pulse.pa_mainloop_poll(loop) < 0
            or self._pulse.pa_mainloop_dispatch(loop) < 0
            or self._state() in api.ENDED
        ):
            raise CaptureError(f"{self._what} went away: {self._error()}")

    def _finish(self, operation: Any) -> None:
        if not operation:
            raise CaptureError(f"{self._what}: {self._error()}")
        until = time.monotonic() + self._timeout_s
        try:
            while self._pulse.pa_operation_get_state(operation) == api.RUNNING:
                self._iterate(until - time.monotonic())
        finally:
            self._pulse.pa_operation_unref(operation)

    def _ask(
        self,
        function: Callable[..., Any],
        info: type[ctypes.Structure],
        read: Callable[[Any], Any],
        *which: int,
    ) -> list[Any]:
        """What a query of the library calls back with."""
        found: list[Any] = []

        def answer(_context: Any, pointer: Any, end: int, _data: Any) -> None:
            if end == 0 and pointer:
                found.append(read(ctypes.cast(pointer, ctypes.POINTER(info)).contents))

        callback = api.INFO_CB(answer)
        self._callbacks = [callback]
        self._finish(function(self._context, *which, callback, None))
        return found

    def _streams(self, *which: int) -> list[api.Stream]:
        pulse = self._pulse
        function = (
            pulse.pa_context_get_source_output_info
            if which
            else pulse.pa_context_get_source_output_info_list
        )
        return self._ask(
            function, api.StreamInfo, lambda info: api.read_stream(pulse, info, TOKEN), *which
        )

    def _source_of(self, stream: int) -> api.Source | None:
        streams = self._streams(stream)
        if not streams:
            return None  # gone meanwhile, which will be told too
        pulse = self._pulse
        sources = self._ask(
            pulse.pa_context_get_source_info_by_index,
            api.SourceInfo,
            lambda info: api.read_source(pulse, info),
            streams[0].source,
        )
        return sources[0] if sources else None

    def _route(self, stream: api.Stream) -> Route | None:
        source = self._source_of(stream.number)
        if source is None:
            return None
        return Route(
            stream.number, source.name, source.rate, source.card, source.device, source.plays
        )
