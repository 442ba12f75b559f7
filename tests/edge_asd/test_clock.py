"""Times as text, identifiers that sort, and an honest clock."""

from __future__ import annotations

import ctypes
import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.clock import (
    _Timex,
    boot_id,
    clock_synchronized,
    kernel_synchronized,
    parse_rfc3339,
    rfc3339,
    uuid7,
)

times = st.floats(-2e9, 2e11)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-0.001, "1969-12-31T23:59:59.999Z"),
        (951782399.9996, "2000-02-29T00:00:00.000Z"),
        (1782345600.25, "2026-06-25T00:00:00.250Z"),
    ],
)
def test_text_of_a_time(seconds, text):
    assert rfc3339(seconds) == text


@given(times, times)
def test_texts_sort_as_times_and_read_back(one, other):
    assert parse_rfc3339(rfc3339(one)) == pytest.approx(one, abs=6e-4)
    if round(one, 3) < round(other, 3):
        assert rfc3339(one) <= rfc3339(other)


@given(st.floats(0, 1e11), st.integers(0, 2**32))
def test_an_identifier_is_a_version_7_and_holds_its_time(wall_s, seed):
    made = uuid.UUID(uuid7(wall_s, random.Random(seed)))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(wall_s * 1000)
    assert str(made) == uuid7(wall_s, random.Random(seed))


def test_identifiers_sort_by_time_and_differ_within_a_millisecond():
    rng = random.Random(1)
    assert uuid7(100.0, rng) < uuid7(100.001, rng) < uuid7(5e9, rng)
    assert len({uuid7(1.0, rng) for _ in range(1000)}) == 1000


def test_a_boot_has_one_identifier(tmp_path):
    assert boot_id() == boot_id()
    uuid.UUID(boot_id())
    assert boot_id(tmp_path / "missing") == ""


def test_the_clock_is_trusted_when_either_witness_says_so(tmp_path):
    flag = tmp_path / "synchronized"
    assert clock_synchronized(flag, lambda: True) is True
    assert clock_synchronized(flag, lambda: False) is False
    assert clock_synchronized(flag, lambda: None) is None
    flag.touch()
    assert clock_synchronized(flag, lambda: False) is True


def test_the_kernel_is_asked_with_its_own_layout():
    # struct timex of a 64-bit kernel: status lies behind five longs.
    if ctypes.sizeof(ctypes.c_long) == 8:
        assert _Timex.status.offset == 40
    assert ctypes.sizeof(_Timex) >= 208
    assert kernel_synchronized() in (True, False, None)
