"""What every system has to beat: log-mel nearest neighbour and the DCASE autoencoder."""

from __future__ import annotations

from edge_asd_train.evaluate.baselines.autoencoder import (
    AutoencoderMethod,
    autoencoder_methods,
)
from edge_asd_train.evaluate.baselines.log_mel import LogMelMethod
from edge_asd_train.evaluate.baselines.reconstruction import AutoencoderOptions

__all__ = ["AutoencoderMethod", "AutoencoderOptions", "LogMelMethod", "autoencoder_methods"]
