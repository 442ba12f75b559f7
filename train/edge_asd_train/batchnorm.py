"""Statistics of batch normalisation, taken anew when training has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor, nn

from edge_asd_train.augment import Draws
from edge_asd_train.learner import Learner


class StepSource(Protocol):
    """What a step is computed from; ``Batches`` and ``Prefetch`` are."""

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Waveforms (b, L) and one-hot labels (b, N)."""

    def draws(self, step: int) -> Draws:
        """Random numbers for the augmentations."""


@contextmanager
def _cumulative(network: nn.Module) -> Iterator[None]:
    """Let every normalisation layer average all batches evenly, from none."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a cumulative average
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def reestimate_batch_norm(
    learner: Learner,
    batches: StepSource,
    *,
    first: int,
    count: int,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Average the statistics of all normalisation layers over training batches.

    The running averages kept while training lag behind the weights and, after few steps, still
    hold their initial values (a third of them after 100 steps), so an exported network would not
    do what the trained one did. The batches are augmented as in training, because that is what
    the weights were fitted to.

    Args:
        learner: Left in inference mode.
        batches: Where training batches come from.
        first: Step number of the first batch; steps not used in training give fresh windows.
        count: How many batches to average over.
        advance: Called after every batch.
    """
    learner.train()
    with _cumulative(learner.network):
        for step in range(first, first + count):
            learner.observe(*batches.at(step), batches.draws(step))
            advance()
    learner.eval()
