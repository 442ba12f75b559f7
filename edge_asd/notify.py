"""What systemd is told: ready, status, watchdog, stopping (sd_notify without its library)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Sends datagrams to the service manager; without one it does nothing.

    Args:
        address: Path of its socket, ``@`` first for an abstract one; None for no service manager.
        watchdog_interval_s: How often ``watchdog`` should be called; None when nobody waits for it.

    Source: sd_notify(3).
    """

    def __init__(
        self, address: str | None = None, watchdog_interval_s: float | None = None
    ) -> None:
        self.watchdog_interval_s = watchdog_interval_s
        self._address = address
        self._stopping = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int | None = None) -> Notifier:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

        Args:
            environ: The process environment.
            pid: This process; None asks the system.
        """
        address = environ.get("NOTIFY_SOCKET") or None
        if address is not None and address[0] not in "/@":
            logger.warning("unsupported NOTIFY_SOCKET, nothing is notified address=%s", address)
            address = None
        return cls(address, _watchdog_interval_s(environ, os.getpid() if pid is None else pid))

    def ready(self) -> None:
        """Say that start-up or a reload is complete; not once the service is going down."""
        if not self._stopping:
            self._send("READY=1")

    def reloading(self, now_us: int | None = None) -> None:
        """Say that the configuration is being read again; ``ready`` says that it is done.

        Args:
            now_us: The monotonic clock, by which the manager tells an old answer from a new one;
                None asks the system.
        """
        at_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 if now_us is None else now_us
        self._send(f"RELOADING=1\nMONOTONIC_USEC={at_us}")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for more time, counted from now, for a start, a reload or an end that takes long."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """Show one line in ``systemctl status``."""
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """Say that the service is alive; call it only when every worker made progress."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service is going down."""
        self._stopping = True
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                # A service manager that does not read must not stop the monitoring.
                sock.settimeout(1.0)
                sock.connect(address)
                sock.sendall(message.encode())
        except OSError as error:
            logger.debug("service manager not reached address=%s error=%s", self._address, error)


def _watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Half of the time after which the service manager loses patience."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        patience_us = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return patience_us / 2e6 if patience_us > 0 else None
