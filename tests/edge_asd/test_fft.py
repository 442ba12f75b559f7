"""Magnitudes of transforms: the same from every library, whoever asks and however many together."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.sound import enrolled, machine

from edge_asd.embed import WindowEmbedder
from edge_asd.features import fft_backend
from edge_asd.features.fft import BACKENDS, _SplitPlan, magnitudes, table_of, use_fft_backend

both = pytest.mark.skipif(len(BACKENDS) < 2, reason="pyfftw, the extra fft, is not installed")


per_backend = pytest.mark.usefixtures("backend")


@pytest.fixture(params=list(BACKENDS))
def backend(request):
    before = fft_backend()
    use_fft_backend(request.param)
    yield request.param
    use_fft_backend(before)


def rows_of(count, n, seed=0):
    return np.random.default_rng(seed).normal(0.0, 0.1, (count, n)).astype(np.float32)


def transformed(rows, bins=None, taper=None):
    out = np.full((len(rows), bins or rows.shape[-1] // 2 + 1), np.nan, np.float32)
    magnitudes(rows, out, taper)
    return out


@per_backend
@pytest.mark.parametrize("n", [16, 441, 1024, 4800, 19_998, 66_150, 158_720, 160_000, 480_000])
def test_a_library_is_exact_to_single_precision(n):
    rows = rows_of(3, n)
    exact = np.abs(np.fft.rfft(rows.astype(np.float64)))
    assert_allclose(transformed(rows), exact, rtol=0.0, atol=5e-7 * exact.max())


@per_backend
def test_what_becomes_of_a_row_does_not_depend_on_those_around_it():
    rows = rows_of(70, 1024)
    together = transformed(rows)
    for first, count in ((0, 1), (3, 2), (15, 17), (40, 30)):
        assert_array_equal(
            transformed(rows[first : first + count]), together[first : first + count]
        )


@per_backend
def test_a_row_that_is_no_number_does_not_spoil_the_next():
    rows = rows_of(5, 1024)
    before = transformed(rows[:2])
    transformed(np.full((20, 1024), np.nan, np.float32))
    assert_array_equal(transformed(rows[:2]), before)


def sides(n):
    return table_of(n) or (n, 1)


@given(st.integers(1, 200_000))
def test_a_long_row_is_a_table_that_is_nearly_square_or_none(n):
    height, width = sides(n)
    assert height * width == n
    if width > 1:
        assert width % 2 == 0
        assert height <= width < 80 * height


@settings(max_examples=30)
@given(height=st.integers(1, 40), width=st.integers(1, 40), bins=st.integers(1, 801))
def test_a_table_of_any_sides_has_the_magnitudes_of_its_row(height, width, bins):
    n = 2 * height * width
    row, out = rows_of(1, n, seed=n), np.full((1, min(bins, n // 2 + 1)), np.nan, np.float32)
    _SplitPlan(height, 2 * width).write(row, out)
    exact = np.abs(np.fft.rfft(row.astype(np.float64)))
    assert_allclose(out, exact[:, : out.shape[-1]], rtol=0.0, atol=5e-7 * exact.max())


@per_backend
@pytest.mark.parametrize("n", [512, 80_000])
def test_rows_are_tapered_and_bins_left_out(n):
    rows, taper = rows_of(4, n), np.hanning(n).astype(np.float32)
    assert_array_equal(transformed(rows, 200, taper), transformed(rows * taper)[:, :200])


@per_backend
def test_overlapping_rows_are_read_in_place():
    samples = rows_of(1, 4096)[0]
    view = np.lib.stride_tricks.sliding_window_view(samples, 512)[::100]
    assert_array_equal(transformed(view), transformed(view.copy()))


@per_backend
def test_threads_do_not_disturb_each_other():
    inputs = [rows_of(40, n, seed) for seed in range(4) for n in (256, 1000)]
    expected = [transformed(rows) for rows in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(transformed, inputs), expected, strict=True):
                assert_array_equal(found, wanted)


def test_the_library_in_use_has_a_name(backend):
    assert fft_backend() == backend


def test_without_fftw_scipy_transforms():
    program = (
        "import sys; sys.modules['pyfftw'] = None\n"
        "from edge_asd.features import fft, fft_backend\n"
        "assert list(fft.BACKENDS) == ['scipy']; print(fft_backend())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"scipy"]


@both
@per_backend
@pytest.mark.parametrize("n", [1024, 160_000])
def test_libraries_differ_by_no_more_than_rounding(n):
    rows, found = rows_of(2, n), []
    for name in BACKENDS:
        use_fft_backend(name)  # the fixture puts it back
        found.append(transformed(rows))
    assert_allclose(found[0], found[1], rtol=0.0, atol=1e-6 * np.abs(found[1]).max())


@per_backend
@both
def test_a_profile_learned_with_one_library_serves_with_the_other(tiny_networks):
    profile = enrolled(tiny_networks, machine("pump", 90.0))
    sound = machine("pump", 20.0, seed=3)
    found = []
    for name in BACKENDS:
        use_fft_backend(name)  # the fixture puts it back
        _, views, _ = WindowEmbedder(tiny_networks).embed_clip(sound)
        found.append(profile.detector.score(views))
    spread = float(np.ptp(found[0].scores))
    assert_allclose(found[0].scores, found[1].scores, rtol=0.0, atol=1e-4 * spread)
    assert found[0].nearest == found[1].nearest
