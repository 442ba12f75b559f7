"""What the metrics are computed from: the scored test clips of one section of one machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import DataError
from edge_asd_train.datasets.index import Domain

DOMAINS: tuple[Domain, Domain] = ("source", "target")
"""A domain's number in the official files is its place here."""


@dataclass(frozen=True, slots=True, eq=False)
class SectionScores:
    """Scores and truth of the N test clips of a section; the order of the clips is free.

    Raises:
        DataError: The lengths differ, a name occurs twice, a score is not finite, or a domain is
            neither 0 nor 1.
    """

    machine: str
    section: str
    """Two digits; the machine identifier in 2020."""
    names: tuple[str, ...]
    """File names, (N,), each once."""
    scores: NDArray[np.float64]
    """(N,), finite; higher is more anomalous."""
    anomalous: NDArray[np.bool_]
    """(N,)."""
    domains: NDArray[np.int8]
    """(N,), 0 source and 1 target; all 0 where there are no domains."""
    decisions: NDArray[np.bool_] | None = None
    """(N,), ``True`` for a clip called anomalous; ``None`` where nothing was decided."""

    def __post_init__(self) -> None:
        self._keep("scores", self.scores, np.float64)
        self._keep("anomalous", self.anomalous, np.bool_)
        self._keep("domains", self.domains, np.int8)
        if self.decisions is not None:
            self._keep("decisions", self.decisions, np.bool_)
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"{self.label}: clip {twice} is listed twice; list every clip once")
        if not np.isfinite(self.scores).all():
            first = self.names[int(np.argmin(np.isfinite(self.scores)))]
            raise DataError(f"{self.label}: the score of clip {first} is not a finite number")
        if not np.isin(self.domains, (0, 1)).all():
            raise DataError(f"{self.label}: a domain is neither 0 (source) nor 1 (target)")

    @property
    def label(self) -> str:
        """Machine and section, for messages."""
        return f"{self.machine} section {self.section}"

    def of_domain(self, domain: Domain | None) -> NDArray[np.bool_]:
        """Which clips belong to a domain, (N,); ``None`` stands for every domain."""
        if domain is None:
            return np.ones(len(self.names), np.bool_)
        return np.asarray(self.domains == DOMAINS.index(domain), np.bool_)

    def _keep(self, field: str, values: object, kind: type[np.generic]) -> None:
        """Store a private read-only copy: a caller's later change must not alter a result."""
        array = np.array(values, dtype=kind)
        if array.shape != (len(self.names),):
            raise DataError(
                f"{self.label}: {field} has shape {array.shape} for {len(self.names)} clips"
            )
        array.setflags(write=False)
        object.__setattr__(self, field, array)
