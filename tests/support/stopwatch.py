"""How long a process took over something, apart from what the machine made it wait."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

_TICK_S = 0.02


class Stopwatch:
    """Measures a promise in seconds on a machine that may be slow and busy; a context manager.

    Counted is the time in which the process waited for anything but a processor: timers, locks,
    other processes. While it computes, or could compute and is not let, it is not to blame. What
    a program that hangs in its end makes others wait is counted in full.

    Args:
        pid: The process, which may end meanwhile.
    """

    def __init__(self, pid: int) -> None:
        self.own_s = 0.0
        """Seconds that count, known at the end."""
        self._tasks = Path(f"/proc/{pid}/task")
        self._before = self._charged()
        self._last = dict(self._before)
        self._late_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stopwatch", daemon=True)

    def __enter__(self):
        self._began_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_):
        elapsed_s = time.monotonic() - self._began_s
        self._over.set()
        self._thread.join()
        used_s, waited_s = self._spent()
        # Where the kernel does not tell, we still know how late we were woken up ourselves.
        self.own_s = max(0.0, elapsed_s - used_s - max(waited_s, self._late_s))

    def _watch(self):
        while not self._over.is_set():
            slept_s = time.monotonic()
            self._over.wait(_TICK_S)
            self._late_s += max(0.0, time.monotonic() - slept_s - _TICK_S)
            self._last |= self._charged()  # what a thread had counted when it ended stays

    def _spent(self):
        """Seconds that all threads computed, and waited for a processor, since the beginning."""
        began = [self._before.get(task, (0.0, 0.0)) for task in self._last]
        pairs = list(zip(self._last.values(), began, strict=True))
        return (sum(now[each] - then[each] for now, then in pairs) for each in (0, 1))

    def _charged(self):
        """The same of each thread since it was made."""
        charged = {}
        with suppress(OSError):  # it has ended
            for task in self._tasks.iterdir():
                with suppress(OSError, ValueError):
                    used_ns, waited_ns, _ = (task / "schedstat").read_text().split()
                    charged[task.name] = (int(used_ns) / 1e9, int(waited_ns) / 1e9)
        return charged
