"""Magnitudes of Fourier transforms, by the fastest library that is installed.

SciPy is always there and keeps single precision; what is long it transforms in two steps
(`_SplitPlan`). FFTW (through pyfftw) takes two thirds of its time for a whole window; it is
licensed under the GPL, so that it is the operator's to install, as the extra ``fft``, and nothing
needs it. Profiles learned with one serve with the other: they differ by the rounding of single
precision.

Rows are transformed so many at a time, always the same number: what becomes of a row does not
depend on how many are asked for together.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asd.compiled import compiled_module
from edge_asd.fourier import fft_of_columns, rfft
from edge_asd.records import FloatArray

pyfftw: Any
try:
    pyfftw = compiled_module("pyfftw.pyfftw")
except (ImportError, OSError):  # not installed, or what it is linked with is not
    pyfftw = None

_BLOCK_SAMPLES = 16_384  # what goes in and what comes out both stay in a core's own cache
_SPLIT_SAMPLES = 4 * _BLOCK_SAMPLES  # from here on a row is transformed as a table
_STRIP = 8  # longer than this times its square root a side gains nothing
_PLANS = 8  # lengths of which a thread keeps a plan


class _Plan(Protocol):
    """Transforms blocks of one shape; its arrays are written to: for one thread at a time."""

    input: FloatArray
    """(R, n), a block to be transformed."""

    def write(self, block: FloatArray, out: FloatArray) -> None:
        """Magnitudes of the first rows of a block, which may be ``input``, as many as ``out``."""


class _ScipyPlan:
    def __init__(self, rows: int, n: int) -> None:
        self.input: FloatArray = np.zeros((rows, n), np.float32)
        self._output = np.zeros((rows, n // 2 + 1), np.complex64)

    def write(self, block: FloatArray, out: FloatArray) -> None:
        spectra = rfft(block, self._output)
        np.abs(spectra[: len(out), : out.shape[-1]], out=out)


class _SplitPlan:
    """One long row as a table of ``height`` times ``width``: columns first, then what they gave.

    Many short transforms side by side stay in the core's cache and use its vector units, which one
    long transform does not: half the time for 160 000 samples. With sample ``width * j +
    i`` in row j and column i, bin ``k + height * l`` is the transform along i, at l, of the
    transform of column i along j, at k, turned by ``exp(-2 pi i k / n)``. The transform of a
    column of real samples gives the first half of k; a bin of the other half has the magnitude of
    the one that mirrors it, n less its number.

    Args:
        height, width: Of the table; the width is even.

    Source: Bailey, "FFTs in external or hierarchical memory" (1990), the four-step method.
    """

    def __init__(self, height: int, width: int) -> None:
        n, half = height * width, height // 2 + 1
        self.input: FloatArray = np.zeros((1, n), np.float32)
        self._height, self._width = height, width
        angles = np.outer(np.arange(width), np.arange(half)) * (-2.0 * np.pi / n)
        self._turns = np.exp(1j * angles).astype(np.complex64)
        self._columns = np.zeros((width, half), np.complex64)
        self._output = np.zeros(n // 2 + 1, np.float32)

    def write(self, block: FloatArray, out: FloatArray) -> None:
        columns = rfft(block.reshape(self._height, self._width).T, self._columns)  # (W, H/2 + 1)
        np.multiply(columns, self._turns, out=columns)
        bins = fft_of_columns(columns, columns)  # (W, H/2 + 1): bin k + H l at [l, k]
        middle, half = self._width // 2, bins.shape[-1]
        table = self._output[:-1].reshape(middle, self._height)
        np.abs(bins[:middle], out=table[:, :half])
        mirrored = bins[middle:][::-1, self._height - half : 0 : -1]
        np.abs(mirrored, out=table[:, half:])
        self._output[-1] = abs(bins[middle, 0])
        out[0] = self._output[: out.shape[-1]]


def _scipy_plan(rows: int, n: int) -> _Plan:
    """The plan that is fastest for rows of n samples."""
    sizes = table_of(n) if n >= _SPLIT_SAMPLES else None
    return _ScipyPlan(rows, n) if sizes is None else _SplitPlan(*sizes)


def table_of(n: int) -> tuple[int, int] | None:
    """Height and width, which is even, of the squarest table of n; None if all are long strips.

    >>> table_of(160_000), table_of(96_000), table_of(2 * 80_021)
    ((400, 400), (300, 320), None)
    """
    root = math.isqrt(n)
    for height in range(root, max(1, root // _STRIP), -1):
        if n % (2 * height) == 0:
            return height, n // height
    return None


class _FftwPlan:
    """An estimated plan: as fast as a measured one here, made in milliseconds, always the same."""

    def __init__(self, rows: int, n: int) -> None:
        self.input: FloatArray = pyfftw.zeros_aligned((rows, n), "float32")
        self._output: NDArray[np.complex64] = pyfftw.zeros_aligned((rows, n // 2 + 1), "complex64")
        self._plan: Any = pyfftw.FFTW(  # one at a time: pyfftw holds a lock over FFTW's planner
            self.input, self._output, axes=(-1,), flags=("FFTW_ESTIMATE",), threads=1
        )

    def write(self, block: FloatArray, out: FloatArray) -> None:
        if block is not self.input:  # of whatever alignment
            self.input[:] = block
        self._plan.execute()
        np.abs(self._output[: len(out), : out.shape[-1]], out=out)


BACKENDS: dict[str, Callable[[int, int], _Plan]] = {
    **({} if pyfftw is None else {"fftw": _FftwPlan}),
    "scipy": _scipy_plan,
}
"""What is installed, the fastest first."""


class _Plans(threading.local):
    """The plans of a thread, by the length of a row."""

    def __init__(self, backend: Callable[[int, int], _Plan]) -> None:
        self.of = lru_cache(_PLANS)(lambda n: backend(max(1, _BLOCK_SAMPLES // n), n))


_plans = {name: _Plans(backend) for name, backend in BACKENDS.items()}
_chosen = next(iter(BACKENDS))


def fft_backend() -> str:
    """Which library transforms: ``fftw`` or ``scipy``."""
    return _chosen


def use_fft_backend(name: str) -> None:
    """Transform with this one of `BACKENDS` from now on; for whoever compares them."""
    global _chosen  # noqa: PLW0603 - one library serves the whole process
    _chosen = name


def magnitudes(rows: FloatArray, out: FloatArray, taper: FloatArray | None = None) -> None:
    """Magnitudes of the Fourier transforms of rows.

    Args:
        rows: (N, n) float32, in any layout.
        out: (N, b) float32 that receives bins 0 to b - 1, b <= n/2 + 1; not scaled.
        taper: (n,) float32, multiplied with every row first.

    Cost: 0.3 ms (FFTW) or 0.4 ms (SciPy) for a row of 160 000 samples on one x86-64 core.
    """
    plan = _plans[_chosen].of(rows.shape[-1])
    size = len(plan.input)
    for begin in range(0, len(rows), size):
        block = rows[begin : begin + size]
        count = len(block)
        if taper is not None:
            np.multiply(block, taper, out=plan.input[:count])
            block = plan.input
        elif count < size or block.dtype != np.float32:
            plan.input[:count] = block
            block = plan.input
        # Also of rows left from before: a block is always whole.
        plan.write(block, out[begin : begin + count])
