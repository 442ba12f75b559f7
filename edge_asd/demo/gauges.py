"""What the daemon's ``/metrics`` says: how far the stream has got, and how loud it is."""

from __future__ import annotations

import contextlib
import http.client
import math
from dataclasses import dataclass

_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the metrics of a monitor."""

    frames: float = 0.0
    """Sample frames that the daemon has taken in."""
    lost_s: float = 0.0
    """Audio that it lost, seconds."""
    level_dbfs: float = math.nan
    """Level of the latest block."""


class Gauges:
    """Reads the metrics of one monitor over HTTP.

    Args:
        host: Where the daemon serves them.
        port: Where the daemon serves them.
        monitor: Name of the monitor.
    """

    def __init__(self, host: str, port: int, monitor: str) -> None:
        self._host, self._port, self._monitor = host, port, monitor

    @property
    def url(self) -> str:
        """For people."""
        return f"http://{self._host}:{self._port}/metrics"

    def read(self) -> Reading | None:
        """Look now; None while the daemon does not answer."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/metrics")
                text = connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException):
                return None
        return parse(text, self._monitor)


def parse(text: str, monitor: str) -> Reading:
    """Pick out what belongs to a monitor; what is missing keeps its default."""
    values = {}
    for line in text.splitlines():
        series, _, number = line.rpartition(" ")
        if series.endswith(f'{{monitor="{monitor}"}}'):
            values[series.partition("{")[0]] = float(number)
    return Reading(
        frames=values.get("edge_asd_capture_frames_total", 0.0),
        lost_s=values.get("edge_asd_capture_lost_seconds_total", 0.0),
        level_dbfs=values.get("edge_asd_audio_level_dbfs", math.nan),
    )
