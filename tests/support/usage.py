"""What a process and its children take: processor time and rests by thread, memory by mapping.

Linux only. Processor time is the scheduler's own count in nanoseconds, so that it says the same on
a machine that is busy with something else.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_asd.bench import accounting
from edge_asd.bench.accounting import PROC

_VOLUNTARY = "voluntary_ctxt_switches:"


@dataclass(frozen=True)
class Thread:
    """So far."""

    name: str
    cpu_s: float
    rests: int
    """Times it gave the processor back by itself; it is woken up as often."""


def threads(pid):
    """Threads of a process by their number."""
    found = {}
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                lines = (task / "status").read_text().splitlines()
                (rests,) = [line.split()[1] for line in lines if line.startswith(_VOLUNTARY)]
                used_ns = (task / "schedstat").read_text().split()[0]
                name = (task / "comm").read_text().strip()
                found[int(task.name)] = Thread(name, int(used_ns) / 1e9, int(rests))
    return found


def spent(before, after):
    """What threads took between two calls of ``threads``, by name: (seconds, rests)."""
    seconds, rests = Counter(), Counter()
    for number, thread in after.items():
        earlier = before.get(number, Thread("", 0.0, 0))
        seconds[thread.name] += thread.cpu_s - earlier.cpu_s
        rests[thread.name] += thread.rests - earlier.rests
    return {name: (seconds[name], rests[name]) for name in seconds}


def cpu_s(pid):
    """Seconds of processor time of all threads that live."""
    return sum(thread.cpu_s for thread in threads(pid).values())


def memory_mb(pid, kind="Pss"):
    """``Rss`` resident, ``Pss`` with shared pages divided among their users; 0 after its end."""
    return dict(zip(("Pss", "Rss"), accounting.memory_mb(PROC / str(pid)), strict=True))[kind]


def mappings_mb(pid):
    """PSS by what is mapped: a library, ``[heap]``, ``anonymous``; the most first."""
    sizes, name = Counter(), ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, *rest = line.split()
        if not key.endswith(":"):
            name = Path(rest[4]).name if len(rest) > 4 else "anonymous"
        elif key == "Pss:":
            sizes[name] += int(rest[0]) / 1024
    return dict(sizes.most_common())
