"""Ctrl-C while the program is still loading: nothing is open yet, so it leaves at once.

Left to itself, Python shows where in an import it was interrupted, or loses the interrupt there.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""Exit code: 128 + SIGINT, as shells have it."""


def leave_at_once() -> None:
    """Make Ctrl-C end the process on the spot, unless it is ignored or somebody handles it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """Undo ``leave_at_once``: from now on something may be open that wants to be closed."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
