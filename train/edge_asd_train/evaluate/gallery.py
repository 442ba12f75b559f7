"""Which pictures an evaluation gets, and what is shown in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_asd_train import loop
from edge_asd_train.datasets.index import ClipFile, Index
from edge_asd_train.evaluate.contest import ScoredSection
from edge_asd_train.evaluate.network import NetworkMethod, in_domain_order
from edge_asd_train.evaluate.pictures import (
    GROUPS,
    EmbeddedSection,
    embedding_map,
    roc_curves,
    score_histograms,
    training_curves,
)
from edge_asd_train.evaluate.sections import SectionScores
from edge_asd_train.evaluate.severity import FirstShot
from edge_asd_train.evaluate.severity_picture import severity_curve

_SHOWN_TRAIN = 300
"""Training clips of a section in the map of embeddings; the targets are all shown."""


def draw_scores(
    out: Path,
    title: str,
    scored: Sequence[ScoredSection],
    sections: Sequence[SectionScores],
) -> None:
    """ROC curves and histograms of sections whose truth is known; nothing where none is.

    Args:
        out: Folder.
        title: Above the pictures.
        scored: What the method said.
        sections: The same with the truth.

    Raises:
        StorageError: A picture cannot be written.
    """
    if sections:
        thresholds = {(one.machine, one.section): one.threshold for one in scored}
        limits = [thresholds[one.machine, one.section] for one in sections]
        roc_curves(out / "roc.png", sections, title)
        score_histograms(out / "scores.png", sections, limits, title)


def draw_severity(out: Path, title: str, found: FirstShot | None) -> None:
    """AUC over severity, where it was measured.

    Raises:
        StorageError: The picture cannot be written.
    """
    if found is not None:
        severity_curve(out / "severity.png", found, title)


def draw_embeddings(
    out: Path, title: str, method: NetworkMethod, index: Index, scored: Sequence[ScoredSection]
) -> None:
    """Map of the embeddings of every section.

    Raises:
        StorageError: The picture cannot be written.
    """
    sections = [_embedded(method, index, one) for one in scored]
    embedding_map(out / "embeddings.png", sections, title)


def draw_training(out: Path, run: Path) -> None:
    """Training curves of a run.

    Raises:
        DataError: The run's log cannot be read.
        StorageError: The picture cannot be written.
    """
    training_curves(out / "training.png", run / loop.LOG, f"Training of {run.resolve().name}")


def _embedded(method: NetworkMethod, index: Index, scored: ScoredSection) -> EmbeddedSection:
    train, target = in_domain_order(list(index.of(scored.machine, scored.section, "train")))
    gain_db = method.clips.gain_db(train)
    source = np.flatnonzero(~target)
    shown = source[np.linspace(0, len(source) - 1, min(len(source), _SHOWN_TRAIN)).astype(int)]
    kept = np.concatenate([shown, np.flatnonzero(target)])
    z_train = method.clip_embeddings(train, gain_db)[kept]
    groups = [*(int(target[i]) for i in kept), *(_test_group(clip) for clip in scored.clips)]
    z = np.concatenate([z_train, method.clip_embeddings(scored.clips, gain_db)])
    label = f"{scored.machine} section {scored.section}"
    return EmbeddedSection(label, z, np.asarray(groups, np.int64))


def _test_group(clip: ClipFile) -> int:
    if clip.anomalous is None:
        return len(GROUPS) - 1
    return 3 if clip.anomalous else 2
