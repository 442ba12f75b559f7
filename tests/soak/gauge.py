"""What the process takes of the machine, and whether it takes more and more of it."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RSS_LIMIT = 1e6
"""Bytes by which memory may grow within 100 000 windows."""
LONG_ENOUGH = 500_000
"""A shorter run cannot tell such a slope from the settling of an allocator."""
SHORT_RISE = 80e6
"""Bytes by which it may settle in a shorter one."""
_WARM_UP = 5  # the first fifth
REST_S = 10.0
"""Threads and processes that are ending have so long for it."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process takes at one moment."""

    windows: int
    rss: int
    """Resident memory in bytes."""
    threads: int
    descriptors: int
    """Files of the state directory, which are opened when they are needed, count if open twice."""
    children: int
    disk: int = 0
    """Bytes of the state directory, evidence left out."""
    evidence: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that must hold, and what was found."""

    name: str
    kept: bool
    found: str


def measure(windows: int, state: Path | None = None, *, but: tuple[int, ...] = ()) -> Sample:
    """Take a sample.

    Args:
        windows: How many were run so far.
        state: The state directory.
        but: Children that are the soak's own.
    """
    evidence = disk = 0
    if state is not None:
        evidence = occupied(state / "evidence", depth=2)  # below the months
        disk = occupied(state) - occupied(state / "evidence")
    return Sample(
        windows=windows,
        rss=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        threads=sum(1 for _ in Path("/proc/self/task").iterdir()),
        descriptors=_descriptors(state),
        children=len(set(children()) - set(but)),
        disk=disk,
        evidence=evidence,
    )


def _descriptors(state: Path | None) -> int:
    count, known = 0, set()
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(entry.readlink())
        except OSError:  # that of the listing itself
            continue
        of_state = state is not None and target.startswith(f"{state}/")
        count += not of_state or target in known
        known.add(target)
    return count


def children() -> list[int]:
    """Processes that are ours or our children's, the dead that nobody waited for included."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found, new = [], [os.getpid()]
    while new:
        new = [pid for pid, parent in parents.items() if parent in new]
        found += new
    return found


def occupied(folder: Path, *, depth: int = 0) -> int:
    """Bytes that what is in a folder takes, in blocks of 4096; from so many folders down."""
    total = 0
    for where, folders, files in os.walk(folder):
        if len(Path(where).relative_to(folder).parts) >= depth:
            total += sum(_size(Path(where, name)) for name in (*files, *(folders if depth else ())))
    return total


def _size(path: Path) -> int:
    try:
        return -(-path.lstat().st_size // 4096) * 4096
    except OSError:  # deleted meanwhile
        return 0


class Gauge:
    """Samples while it runs, and while everything is closed."""

    def __init__(self) -> None:
        self.running: list[Sample] = []
        self.closed: list[Sample] = []

    def close(self, windows: int, *, but: tuple[int, ...] = ()) -> None:
        """Take a sample after everything was closed: what is still there was left behind."""
        gc.collect()
        deadline = time.monotonic() + REST_S
        sample = measure(windows, but=but)
        while self.closed and _more(sample, self.closed[0]) and time.monotonic() < deadline:
            time.sleep(0.05)  # threads that only wait for a child to end
            sample = measure(windows, but=but)
        self.closed.append(sample)

    @property
    def slope(self) -> float:
        """Growth of resident memory in bytes per 100 000 windows, after warm-up."""
        samples = self.running[len(self.running) // _WARM_UP :]
        if len(samples) < 2:
            return float("nan")
        windows = np.array([sample.windows for sample in samples], float)
        return float(1e5 * np.polyfit(windows, [sample.rss for sample in samples], 1)[0])

    def promises(self, quota: int) -> list[Promise]:
        """What must hold of all this.

        Args:
            quota: Bytes that evidence may take.
        """
        return [
            self._memory(),
            *(self._steady(name) for name in ("threads", "descriptors", "children")),
            *(self._given_back(name) for name in ("threads", "descriptors", "children")),
            self._evidence(quota),
        ]

    def _memory(self) -> Promise:
        settled = self.running[len(self.running) // _WARM_UP :]
        rise = settled[-1].rss - settled[0].rss if settled else 0
        slope = f"{self.slope / 1e6:+.3f} MB per 100 000 windows after warm-up"
        if not self.running or self.running[-1].windows < LONG_ENOUGH:
            text = f"{slope}, too short a run to judge by that: {rise / 1e6:+.1f} MB altogether"
            return Promise("memory is flat", rise < SHORT_RISE, text)
        return Promise("memory is flat", self.slope < RSS_LIMIT, slope)

    def _steady(self, name: str) -> Promise:
        """At the end there are moments with no more than there was at some time after warm-up."""
        count = max(1, len(self.running) // _WARM_UP)
        early = max(getattr(sample, name) for sample in self.running[count : 3 * count])
        late = min(getattr(sample, name) for sample in self.running[-count:])
        most = max(getattr(sample, name) for sample in self.running)
        text = f"{early} at most after warm-up, {late} at least in the end, {most} at any time"
        return Promise(f"no growth of {name}", late <= early, text)

    def _given_back(self, name: str) -> Promise:
        first = getattr(self.closed[0], name)
        others = [getattr(sample, name) for sample in self.closed[1:]]
        text = f"{first} after the first stop, {max(others, default=first)} at most after"
        text += f" {len(others)} more"
        return Promise(f"all {name} given back", max(others, default=first) <= first, text)

    def _evidence(self, quota: int) -> Promise:
        most = max(sample.evidence for sample in self.running)
        text = f"{most / 1e6:.2f} MB at most of {quota / 1e6:.2f} MB"
        return Promise("evidence within its quota", most <= quota, text)


def _more(sample: Sample, than: Sample) -> bool:
    return any(
        getattr(sample, name) > getattr(than, name)
        for name in ("threads", "descriptors", "children")
    )
