"""What a board's own meter says of its power: INA3221 on Jetson modules, RAPL on x86."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from typing_extensions import Self

SYS = Path("/sys")
_WHOLE_BOARD = ("VDD_IN", "VIN_SYS_5V0", "VIN", "POM_5V_IN")
"""Names of the rail that feeds everything, by board."""
_PERIOD_S = 0.1


class Meter(Protocol):
    """Counts joules."""

    name: str
    """Which one it is, for people."""

    def joules(self) -> float:
        """Since some moment in the past.

        Raises:
            OSError: It cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Found:
    """A meter, or why there is none."""

    meter: Meter | None
    reason: str = ""


def find_meter(sys: Path = SYS) -> Found:
    """The board's own meter, if it can be read."""
    tried = [_try(find, sys) for find in (_ina3221, _rapl)]
    reasons = [found.reason for found in tried if found.reason]
    nothing = Found(None, *(reasons or ["the board has no power meter that Linux shows"])[:1])
    return next((found for found in tried if found.meter is not None), nothing)


def _try(find: Callable[[Path], Meter | None], sys: Path) -> Found:
    try:
        meter = find(sys)
        if meter is not None:
            meter.joules()
    except PermissionError as error:
        return Found(None, f"{error.filename} may be read by root only")
    except (OSError, ValueError):
        return Found(None)  # as good as none
    return Found(meter)


class Ina3221:
    """A rail of a monitor chip: it shows volts and amperes, which are looked at often and added up.

    Args:
        name: Which one it is.
        millivolts: File.
        milliamperes: File.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        millivolts: Path,
        milliamperes: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._files, self._clock = (millivolts, milliamperes), clock
        self._joules, self._at_s = 0.0, clock()

    def joules(self) -> float:
        """Since it was made, if it is asked ten times a second."""
        volts, amperes = (int(file.read_text()) / 1e3 for file in self._files)
        now_s = self._clock()
        self._joules += volts * amperes * (now_s - self._at_s)
        self._at_s = now_s
        return self._joules


class Rapl:
    """Counters of energy that start over; the packages of all sockets are added up.

    Args:
        domains: Folders of the packages.
    """

    name = "RAPL, processor packages"

    def __init__(self, domains: list[Path]) -> None:
        self._domains = domains
        self._ranges_uj = [int((one / "max_energy_range_uj").read_text()) for one in domains]
        self._last_uj = self._read()
        self._joules = 0.0

    def joules(self) -> float:
        """Since it was made, if it is asked at least once an hour."""
        now_uj = self._read()
        for now, last, span in zip(now_uj, self._last_uj, self._ranges_uj, strict=True):
            self._joules += ((now - last) % (span + 1)) / 1e6
        self._last_uj = now_uj
        return self._joules

    def _read(self) -> list[int]:
        return [int((one / "energy_uj").read_text()) for one in self._domains]


class PowerLog:
    """Mean power while a ``with`` block lasts.

    Args:
        meter: None measures nothing.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-power", daemon=True)
        self.watts: float | None = None
        """Once the block has ended; None where nothing was measured."""

    def __enter__(self) -> Self:
        if self._meter is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        if self._meter is None:
            return
        try:
            begun_s, begun_j = time.monotonic(), self._meter.joules()
            ended_j = begun_j
            while not self._stop.wait(_PERIOD_S):
                ended_j = self._meter.joules()
            ended_j = self._meter.joules()
        except (OSError, ValueError):
            return  # it had been there; nothing is known then
        if (lasted_s := time.monotonic() - begun_s) > 0:
            self.watts = (ended_j - begun_j) / lasted_s


def _ina3221(sys: Path) -> Meter | None:
    for label in sorted(sys.glob("class/hwmon/hwmon*/in*_label")):
        rail = label.read_text().strip()
        number = label.name.removeprefix("in").removesuffix("_label")
        if rail in _WHOLE_BOARD:
            volts, amperes = (label.with_name(f"{kind}{number}_input") for kind in ("in", "curr"))
            return Ina3221(f"INA3221, rail {rail}", volts, amperes)
    return None


def _rapl(sys: Path) -> Meter | None:
    names = sorted(sys.glob("class/powercap/intel-rapl:*/name"))
    packages = [name.parent for name in names if name.read_text().startswith("package-")]
    return Rapl(packages) if packages else None
