"""A time in which the daemon stays away from its broker on purpose."""

from __future__ import annotations

from collections.abc import Callable


class Absence:
    """Until when nobody is to connect; asked by the pump thread, set by others.

    It ends by itself, and with the process.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s: float | None = None  # one value, replaced: no lock is needed

    def begin(self, seconds: float) -> None:
        """Stay away for so long from now on."""
        self._until_s = self._clock() + seconds

    def end(self) -> None:
        """Come back."""
        self._until_s = None

    @property
    def lasts(self) -> bool:
        """Whether to stay away."""
        until_s = self._until_s
        return until_s is not None and self._clock() < until_s
