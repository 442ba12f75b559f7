"""Probes and metrics over HTTP; beyond loopback only for those who know the token.

::

    /livez    200 while every worker makes progress, else 503
    /readyz   200 once the daemon is ready, else 503
    /healthz  every check as JSON; 503 when one of them is critical
    /metrics  Prometheus text

With a token every path asks for it, probes too: whoever does not know it learns nothing.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from edge_asd.errors import ConfigError
from edge_asd.health import Check, Health, HealthBoard
from edge_asd.remedies import remedy_of
from edge_asd.web.access import Token, listen_address
from edge_asd.web.quiet_server import QuietServer

logger = logging.getLogger(__name__)

_MAX_REQUESTS = 16
_REQUEST_S = 10.0
"""A request may take so long, however busily its client sends it byte by byte."""
_LOOK_S = 0.2
_TEXT = "text/plain; charset=utf-8"
_Answer = tuple[HTTPStatus, str, bytes]


class HttpServer:
    """Serves the probes from one thread called ``http``.

    The address is taken when the object is made, so that a wrong one fails at start-up.

    Args:
        listen: ``address:port`` or ``[address]:port``; port 0 takes a free one.
        board: Checks behind ``/healthz``.
        registry: Metrics behind ``/metrics``.
        stalled: Names of the workers that stand still, for ``/livez``.
        ready: Whether the daemon is ready, for ``/readyz``.
        token: What clients have to know; None asks for nothing, and only on loopback.

    Raises:
        ConfigError: The address is malformed, taken, not allowed, or beyond loopback without a
            token.
    """

    def __init__(
        self,
        listen: str,
        *,
        board: HealthBoard,
        registry: CollectorRegistry,
        stalled: Callable[[], tuple[str, ...]],
        ready: Callable[[], bool],
        token: Token | None = None,
    ) -> None:
        self._board = board
        self._registry = registry
        self._stalled = stalled
        self._ready = ready
        self._server = _bind(listen, self._answer, token)
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def address(self) -> str:
        """Address that is really listened on."""
        return str(self._server.server_address[0])

    @property
    def port(self) -> int:
        """Port that is really listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        logger.info("http listening address=%s port=%d", self.address, self.port)

    def ask_for(self, token: Token | None) -> None:
        """Ask clients for another token from now on; None for none, only on loopback."""
        self._server.token = token

    def close(self) -> None:
        """Stop answering and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _answer(self, path: str) -> _Answer:
        """Answer a GET of ``path``."""
        if path == "/livez":
            stalled = self._stalled()
            return _probe(not stalled, "stalled: " + ", ".join(stalled))
        if path == "/readyz":
            return _probe(self._ready(), "not ready")
        if path == "/healthz":
            return self._healthz()
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return HTTPStatus.NOT_FOUND, _TEXT, b"/livez /readyz /healthz /metrics\n"

    def _healthz(self) -> _Answer:
        worst = self._board.worst()
        checks = {name: _shown(name, check) for name, check in self._board.snapshot().items()}
        body = json.dumps({"status": worst.value, "checks": checks}, indent=2) + "\n"
        status = HTTPStatus.OK if worst is not Health.CRITICAL else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", body.encode()


def _shown(name: str, check: Check) -> dict[str, str]:
    """A check, with a remedy where it needs one."""
    found = {"status": check.status.value, "text": check.text}
    if check.status not in (Health.HEALTHY, Health.SKIPPED):
        found["remedy"] = remedy_of(name)
    return found


def _probe(passed: bool, why_not: str) -> _Answer:  # noqa: FBT001 - reads well at its two calls
    if passed:
        return HTTPStatus.OK, _TEXT, b"ok\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{why_not}\n".encode()


class _Server(QuietServer, ThreadingHTTPServer):
    """Threading server with a bounded number of threads."""

    daemon_threads = True
    # The daemon must stop at once, even while a client dawdles over its request.
    block_on_close = False

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        answer: Callable[[str], _Answer],
        token: Token | None,
    ) -> None:
        self.address_family = family
        self.answer = answer
        self.token = token
        self._begun: dict[Any, float] = {}  # requests under way, and since when
        self._slots = threading.BoundedSemaphore(_MAX_REQUESTS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the reverse name lookup of the base class, which may block for seconds."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Refuse what exceeds the bound by closing the connection."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._begun[request] = time.monotonic()
        super().process_request(request, client_address)

    def rest_s(self) -> float | None:
        """Wake up now and then while there are requests under way."""
        return _LOOK_S if self._begun else None

    def service_actions(self) -> None:
        """End requests that take too long."""
        now_s = time.monotonic()
        for request, begun_s in list(self._begun.items()):
            if now_s - begun_s > _REQUEST_S:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request and free its slot."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._begun.pop(request, None)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log instead of printing; a client that goes away is no error."""
        logger.debug("http request failed client=%s", client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request; a silent client is dropped after ``timeout`` seconds."""

    server: _Server
    timeout = 5
    server_version = "edge-asd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with headers and body."""
        if self._admitted():
            self._reply(*self.server.answer(self.path.partition("?")[0]))

    def do_HEAD(self) -> None:
        """Answer with the headers of the same GET."""
        self.do_GET()

    def do_POST(self) -> None:
        """Refuse: nothing can be changed here."""
        if self._admitted():
            self._reply(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"only GET and HEAD\n")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815 - called by these names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log requests at DEBUG instead of printing them."""
        logger.debug("http client=%s %r", self.client_address[0], format % args)

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002 - quotes the request
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """Refuse what is no request without repeating any of it."""
        status = HTTPStatus(code)
        self.command = getattr(self, "command", None) or "GET"
        self._reply(status, _TEXT, f"{status.phrase.lower()}\n".encode())

    def _admitted(self) -> bool:
        """Whether the client may ask; told that it may not, it learns nothing else."""
        token = self.server.token
        if token is None or token.admits(self.headers.get_all("Authorization", [])):
            return True
        self._reply(HTTPStatus.UNAUTHORIZED, _TEXT, b"unauthorized\n")
        return False

    def _reply(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _bind(listen: str, answer: Callable[[str], _Answer], token: Token | None) -> _Server:
    address, port = listen_address(listen, token)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        return _Server(family, (str(address), port), answer, token)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"http.listen: {listen} is in use: stop the other program or choose another port"
            ) from error
        raise ConfigError(
            f"http.listen: cannot listen on {listen}: {error.strerror}; "
            "choose an address of this computer, and a port above 1023"
        ) from error
