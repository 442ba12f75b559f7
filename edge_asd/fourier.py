"""SciPy's transforms, in single precision; NumPy's take up to four times as long.

What SciPy compiled is called directly where it can be found. That saves memory and the time of a
start (see `compiled`), and a third of the time of a short transform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asd.compiled import compiled_module
from edge_asd.records import FloatArray

Spectra = NDArray[np.complex64]


class Transform(Protocol):
    """Transforms along one axis; ``out`` is where the result may be put."""

    def __call__(self, values: Any, axis: int, out: Spectra | None) -> Spectra:
        """See the class."""


class Transforms(NamedTuple):
    """Of real samples and of complex values."""

    real: Transform
    complex: Transform


def _direct() -> Transforms:
    """What SciPy itself calls, up to 1.17.

    Raises:
        ImportError: This SciPy has it elsewhere.
    """
    module = compiled_module("scipy.fft._pocketfft.pypocketfft")
    try:
        return Transforms(_called(module.r2c), _called(module.c2c))
    except AttributeError as error:
        raise ImportError(str(error)) from error


def _called(compiled: Callable[..., Spectra]) -> Transform:
    def transform(values: Any, axis: int, out: Spectra | None) -> Spectra:
        return compiled(values, axes=(axis,), forward=True, inorm=0, out=out, nthreads=1)

    return transform


def _public() -> Transforms:
    import scipy.fft  # noqa: PLC0415 - 30 MB, where there is no other way

    def real(values: Any, axis: int, out: Spectra | None) -> Spectra:  # noqa: ARG001 - it has none
        return np.asarray(scipy.fft.rfft(values, axis=axis))

    def complex_(values: Any, axis: int, out: Spectra | None) -> Spectra:  # noqa: ARG001
        return np.asarray(scipy.fft.fft(values, axis=axis))

    return Transforms(real, complex_)


def _transforms() -> Transforms:
    try:
        return _direct()
    except ImportError:
        return _public()


_of = _transforms()


def rfft(samples: FloatArray, out: Spectra | None = None) -> Spectra:
    """Spectra of samples (…, n) float32, n >= 1, along the last axis: (…, n/2 + 1), not scaled.

    ``out`` of that shape may be where they are put: memory that need not be found again.
    """
    return _of.real(samples, -1, out)


def fft_of_columns(values: Spectra, out: Spectra | None = None) -> Spectra:
    """Spectra of complex values (n, m), n >= 1, along the first axis: (n, m), not scaled.

    ``out`` as in `rfft`.
    """
    return _of.complex(values, 0, out)
