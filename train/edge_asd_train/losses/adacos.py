"""Sub-cluster AdaCos: angular softmax over several centres a class, with soft labels."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_asd_train.losses.angular import AngularHead, ScaleMode, angles_of, soft_cross_entropy


class SubclusterAdaCos(AngularHead):
    """Loss head with S centres for each of C classes.

    Args:
        size: D, size of the embeddings.
        classes: C.
        subclusters: S, centres a class.
        trainable: Whether the centres are learned or stay where they were drawn.
        scale: How the scale s moves: ``fixed`` keeps sqrt(2) ln(C S - 1); ``adacos_excl`` adapts
            it without counting a sample's own classes; ``published`` adapts it as the published
            code does, which grows without bound once samples are well classified, so it is
            limited to 64.

    Source: Wilkinghoff, "Sub-cluster AdaCos" (2021), and AdaCos, Zhang et al. (2019). Differs: the
    logarithm of the class probability is computed stably instead of clipping at 1e-7.
    Cost: O(B C S D); two passes over the (C S, D) centres and a few (B, C S) temporaries.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        subclusters: int = 16,
        *,
        trainable: bool = True,
        scale: ScaleMode = "fixed",
    ) -> None:
        logits = classes * subclusters
        super().__init__(
            size, classes, subclusters, trainable=trainable, scale=scale, logits=logits
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch; in training an adaptive scale moves first.

        Args:
            z: Embeddings, shape (B, D), any length.
            labels: Shape (B, C), rows sum to one.

        Returns:
            Scalar cross-entropy.
        """
        cosine = self.directions(z)  # (B, C, S)
        if self.scale_moves:
            self._adapt(cosine.detach(), labels)
        by_class = (self.scale * cosine).logsumexp(2)  # (B, C)
        return soft_cross_entropy(by_class, labels)

    @torch.no_grad()
    def _adapt(self, cosine: Tensor, labels: Tensor) -> None:
        logits, angles, own = self.scale * cosine, angles_of(cosine), labels > 0
        if self.mode == "published":
            angle = own.sum(1) * (labels * angles.sum(2)).sum(1)
        else:
            logits.masked_fill_(own[:, :, None], -torch.inf)
            angle = (labels * angles.amin(2)).sum(1)
        self.move_scale(logits, angle)
