"""Memory that is not needed any more goes back to the system.

To open a bundle and its engines, or to learn a profile, takes much more than to listen, and the
allocator keeps what was freed for a next time that may never come.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc


def keep_modules() -> None:
    """Spare the collector what is there now: modules and what they define stay to the end.

    To be called before anything is made that may go again.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Collect garbage and return freed memory to the system; from any thread.

    Cost: some 10 ms. Only glibc can be told to return anything.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
