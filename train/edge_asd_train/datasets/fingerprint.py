"""One number for the files of a data set: whether two figures were measured on the same clips."""

from __future__ import annotations

import hashlib
import json

from edge_asd.errors import DataError
from edge_asd_train.datasets.index import Index
from edge_asd_train.datasets.store import ClipStore


def data_fingerprint(index: Index) -> str:
    """SHA-256 over names and contents of all clips, wherever the folder lies.

    Raises:
        DataError: A clip cannot be read.

    Cost: reads every file once, about a second a gigabyte.
    """
    names = {file.path.relative_to(index.root).as_posix(): file.path for file in index.files}
    total = hashlib.sha256()
    for name, path in sorted(names.items()):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        total.update(f"{content} {name}\n".encode())
    return total.hexdigest()


def clips_fingerprint(clips: ClipStore) -> str:
    """SHA-256 over class, machine, health, length and samples of a run's clips, in any order.

    Cost: reads every sample once, about a second a gigabyte.
    """
    lines = []
    for clip in range(len(clips)):
        first, n = int(clips.starts[clip]), int(clips.lengths[clip])
        content = hashlib.sha256(clips.samples[first : first + n].tobytes()).hexdigest()
        names = (clips.classes[clips.labels[clip]], clips.machine_names[clips.machines[clip]])
        lines.append(json.dumps([content, n, *names, bool(clips.faulty[clip])]))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
