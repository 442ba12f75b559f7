"""``sim:`` a simulated machine as a source; the only place that knows `edge_asd.simulate`.

The simulator is imported when one is asked for: it brings half a second of filter design along,
which a daemon with real microphones does not need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_asd.capture.due import Due
from edge_asd.capture.pacing import Pacer
from edge_asd.errors import ConfigError
from edge_asd.records import Block
from edge_asd.steady import SteadyClock

if TYPE_CHECKING:
    from edge_asd.capture.uri import SimUri
    from edge_asd.simulate import Scene, Schedule


def check(uri: SimUri) -> None:
    """Refuse what the simulator cannot do, without rendering anything.

    Raises:
        ValueError: Kind, fault, rate or times make no sense; names what would be right.
    """
    from edge_asd.simulate import KINDS, faults_of  # noqa: PLC0415 - see above

    if uri.kind not in KINDS:
        what = f"unknown machine {uri.kind!r}" if uri.kind else "no machine"
        raise ValueError(f"{what}; known: {', '.join(KINDS)}")
    if uri.fault is not None and uri.fault not in faults_of(uri.kind):
        known = ", ".join(faults_of(uri.kind))
        raise ValueError(f"a {uri.kind} has no fault {uri.fault!r}; it has: {known}")
    _scene(uri)
    _schedule(uri)


def _scene(uri: SimUri) -> Scene:
    from edge_asd.simulate import Scene  # noqa: PLC0415 - see above

    return Scene(
        uri.kind,
        uri.unit,
        sample_rate=uri.rate,
        snr_db=uri.snr_db,
        level_dbfs=uri.level_dbfs,
    )


def _schedule(uri: SimUri) -> Schedule:
    from edge_asd.simulate import Fault, Schedule  # noqa: PLC0415 - see above

    off = () if uri.off_s is None else (uri.off_s,)
    if uri.fault is None:
        return Schedule(off=off)
    return Schedule(
        fault=Fault(uri.fault, uri.severity),
        onset_s=uri.onset_s,
        ramp_s=uri.ramp_s,
        clear_s=uri.clear_s,
        off=off,
    )


class SimSource:
    """A machine that runs, breaks and is repaired on schedule.

    Args:
        uri: Which machine, and what happens to it.
        clock: What blocks are dated with.

    Raises:
        ConfigError: The simulator cannot do that.
    """

    def __init__(self, uri: SimUri, clock: SteadyClock | None = None) -> None:
        from edge_asd.simulate import SimulatedMachine  # noqa: PLC0415 - see above

        self._uri, self._due = uri, Due()
        try:
            check(uri)
            self._machine = SimulatedMachine(_scene(uri), seed=uri.seed, schedule=_schedule(uri))
        except ValueError as error:
            raise ConfigError(f"source {uri.text!r}: {error}") from error
        self._pacer = Pacer(uri.speed, clock)

    @property
    def sample_rate(self) -> int:
        """Rate at which the machine is rendered."""
        return self._uri.rate

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the end that was asked for, or until closed."""
        rate = self._uri.rate
        size = max(1, round(self._pacer.block_s * rate))
        end = None if self._uri.seconds is None else max(1, round(self._uri.seconds * rate))
        start = 0
        while end is None or start < end:
            n = size if end is None else min(size, end - start)
            for samples in self._due.parts(self._machine.read(n)[:, None], start):  # (m, 1)
                if not self._pacer.hold((start + len(samples)) / rate):
                    return
                yield Block(samples, start, self._pacer.captured_at(start / rate))
                start += len(samples)

    def expect(self, index: int) -> None:
        """Have a block end at this stream index where blocks are paced; from any thread."""
        if self._pacer.speed is not None:
            self._due.index = index

    def close(self) -> None:
        """End the stream."""
        self._pacer.close()
