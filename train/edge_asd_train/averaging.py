"""A moving average of weights, which generalises better than the last ones of a noisy run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a network's parameters.

    Args:
        network: Its parameters are followed.
        decay: Share of the average that stays at each step, 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._averages = {n: p.detach().clone() for n, p in network.named_parameters()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights after ``step`` steps, counted from 1.

        The first steps are averaged evenly, so that the initial weights do not linger.
        """
        weight = max(1.0 - self._decay, 1.0 / step)
        for name, parameter in self._network.named_parameters():
            self._averages[name].lerp_(parameter, weight)

    @torch.no_grad()
    def apply(self) -> None:
        """Give the network the averaged weights."""
        for name, parameter in self._network.named_parameters():
            parameter.copy_(self._averages[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averages, by name of the parameter."""
        return self._averages

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from averages that ``state_dict`` gave."""
        for name, average in self._averages.items():
            average.copy_(state[name])
