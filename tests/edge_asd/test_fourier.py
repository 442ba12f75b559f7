"""The transform is SciPy's, however it is reached."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from numpy.testing import assert_array_equal

from edge_asd import fourier


@pytest.mark.parametrize("shape", [(1,), (2,), (1_600,), (4_801,), (3, 1_024), (1, 7, 64)])
@pytest.mark.parametrize("way", [fourier._transforms(), fourier._public()])
def test_a_spectrum_is_that_of_scipy_to_the_bit(way, shape):
    samples = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    spectrum = way.real(samples, -1, None)
    assert spectrum.dtype == np.complex64
    assert_array_equal(spectrum, scipy.fft.rfft(samples, axis=-1))


def test_rows_need_not_lie_close_together():
    samples = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)[::3, ::-2].T
    assert_array_equal(fourier.rfft(samples), scipy.fft.rfft(samples, axis=-1))


@pytest.mark.parametrize("way", [fourier._transforms(), fourier._public()])
def test_columns_of_complex_values_are_transformed_as_scipy_does(way, monkeypatch):
    monkeypatch.setattr(fourier, "_of", way)
    parts = np.random.default_rng(0).standard_normal((2, 40, 7)).astype(np.float32)
    values = (parts[0] + 1j * parts[1]).astype(np.complex64)
    found = fourier.fft_of_columns(values, np.zeros_like(values))
    assert found.dtype == np.complex64
    assert_array_equal(found, scipy.fft.fft(values, axis=0))


def test_a_scipy_that_has_it_elsewhere_is_asked_in_public(monkeypatch):
    def nowhere(name):
        raise ImportError(name)

    monkeypatch.setattr(fourier, "compiled_module", nowhere)
    samples = np.arange(16, dtype=np.float32)
    assert_array_equal(fourier._transforms().real(samples, -1, None), fourier.rfft(samples))
