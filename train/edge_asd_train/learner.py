"""One optimisation step: front end, augmentations, network, loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_asd_train.augment import Rng, colour, mixup, statex
from edge_asd_train.frontend import FrontEnd
from edge_asd_train.losses import EpisodeLoss, HeadOptions, Heads, LossTerms
from edge_asd_train.nets import build_network, network_features
from edge_asd_train.nets.layers import SqueezeExcitation
from edge_asd_train.recipe import Recipe

_SPECTROGRAM = "spectrogram"


class Learner(nn.Module):
    """Everything that is trained, and how a batch becomes a loss.

    Args:
        recipe: Network, augmentations and loss.
        classes: N.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = build_network(recipe)
        self.frontend = FrontEnd(network_features(recipe))
        # Two thirds of the time of a step on a CPU, measured in float32 with batches of 32.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.heads: Heads | None = None
        self.episodes: EpisodeLoss | None = None
        if recipe.episodes is None:
            self.heads = _heads(recipe, self.network.embedding_size, classes)
        else:
            options = recipe.episodes
            self.episodes = EpisodeLoss(
                options.machines, options.normal, options.faulty, options.softness
            )

    def losses(self, waveforms: Tensor, labels: Tensor, rng: Rng) -> LossTerms:
        """Loss terms of a batch.

        Args:
            waveforms: Shape (B, L); for episodes in the order that ``EpisodeLoss`` names.
            labels: One-hot, shape (B, N); episodes do not look at them.
            rng: Source of the augmentations' randomness.
        """
        labels, labels_statex, features = self._inputs(waveforms, labels, rng)
        first, second = self._branches(features)
        if self.episodes is not None:
            return self.episodes(torch.cat([first, second], dim=1))  # type: ignore[no-any-return]
        if self.heads is None:
            raise RuntimeError("neither heads nor episodes")
        probability = self.recipe.augment.featex
        return self.heads(  # type: ignore[no-any-return]
            first, second, labels, labels_statex, featex_probability=probability, rng=rng
        )

    @torch.no_grad()
    def observe(self, waveforms: Tensor, labels: Tensor, rng: Rng) -> None:
        """Let the normalisation layers see a batch, augmented as in training."""
        _, _, features = self._inputs(waveforms, labels, rng)
        self.network.branches(**features)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameters for Adam: kernels with L2, everything else without.

        L2 with factor l in the loss is a gradient of 2 l w, which is what ``weight_decay`` of
        torch's Adam (not AdamW) adds.
        """
        excluded = {
            id(p)
            for module in self.network.modules()
            if isinstance(module, SqueezeExcitation)
            for p in module.parameters()
        }
        kernels = [
            module.weight
            for module in self.network.modules()
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear)
            and id(module.weight) not in excluded
        ]
        chosen = {id(p) for p in kernels}
        others = [p for p in self.parameters() if id(p) not in chosen]
        return [
            {"params": kernels, "weight_decay": 2.0 * self.recipe.optimiser.l2},
            {"params": others, "weight_decay": 0.0},
        ]

    def _inputs(
        self, waveforms: Tensor, labels: Tensor, rng: Rng
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        augment = self.recipe.augment
        waveforms, labels = mixup(waveforms, labels, probability=augment.mixup, rng=rng)
        features = self.frontend(waveforms)
        features = colour(features, spread_db=augment.colour_db, rng=rng)
        features[_SPECTROGRAM], labels_statex = statex(
            features[_SPECTROGRAM],
            labels,
            probability=augment.statex,
            probability_time=augment.statex_time,
            rng=rng,
        )
        return labels, labels_statex, features

    def _branches(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        reduced = self.recipe.precision == "bfloat16"
        device = features[_SPECTROGRAM].device.type
        with torch.autocast(device, torch.bfloat16, enabled=reduced):
            first, second = self.network.branches(**features)
        return first.float(), second.float()


def _heads(recipe: Recipe, size: int, classes: int) -> Heads:
    loss, learned, augment = recipe.loss, recipe.loss.trainable, recipe.augment
    return Heads(
        size,
        classes,
        {
            "supervised": HeadOptions(loss.supervised, learned.supervised),
            "statex": HeadOptions(loss.statex, learned.statex, augment.statex_blocks),
            "featex": HeadOptions(loss.featex, learned.featex, augment.featex_blocks),
        },
        kind=loss.head,
        subclusters=loss.subclusters,
        scale=loss.scale,
    )
