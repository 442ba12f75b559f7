"""The classes that training tells apart."""

from __future__ import annotations

from collections.abc import Iterable

from edge_asd_train.datasets.index import ClipFile


def class_label(file: ClipFile) -> str:
    """Class of a clip: machine, section, attributes and domain, as far as they are told.

    ``ToyCar/00/car=A1,spd=28V/source``; ``pump/00`` where nothing else is known.

    Source: Wilkinghoff, arXiv 2312.09578: one class for every combination of machine type,
    section, attributes and domain.
    """
    attributes = ",".join(f"{name}={value}" if value else name for name, value in file.attributes)
    return "/".join(filter(None, (file.machine, file.section, attributes, file.domain)))


def training_classes(files: Iterable[ClipFile]) -> tuple[str, ...]:
    """Classes of the training clips in order; names of test clips do not count."""
    return tuple(sorted({class_label(file) for file in files if file.split == "train"}))
