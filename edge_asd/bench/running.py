"""The real daemon as a process: started, timed until it is ready, read, ended."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Collection
from pathlib import Path

from typing_extensions import Self

from edge_asd.bench.affinity import pinned, usable_cores
from edge_asd.bench.site import Site
from edge_asd.demo.process import DaemonProcess
from edge_asd.errors import CaptureError

_START_S = 300.0
_POLL_S = 0.05
_RECEIPT = re.compile(rb"monitor=(\S+) event=\S+ puback_s=([0-9.]+)")
"""A line of the log with ``-v``; see `edge_asd.report.report`."""


class RunningDaemon:
    """A context manager: inside, the daemon is ready.

    Args:
        site: Where it runs.
        verbose: Have it log every window and every receipt.
        cores: It keeps to these; None for any.

    Raises:
        CaptureError: It does not start.
    """

    def __init__(
        self, site: Site, *, verbose: bool = False, cores: Collection[int] | None = None
    ) -> None:
        self._cores = usable_cores() if cores is None else cores
        # Abstract: a path could be longer than the kernel takes.
        self._address = f"edge-asd-bench-{os.getpid()}-{site.folder.name}"
        kept = {name: value for name, value in os.environ.items() if name not in _OF_A_SERVICE}
        self._process = DaemonProcess(
            site.config,
            site.state_dir,
            site.log,
            arguments=("-v",) if verbose else (),
            environ=kept | {"NOTIFY_SOCKET": f"@{self._address}"},
        )
        self.start_s = 0.0
        """From the start of the process until it said READY."""

    def __enter__(self) -> Self:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"\0{self._address}")
            manager.settimeout(_POLL_S)
            begun_s = time.monotonic()
            with pinned(self._cores):  # a child begins where its parent is
                self._process.__enter__()
            try:
                self._wait(manager, begun_s + _START_S)
                self.start_s = time.monotonic() - begun_s
            except BaseException:
                self._process.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            CaptureError: It has stopped; the text is its own last word.
        """
        self._process.check()

    def _wait(self, manager: socket.socket, until_s: float) -> None:
        while True:
            self.check()
            if time.monotonic() > until_s:
                raise CaptureError(f"the daemon was not ready within {_START_S:.0f} s")
            try:
                if manager.recv(4096) == b"READY=1":
                    return
            except TimeoutError:
                continue


class ReceiptLog:
    """Reads how long events took from a daemon's log, from where it was read to before.

    Args:
        log: The file.
    """

    def __init__(self, log: Path) -> None:
        self._log, self._at = log, 0

    def take(self) -> list[tuple[str, float]]:
        """Monitor and seconds until PUBACK of every event that was acknowledged since."""
        with self._log.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # a line may be half written
        self._at += len(whole)
        return [(name.decode(), float(seconds)) for name, seconds in _RECEIPT.findall(whole)]


_OF_A_SERVICE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")
