"""Magnitudes of Fourier transforms, by the fastest library that is installed.

SciPy is always there and keeps single precision. FFTW (through pyfftw) takes a third of its time
for a whole window; it is licensed under the GPL, so that it is the operator's to install, as the
extra ``fft``, and nothing needs it. Profiles learned with one serve with the other: they differ by
the rounding of single precision.

Rows are transformed so many at a time, always the same number: what becomes of a row does not
depend on how many are asked for together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asd.compiled import compiled_module
from edge_asd.fourier import rfft
from edge_asd.records import FloatArray

pyfftw: Any
try:
    pyfftw = compiled_module("pyfftw.pyfftw")
except (ImportError, OSError):  # not installed, or what it is linked with is not
    pyfftw = None

_BLOCK_SAMPLES = 16_384  # what goes in and what comes out both stay in a core's own cache
_PLANS = 8  # lengths of which a thread keeps a plan


class _Plan(Protocol):
    """Transforms blocks of one shape; its arrays are written to: for one thread at a time."""

    input: FloatArray
    """(R, n), a block to be transformed."""

    def run(self, block: FloatArray) -> NDArray[np.complex64]:
        """Spectra (R, n/2 + 1) of a block, which may be ``input``; valid until the next run."""


class _ScipyPlan:
    def __init__(self, rows: int, n: int) -> None:
        self.input: FloatArray = np.zeros((rows, n), np.float32)
        self._output = np.zeros((rows, n // 2 + 1), np.complex64)

    def run(self, block: FloatArray) -> NDArray[np.complex64]:
        return rfft(block, self._output)


class _FftwPlan:
    """An estimated plan: as fast as a measured one here, made in milliseconds, always the same."""

    def __init__(self, rows: int, n: int) -> None:
        self.input: FloatArray = pyfftw.zeros_aligned((rows, n), "float32")
        self._output: NDArray[np.complex64] = pyfftw.zeros_aligned((rows, n // 2 + 1), "complex64")
        self._plan: Any = pyfftw.FFTW(  # one at a time: pyfftw holds a lock over FFTW's planner
            self.input, self._output, axes=(-1,), flags=("FFTW_ESTIMATE",), threads=1
        )

    def run(self, block: FloatArray) -> NDArray[np.complex64]:
        if block is not self.input:  # of whatever alignment
            self.input[:] = block
        self._plan.execute()
        return self._output


BACKENDS: dict[str, Callable[[int, int], _Plan]] = {
    **({} if pyfftw is None else {"fftw": _FftwPlan}),
    "scipy": _ScipyPlan,
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

    Cost: 0.3 ms (FFTW) or 0.8 ms (SciPy) for a row of 160 000 samples on one x86-64 core.
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
        spectra = plan.run(block)  # also of rows left from before: a block is always whole
        np.abs(spectra[:count, : out.shape[-1]], out=out[begin : begin + size])
