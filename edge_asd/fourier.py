"""SciPy's transform of real samples, in single precision; NumPy's takes up to four times as long.

What SciPy compiled is called directly where it can be found. That saves memory and the time of a
start (see `compiled`), and a third of the time of a short transform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asd.compiled import compiled_module
from edge_asd.records import FloatArray

Spectra = NDArray[np.complex64]


class Transform(Protocol):
    """Spectra of samples; ``out`` is where they may be put."""

    def __call__(self, samples: FloatArray, out: Spectra | None = None) -> Spectra:
        """See the class."""


def _direct() -> Transform:
    """What SciPy itself calls, up to 1.17.

    Raises:
        ImportError: This SciPy has it elsewhere.
    """
    found = getattr(compiled_module("scipy.fft._pocketfft.pypocketfft"), "r2c", None)
    if found is None:
        raise ImportError("no r2c in pypocketfft")
    r2c: Callable[..., Spectra] = found

    def direct(samples: FloatArray, out: Spectra | None = None) -> Spectra:
        return r2c(samples, axes=(-1,), forward=True, inorm=0, out=out, nthreads=1)

    return direct


def _public() -> Transform:
    import scipy.fft  # noqa: PLC0415 - 30 MB, where there is no other way

    return lambda samples, out=None: np.asarray(scipy.fft.rfft(samples, axis=-1))  # noqa: ARG005


def _transform() -> Transform:
    try:
        return _direct()
    except ImportError:
        return _public()


_rfft = _transform()


def rfft(samples: FloatArray, out: Spectra | None = None) -> Spectra:
    """Spectra of samples (…, n) float32, n >= 1, along the last axis: (…, n/2 + 1), not scaled.

    ``out`` of that shape may be where they are put: memory that need not be found again.
    """
    return _rfft(samples, out)
