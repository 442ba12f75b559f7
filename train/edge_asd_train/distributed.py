"""Several processes that train one network together, each on its part of every batch.

Started by ``torchrun``; without it there is one process, for which all of this does nothing. What
comes out is what one process on the whole batch would compute, but for rounding: every pair of
partners stays together, random numbers belong to rows and not to processes, normalisation uses the
statistics of the whole batch, an adaptive scale of the loss follows all its samples, and gradients
are averaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from edge_asd.errors import ConfigError, EngineError, UsageError
from edge_asd_train.device import choose_device
from edge_asd_train.recipe import Recipe

_PATIENCE = timedelta(hours=6)
"""How long processes wait for each other: the first one decodes all clips meanwhile."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run and this one's place among them."""

    device: torch.device
    """Where this process computes."""
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress; exactly one does."""
        return self.rank == 0

    def rows(self, batch: int) -> NDArray[np.int64]:
        """Rows of a whole batch that this process takes, each with its partner.

        Rows i and B-1-i are partners. A process takes a run of rows from the first half and their
        partners from the second, in order, so that reversing its rows exchanges partners too.
        """
        if self.size == 1:
            return np.arange(batch)
        own = batch // (2 * self.size)
        first = np.arange(self.rank * own, (self.rank + 1) * own)
        return np.concatenate([first, batch - 1 - first[::-1]])

    def check(self, recipe: Recipe) -> None:
        """Refuse what several processes cannot share.

        Raises:
            ConfigError: Named with the key of the recipe.
        """
        if self.size == 1:
            return
        if recipe.episodes is not None:
            raise ConfigError(
                f"recipe {recipe.name}: episodes compare whole machines and train in one process;"
                " start without torchrun"
            )
        if recipe.batch % (2 * self.size):
            raise ConfigError(
                f"recipe {recipe.name}: batch: {recipe.batch} cannot be shared by {self.size}"
                f" processes in pairs; choose a multiple of {2 * self.size}"
            )
        if recipe.compile:
            raise ConfigError(
                f"recipe {recipe.name}: compile: not with several processes, which exchange"
                " statistics inside the network; choose compile: false"
            )

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all processes."""
        if self.size == 1:
            return values
        values = values / self.size
        distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the value itself, not an option
        """Whether the flag is set in some process."""
        return flag if self.size == 1 else bool(self.mean(self._number(float(flag))).item() > 0)

    def agreed(self, value: float) -> float:
        """The first process' value in all of them."""
        if self.size == 1:
            return value
        number = self._number(value)
        distributed.broadcast(number, src=0)
        return float(number.item())

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over all processes."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        joint = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = torch.split(joint, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.size > 1:
            self.any(flag=False)

    def _number(self, value: float) -> Tensor:
        return torch.tensor(value, device=self.device)


@contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """The world that ``torchrun`` has started this process in; alone without it.

    Args:
        device: As for ``choose_device``; ``cuda`` processes talk over NCCL, others over gloo.

    Raises:
        UsageError: There is no such device, or not one for every process.
        EngineError: The processes do not find each other.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(choose_device(device))
        return
    chosen = choose_device(device, local_rank=int(os.environ["LOCAL_RANK"]))
    if chosen.type == "mps":
        raise UsageError("--device mps: several processes cannot share it; choose cpu")
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    try:
        distributed.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"torchrun: the processes do not find each other: {error}") from error
    try:
        yield World(chosen, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
