"""Augmentations of a batch, each returning the labels that belong to it.

All exchange with the same partner: sample B-1-i for sample i of a batch of B (in an odd batch the
middle one pairs with itself). Draws are independent per sample. Every label sums to one. At
probability zero an augmentation returns what it was given: no label blocks that nothing can reach.

Source: Wilkinghoff (arXiv 2312.09578); StatEx: Chen et al. (2023).
"""

from __future__ import annotations

from edge_asd_train.augment.colour import colour
from edge_asd_train.augment.draws import Draws, Rng, label_blocks
from edge_asd_train.augment.featex import featex
from edge_asd_train.augment.mixup import mixup
from edge_asd_train.augment.statex import statex

__all__ = ["Draws", "Rng", "colour", "featex", "label_blocks", "mixup", "statex"]
