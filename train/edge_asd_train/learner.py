"""One optimisation step: front end, augmentations, network, loss heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_asd_train.augment import mixup, statex
from edge_asd_train.frontend import FrontEnd
from edge_asd_train.losses import Heads, LossTerms
from edge_asd_train.losses.heads import HeadWeights
from edge_asd_train.nets import FeatEx
from edge_asd_train.nets.featex import BRANCH_SIZE
from edge_asd_train.nets.layers import SqueezeExcitation
from edge_asd_train.recipe import Recipe


class Learner(nn.Module):
    """Everything that is trained, and how a batch becomes a loss.

    Args:
        recipe: Network size, augmentations and loss heads.
        classes: N.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.frontend = FrontEnd(recipe.spectrogram)
        self.network = FeatEx(recipe.window_samples, recipe.spectrogram)
        # Two thirds of the time of a step on a CPU, measured in float32 with batches of 32.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        loss = recipe.loss
        self.heads = Heads(
            BRANCH_SIZE,
            classes,
            subclusters=loss.subclusters,
            weights=HeadWeights(loss.supervised, loss.statex, loss.featex),
            scale=loss.scale,
        )

    def losses(self, waveforms: Tensor, labels: Tensor, rng: torch.Generator) -> LossTerms:
        """Loss terms of a batch.

        Args:
            waveforms: Shape (B, L).
            labels: One-hot, shape (B, N).
            rng: Source of the augmentations' randomness.
        """
        labels, labels_statex, spectrum, spectrogram = self._inputs(waveforms, labels, rng)
        e_fft, e_spec = self._branches(spectrum, spectrogram)
        probability = self.recipe.augment.featex
        terms: LossTerms = self.heads(
            e_fft, e_spec, labels, labels_statex, featex_probability=probability, rng=rng
        )
        return terms

    @torch.no_grad()
    def observe(self, waveforms: Tensor, labels: Tensor, rng: torch.Generator) -> None:
        """Let the normalisation layers see a batch, augmented as in training."""
        _, _, spectrum, spectrogram = self._inputs(waveforms, labels, rng)
        self.network.branches(spectrum, spectrogram)

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
        self, waveforms: Tensor, labels: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        augment = self.recipe.augment
        waveforms, labels = mixup(waveforms, labels, probability=augment.mixup, rng=rng)
        spectrum, spectrogram = self.frontend(waveforms)
        spectrogram, labels_statex = statex(
            spectrogram, labels, probability=augment.statex, rng=rng
        )
        return labels, labels_statex, spectrum, spectrogram

    def _branches(self, spectrum: Tensor, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        reduced = self.recipe.precision == "bfloat16"
        with torch.autocast(spectrum.device.type, torch.bfloat16, enabled=reduced):
            e_fft, e_spec = self.network.branches(spectrum, spectrogram)
        return e_fft.float(), e_spec.float()
