"""What a network costs: parameters and multiply-accumulate operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edge_asd_train.nets.bands import BandStatistics


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_macs(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulate operations of convolutions, dense layers and filters for one window.

    Args:
        network: Any network; it is run once in inference mode.
        inputs: Its inputs for a batch of one.
    """
    total = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += module.weight.numel() * (output.numel() // output.shape[-1])
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            total += module.weight.numel() * math.prod(output.shape[2:])
        elif isinstance(module, BandStatistics):
            total += module.filters.numel() * given[0].shape[1]  # of every frame

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(*inputs)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return total
