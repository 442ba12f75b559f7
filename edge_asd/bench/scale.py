"""How many monitors a whole daemon has room for on one core."""

from __future__ import annotations

MOST = 256
"""Monitors that a daemon is loaded with at most."""
_MORE_CPU = 0.8
"""Of a core, that a second daemon would take at most: more monitors cost less each."""


def more_than_one(cpu_share: float) -> int:
    """Monitors of a second daemon, if one takes so much."""
    return min(MOST // 4, max(4, round(_MORE_CPU / max(cpu_share, 1e-3))))


def fitting(few: tuple[int, float], more: tuple[int, float]) -> int:
    """How many take one core, by the straight line through two daemons.

    Args:
        few: Monitors, and the share of a core that they take.
        more: The same of the larger one.

    >>> fitting((1, 0.25), (3, 0.5))
    7
    """
    each = (more[1] - few[1]) / (more[0] - few[0])
    if each <= 0.0:  # the machine was busy with something else: in proportion at least
        each = more[1] / more[0]
    alone = max(0.0, few[1] - each * few[0])
    return max(1, int((1.0 - alone) / each + 1e-9))
