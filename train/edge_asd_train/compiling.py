"""torch's compiler, asked whether it works before a run depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edge_asd.errors import ConfigError
from edge_asd_train.nets import Network


@contextmanager
def compiled(network: Network, device: torch.device) -> Iterator[None]:
    """Compute a network's branches by compiled code for a while.

    Not for the final statistics: a layer that averages all batches evenly looks at its counter in
    every one, and each would be compiled anew.

    Args:
        network: Compiled when its first batch comes, which takes minutes.
        device: Where it is computed.

    Raises:
        ConfigError: torch finds no compiler that works.
    """
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except RuntimeError as error:
        why = next((line for line in str(error).splitlines() if line.strip()), "unknown")
        raise ConfigError(
            f"recipe: compile: torch cannot compile here ({why}); install a C++ compiler or"
            " choose compile: false"
        ) from error
    plain = network.branches
    network.branches = torch.compile(plain)  # type: ignore[method-assign]
    try:
        yield
    finally:
        network.branches = plain  # type: ignore[method-assign]
