"""Which features a network reads and with which parameters; stored in the bundle's manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class MagnitudeSpectrum(_Spec):
    """Magnitude of the whole window's Fourier transform, Nyquist bin dropped: (L/2, 1)."""

    kind: Literal["magnitude_spectrum"] = "magnitude_spectrum"


class StftMagnitude(_Spec):
    """Short-time magnitude spectrum: (T, n_fft/2 + 1, 1)."""

    kind: Literal["stft_magnitude"] = "stft_magnitude"
    n_fft: int = Field(default=1024, ge=16, le=65536)
    hop_length: int = Field(default=512, ge=1, le=65536)


class LogMelStatistics(_Spec):
    """Mean and standard deviation over time of the log-mel spectrogram: (2 n_mels,)."""

    kind: Literal["log_mel_statistics"] = "log_mel_statistics"
    n_fft: int = Field(default=1024, ge=16, le=65536)
    hop_length: int = Field(default=512, ge=1, le=65536)
    n_mels: int = Field(default=128, ge=4, le=512)
    f_min: float = Field(default=0.0, ge=0.0)
    f_max: float = Field(default=8000.0, gt=0.0)

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> LogMelStatistics:
        if self.f_min >= self.f_max:
            raise ValueError(f"f_min={self.f_min:g} is not below f_max={self.f_max:g}")
        return self


FeatureSpec = Annotated[
    MagnitudeSpectrum | StftMagnitude | LogMelStatistics, Field(discriminator="kind")
]
