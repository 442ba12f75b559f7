"""The device's own task as a loss: normal sound of a machine, then clips to tell faults from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd_train.losses.terms import LossTerms

_LEAST = 1e-6  # squared distance; keeps the gradient of the root finite at a distance of zero


class EpisodeLoss(nn.Module):
    """Every clip is scored against the other normal clips of its machine, as a device would.

    The score is the distance to the nearest of them (softly, so that all learn), and a logistic
    regression on it, whose slope and threshold are learned along and shared by all machines, tells
    normal from faulty. Machines are only ever compared with themselves: what tells one machine from
    another, which classes would teach, says nothing of its faults.

    Args:
        machines: Machines in a batch.
        normal: Normal clips of each, at least 2.
        faulty: Faulty clips of each.
        softness: Distance of unit vectors over which neighbours count alike.

    Source: own; the nearest relative is Snell et al., "Prototypical networks" (2017).
    """

    def __init__(self, machines: int, normal: int, faulty: int, softness: float = 0.03) -> None:
        super().__init__()
        self.machines = machines
        self.normal = normal
        self.faulty = faulty
        self.softness = softness
        self.slope = nn.Parameter(torch.tensor(1.5))
        self.threshold = nn.Parameter(torch.tensor(0.8))

    def forward(self, z: Tensor) -> LossTerms:
        """Mean logistic loss.

        Args:
            z: Embeddings of the machines in turn, of each first its normal clips, then its faulty
                ones: shape (machines * (normal + faulty), D); only their directions count.
        """
        of_machine = functional.normalize(z).view(self.machines, self.normal + self.faulty, -1)
        scores = self._scores(of_machine)  # (machines, clips)
        wrong = torch.zeros_like(scores)
        wrong[:, self.normal :] = 1.0
        # Ten times: it has further to go than the slope, at the same learning rate.
        logits = self.slope * (scores - 10.0 * self.threshold)
        return LossTerms({"episodes": functional.binary_cross_entropy_with_logits(logits, wrong)})

    def _scores(self, unit: Tensor) -> Tensor:
        """Distance to the nearest other normal clip in units of the softness.

        (machines, clips, D) -> (machines, clips)
        """
        normal = unit[:, : self.normal]
        # |u - v| of unit vectors; the cosine distance is half its square.
        squared = 2.0 * (1.0 - unit @ normal.transpose(1, 2))  # (machines, clips, normal)
        distances = (squared.clamp_min(0.0) + _LEAST).sqrt() / self.softness
        own = torch.eye(unit.shape[1], self.normal, dtype=torch.bool, device=unit.device)
        return -(-distances).masked_fill(own, -torch.inf).logsumexp(2)
