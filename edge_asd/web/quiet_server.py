"""A server that sleeps until somebody asks, or it has to end.

Those of `socketserver` wake up several times a second to see whether they should stop: two of them
cost more than a monitor's state machine.
"""

from __future__ import annotations

import selectors
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any


class QuietServer(socketserver.TCPServer):
    """Goes before a server of `socketserver` among the bases of a class; used in the same way."""

    timeout = 0  # a request is there, or is gone again: nobody waits for it

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._ending = False
        self._ended = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        super().__init__(*arguments, **more)

    def rest_s(self) -> float | None:
        """How long it may sleep until ``service_actions`` is called again; None for ever."""
        return None

    def serve_forever(self, poll_interval: float = 0.0) -> None:  # noqa: ARG002 - it does not poll
        """Answer until ``shutdown``."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.socket, selectors.EVENT_READ)
                selector.register(self._wake_read, selectors.EVENT_READ)
                while not self._ending:
                    ready = [key.fileobj for key, _ in selector.select(self.rest_s())]
                    if self.socket in ready and not self._ending:
                        self.handle_request()
                    self.service_actions()
        finally:
            self._ended.set()

    def shutdown(self) -> None:
        """End ``serve_forever``, which runs in another thread, and wait until it has ended."""
        self._ending = True
        with suppress(OSError):
            self._wake_write.send(b"\0")
        self._ended.wait()

    def server_close(self) -> None:
        """Close all sockets."""
        super().server_close()
        self._wake_read.close()
        self._wake_write.close()
