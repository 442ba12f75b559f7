"""Many random inputs: a seeded tenth of them in ``make test``, all in ``make test-long``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

SHARES = pytest.mark.parametrize(
    "share", [pytest.param(0.1, id="tenth"), pytest.param(1.0, id="all", marks=pytest.mark.long)]
)


def fuzz(share, count, *strategies):
    """Run what is decorated with so many inputs, now."""

    def run(body):
        slow = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
        wanted = settings(
            max_examples=round(count * share),
            derandomize=share < 1.0,
            database=None,
            deadline=None,
            suppress_health_check=slow,
        )
        wanted(given(*strategies)(body))()

    return run
