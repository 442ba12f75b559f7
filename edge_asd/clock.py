"""Wall time at the edge: text, identifiers, and whether the clock can be trusted.

Durations never come from here; they come from the monotonic clock or the sample count.
"""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

# systemd-timesyncd creates this file at its first synchronisation after boot.
TIMESYNC_FLAG = Path("/run/systemd/timesync/synchronized")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_STA_UNSYNC = 0x0040  # <sys/timex.h>
_TIME_ERROR = 5

CLOCK_FLOOR_S = 1_704_067_200.0
"""2024-01-01: a clock that shows less was never set, as on a board without a battery."""


class _Timex(ctypes.Structure):
    """``struct timex`` of <sys/timex.h> up to ``status``, padded beyond the kernel's size."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def rfc3339(seconds: float) -> str:
    """Write a wall time as RFC 3339 in UTC with milliseconds and ``Z``.

    Args:
        seconds: Finite seconds since 1970 UTC.

    Returns:
        Text of fixed width, so that it sorts in time order.

    Raises:
        ValueError: The time is not finite or outside the years 1 to 9999.

    >>> rfc3339(0.0015)
    '1970-01-01T00:00:00.002Z'
    """
    milliseconds = round(seconds * 1000)
    whole = datetime.fromtimestamp(milliseconds // 1000, tz=timezone.utc)
    return f"{whole.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def parse_rfc3339(text: str) -> float:
    """Read what ``rfc3339`` wrote.

    Returns:
        Seconds since 1970 UTC.

    Raises:
        ValueError: It is something else.

    >>> parse_rfc3339("1970-01-01T00:00:01.500Z")
    1.5
    """
    parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
    return parsed.timestamp()


def uuid7(wall_s: float, rng: random.Random) -> str:
    """Make a UUID version 7, whose text sorts by the millisecond it was made in.

    Args:
        wall_s: Wall time, seconds since 1970 UTC; a time before 1970 counts as 1970.
        rng: Source of its 74 random bits.

    Returns:
        The canonical lower-case text.

    Source: RFC 9562, section 5.7.
    """
    milliseconds = max(0, int(wall_s * 1000)) & (2**48 - 1)
    value = milliseconds << 80
    value |= 0x7 << 76 | rng.getrandbits(12) << 64
    value |= 0b10 << 62 | rng.getrandbits(62)
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def boot_id(path: Path = BOOT_ID) -> str:
    """Tell one boot of the machine from the next, so that monotonic times can be compared.

    Args:
        path: Where the kernel shows it.

    Returns:
        The kernel's identifier; empty where there is none.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def kernel_synchronized() -> bool | None:
    """Ask the kernel whether something disciplines its clock.

    Returns:
        None when it cannot be asked (another system, or a sandbox that forbids it).

    Source: adjtimex(2) with ``modes`` 0, which only reads.
    """
    adjtimex = _adjtimex()
    if adjtimex is None:
        return None
    timex = _Timex()
    answer = adjtimex(ctypes.byref(timex))
    if answer < 0:
        return None
    return answer != _TIME_ERROR and not timex.status & _STA_UNSYNC


@lru_cache(maxsize=1)
def _adjtimex() -> Callable[[Any], int] | None:
    """The C library's call, looked up once: that takes longer than all that is asked with it."""
    try:
        found: Callable[[Any], int] = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    return found


def clock_synchronized(
    flag: Path = TIMESYNC_FLAG, kernel: Callable[[], bool | None] = kernel_synchronized
) -> bool | None:
    """Tell whether the wall clock follows a reference.

    Args:
        flag: File that systemd-timesyncd leaves once it synchronised.
        kernel: What the kernel says.

    Returns:
        True or False, None when it cannot be known.
    """
    return True if os.path.exists(flag) else kernel()  # noqa: PTH110 - never raises
