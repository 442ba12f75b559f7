"""From a recipe to the network it asks for."""

from __future__ import annotations

from typing import TypeAlias

from edge_asd.errors import ConfigError
from edge_asd.features import FeatureSpec, MagnitudeSpectrum
from edge_asd_train.nets.bands import Bands
from edge_asd_train.nets.featex import FeatEx
from edge_asd_train.recipe import Recipe
from edge_asd_train.recipe_parts import BandsNetwork

Network: TypeAlias = FeatEx | Bands
"""What they have in common: ``embedding_size``; ``branches``, both halves of the embedding, of
which the second may be empty; arguments of ``forward`` with the names in ``network_features``."""


def network_features(recipe: Recipe) -> dict[str, FeatureSpec]:
    """The feature of every input of a recipe's network, by name."""
    if isinstance(recipe.network, BandsNetwork):
        return {"spectrogram": recipe.spectrogram}
    return {"spectrum": MagnitudeSpectrum(), "spectrogram": recipe.spectrogram}


def build_network(recipe: Recipe) -> Network:
    """A network with new weights.

    Raises:
        ConfigError: The window does not fit the network.
    """
    options = recipe.network
    if isinstance(options, BandsNetwork):
        least = recipe.spectrogram.n_fft + recipe.spectrogram.hop_length
        if recipe.window_samples < least:
            raise ConfigError(
                f"window_s: {recipe.window_s:g} s leave no two frames, whose difference network"
                f" bands takes; choose at least {least / recipe.sample_rate:g}"
            )
        return Bands(
            recipe.spectrogram,
            bands=options.bands,
            channels=options.channels,
            kernel=options.kernel,
            sample_rate=recipe.sample_rate,
        )
    return FeatEx(recipe.window_samples, recipe.spectrogram, logarithmic=options.magnitude == "log")
