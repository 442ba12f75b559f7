"""Commands to a running daemon: JSON lines over a UNIX socket, one request a connection.

The daemon answers with any number of ``{"progress": 0.4, "text": "embedding"}`` and then one
``{"result": {…}}`` or ``{"error": "…", "exit_code": 65}``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_asd import errors
from edge_asd.errors import BusyError, EdgeAsdError, StorageError, UsageError
from edge_asd.web.quiet_server import QuietServer

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 2.0

Reply = Callable[[float, str], None]
Handler = Callable[[dict[str, Any], Reply], dict[str, Any]]
"""Takes a request and a progress callback; returns the result or raises an EdgeAsdError."""


class ControlServer(QuietServer, socketserver.ThreadingUnixStreamServer):
    """Listens on a socket that only the service's user and group may use.

    Args:
        path: Where; a stale socket is replaced (the state lock says that nobody owns it).
        handle: Carries out a request; called in a thread of its own for every connection.

    Raises:
        StorageError: The socket cannot be created.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: Path, handle: Handler) -> None:
        self.path = path
        self.handle = handle
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.unlink(missing_ok=True)
            super().__init__(str(path), _Connection)
            path.chmod(0o660)
        except OSError as error:
            raise StorageError(f"{path}: no control socket: {error.strerror}") from error

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self.shutdown()
        self.server_close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class _Connection(socketserver.StreamRequestHandler):
    timeout = 3600

    def handle(self) -> None:
        server = self.server
        if not isinstance(server, ControlServer):
            return
        with contextlib.suppress(OSError):  # whoever asked may leave at any time
            self._send(self._answer(server.handle))

    def _answer(self, handle: Handler) -> dict[str, Any]:
        try:
            request = json.loads(self.rfile.readline(MAX_REQUEST_BYTES))
        except (ValueError, RecursionError) as error:
            return _failure(UsageError(f"not a JSON request: {error}"))
        if not isinstance(request, dict):
            return _failure(UsageError("a request is a JSON object"))
        try:
            return {"result": handle(request, self._progress)}
        except EdgeAsdError as error:
            return _failure(error)

    def _progress(self, fraction: float, text: str) -> None:
        with contextlib.suppress(OSError):  # the work goes on without its watcher
            self._send({"progress": round(fraction, 4), "text": text})

    def _send(self, reply: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(reply).encode() + b"\n")
        self.wfile.flush()


def _failure(error: EdgeAsdError) -> dict[str, Any]:
    return {"error": str(error), "kind": type(error).__name__, "exit_code": error.exit_code}


def ask_daemon(path: Path, request: dict[str, Any], progress: Reply) -> dict[str, Any] | None:
    """Send a request to the daemon and wait for its result.

    Args:
        path: Its socket.
        request: What is wanted.
        progress: Called with every step it reports.

    Returns:
        The result, or None where no daemon listens.

    Raises:
        EdgeAsdError: What the daemon answered, of the same kind.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        try:
            connection.connect(os.fspath(path))
        except BlockingIOError as error:
            raise BusyError(f"{path}: too many ask the daemon at once; try again") from error
        except OSError:
            return None
        connection.settimeout(None)
        for reply in _replies(connection, request):
            if "progress" in reply:
                progress(reply["progress"], reply["text"])
            elif "error" in reply:
                kind = getattr(errors, str(reply.get("kind")), EdgeAsdError)
                raise kind(reply["error"])
            else:
                return dict(reply["result"])
    raise StorageError(f"{path}: the daemon stopped before it answered; see its log")


def _replies(connection: socket.socket, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Send a request and yield what comes back; a daemon that dies ends it."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)
