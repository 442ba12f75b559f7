"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter, so that many devices do not try in step."""

    first_s: float = 0.5
    limit_s: float = 30.0

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Delay after the ``failures``-th failure in a row (from 1), seconds.

        Half of it is fixed and half is drawn; never under ``first_s`` nor over ``limit_s``.
        """
        full = min(self.limit_s, self.first_s * 2.0 ** min(failures, 60))
        return max(self.first_s, full * rng.uniform(0.5, 1.0))
