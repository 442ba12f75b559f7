"""Augmentations of a batch, each returning the labels that belong to it.

All three exchange with the same partner: sample B-1-i for sample i of a batch of B (in an odd batch
the middle one pairs with itself). Draws are independent per sample. Every label sums to one.

Source: Wilkinghoff (arXiv 2312.09578); StatEx: Chen et al. (2023).
"""

from __future__ import annotations

from edge_asd_train.augment.featex import featex
from edge_asd_train.augment.mixup import mixup
from edge_asd_train.augment.statex import statex

__all__ = ["featex", "mixup", "statex"]
