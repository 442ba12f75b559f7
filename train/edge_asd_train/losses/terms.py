"""The loss terms of a step, and the stop when a number is no longer finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_asd.errors import EdgeAsdError

_REMEDY = "lower learning_rate, choose scale: fixed or precision: float32"


class DivergedError(EdgeAsdError):
    """A number of the training is not finite.

    Args:
        step: Steps done before the one that failed.
        term: Loss term, or parameter whose gradient it was.
        value: What it was.
    """

    def __init__(self, step: int, term: str, value: float) -> None:
        super().__init__(f"training diverged at step {step}: {term} is {value}; {_REMEDY}")
        self.step = step
        self.term = term


@dataclass(frozen=True, slots=True, eq=False)
class LossTerms:
    """Weighted terms of one step."""

    terms: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return torch.stack(list(self.terms.values())).sum()

    def values(self, step: int) -> dict[str, float]:
        """The terms as numbers, fetched from the device at once.

        Raises:
            DivergedError: One of them is not finite.
        """
        numbers = torch.stack(list(self.terms.values())).tolist()
        values: dict[str, float] = dict(zip(self.terms, numbers, strict=True))
        for name, value in values.items():
            if not math.isfinite(value):
                raise DivergedError(step, f"loss term {name}", value)
        return values


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Euclidean norm of all gradients together, a scalar that is not finite if one of them is not.

    Cost: one pass over the gradients.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    return nn.utils.get_total_norm(gradients)


def check_gradients(module: nn.Module, step: int) -> float:
    """Norm of all gradients of a module, between the backward pass and the optimiser's step.

    Args:
        module: What is trained.
        step: Steps done.

    Raises:
        DivergedError: A gradient is not finite; the parameters are still as they were.
    """
    norm = float(gradient_norm(module.parameters()))
    if not math.isfinite(norm):
        for name, parameter in module.named_parameters():
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                raise DivergedError(step, f"gradient of {name}", float(parameter.grad.norm()))
        raise DivergedError(step, "norm of all gradients", norm)
    return norm
