"""What systemd would hear of a service."""

from __future__ import annotations

import socket
import time


class ServiceManager:
    """The socket of systemd, and what came in with its time."""

    def __init__(self, path) -> None:
        self.path = path
        self.heard = []  # (monotonic seconds, text)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def listen(self):
        """Take in what came; True so that it can be part of a condition."""
        try:
            while True:
                text = self._socket.recv(4096).decode()
                self.heard.append((time.monotonic(), text))
        except TimeoutError:
            return True

    def times_of(self, text):
        self.listen()
        return [at for at, heard in self.heard if heard == text]
