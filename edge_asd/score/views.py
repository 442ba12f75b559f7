"""What the scorers read of a set of windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Embeddings, features and levels of B windows."""

    embeddings: Mapping[str, FloatArray]
    """(B, S, D) by network id."""
    features: Mapping[str, FloatArray]
    """(B, …) by the id of the scorer that reads it."""
    levels_dbfs: FloatArray
    """(B,) after the monitor's gain."""

    def __len__(self) -> int:
        return len(self.levels_dbfs)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Views:
        """The windows at ``index``."""
        return Views(
            {name: z[index] for name, z in self.embeddings.items()},
            {name: x[index] for name, x in self.features.items()},
            self.levels_dbfs[index],
        )


def concatenate(parts: Sequence[Views]) -> Views:
    """Join views of successive windows; ``parts`` must not be empty."""
    first = parts[0]
    return Views(
        {
            name: np.concatenate([part.embeddings[name] for part in parts])
            for name in first.embeddings
        },
        {name: np.concatenate([part.features[name] for part in parts]) for name in first.features},
        np.concatenate([part.levels_dbfs for part in parts]),
    )
