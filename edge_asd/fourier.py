"""SciPy's transform of real samples, in single precision; NumPy's takes up to four times as long.

What SciPy compiled is called directly where it can be found. That saves memory and the time of a
start (see `compiled`), and a third of the time of a short transform.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_asd.compiled import compiled_module
from edge_asd.records import FloatArray

Transform = Callable[[FloatArray], NDArray[np.complex64]]


def _direct() -> Transform:
    """What SciPy itself calls, up to 1.17.

    Raises:
        ImportError: This SciPy has it elsewhere.
    """
    found = getattr(compiled_module("scipy.fft._pocketfft.pypocketfft"), "r2c", None)
    if found is None:
        raise ImportError("no r2c in pypocketfft")
    r2c: Callable[..., NDArray[np.complex64]] = found
    return lambda samples: r2c(samples, axes=(-1,), forward=True, inorm=0, nthreads=1)


def _public() -> Transform:
    import scipy.fft  # noqa: PLC0415 - 30 MB, where there is no other way

    return lambda samples: np.asarray(scipy.fft.rfft(samples, axis=-1))


def _transform() -> Transform:
    try:
        return _direct()
    except ImportError:
        return _public()


_rfft = _transform()


def rfft(samples: FloatArray) -> NDArray[np.complex64]:
    """Spectra of samples (…, n) float32, n >= 1, along the last axis: (…, n/2 + 1), not scaled."""
    return _rfft(samples)
