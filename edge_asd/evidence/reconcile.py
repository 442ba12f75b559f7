"""Making the index agree with the folders after whatever happened in between."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from edge_asd.evidence import folders
from edge_asd.evidence.index import Entry, Index, Stage
from edge_asd.evidence.scan import Scan, scan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What lies there and is no evidence."""

    drafts: tuple[Path, ...] = ()
    """Drafts that cannot be removed, relative to the root."""
    bytes: int = 0
    """Space they take, which counts towards the quota."""
    foreign: int = 0
    """Files and folders that edge-asd did not make."""

    def joined(self, draft: Path) -> Leftovers:
        """With one more draft."""
        return replace(self, drafts=(*self.drafts, draft))

    def retried(self, root: Path) -> Leftovers:
        """After another attempt at removing the drafts."""
        drafts, size = _remove_drafts(root, self.drafts)
        return Leftovers(drafts, size, self.foreign)


def reconcile(root: Path, index: Index, writing: Collection[str]) -> Leftovers:
    """Remove what a crash left, adopt what the index does not know, forget what is gone.

    Args:
        root: The folder of all evidence.
        index: Its index.
        writing: Ids of evidence that is being written at this moment.

    Raises:
        OSError: The root cannot be read.
        StorageError: The index cannot be written.
    """
    found = scan(root)
    _say(root, found)
    ours = [draft for draft in found.drafts if draft.name[-36:] not in writing]
    drafts, size = _remove_drafts(root, ours)
    for folder in found.empty:
        with contextlib.suppress(OSError):
            os.rmdir(root / folder)  # noqa: PTH106
    stuck = {folder for folder in found.deleting if not _deleted(root, folder)}
    there = {kept.record.event_id for kept in found.kept}
    known = index.entries()
    forget = [
        entry.kept.record.event_id
        for entry in known
        if entry.kept.record.event_id not in there | set(writing)
        and entry.folder not in stuck
        and not _hidden(entry.folder, found)
    ]
    entries = [Entry(Stage.KEPT, kept.folder.relative_to(root), kept) for kept in found.kept]
    index.replace(entries, forget)
    adopted = len(there - {entry.kept.record.event_id for entry in known})
    if adopted or forget or drafts or found.deleting:
        logger.info(
            "evidence reconciled adopted=%d forgotten=%d drafts_left=%d deletions_left=%d",
            adopted,
            len(forget),
            len(drafts),
            len(stuck),
        )
    return Leftovers(drafts, size, len(found.foreign))


def _remove_drafts(root: Path, drafts: Collection[Path]) -> tuple[tuple[Path, ...], int]:
    """Those that cannot be removed, and the space they take."""
    for draft in drafts:
        with contextlib.suppress(OSError):
            folders.discard(root / draft)
    left = tuple(draft for draft in drafts if os.path.lexists(root / draft))
    return left, sum(_size(root / draft) for draft in left)


def _size(draft: Path) -> int:
    with contextlib.suppress(OSError):
        return folders.disk_bytes(os.lstat(draft / n).st_size for n in os.listdir(draft))  # noqa: PTH208
    return 0


def _deleted(root: Path, folder: Path) -> bool:
    try:
        return folders.delete(root, folder)
    except OSError as error:
        logger.warning("deletion not finished folder=%s error=%s", folder, error.strerror)
        return False


def _hidden(folder: Path, found: Scan) -> bool:
    """Whether it lies where nobody could look."""
    return any(folder == path or path in folder.parents for path in found.unreadable)


def _say(root: Path, found: Scan) -> None:
    """Foreign names may hold anything, a line break or half a character: %a shows it in ASCII."""
    for what, paths in (("foreign", found.foreign), ("unreadable", found.unreadable)):
        if paths:
            logger.warning(
                "%s files among the evidence are left alone folder=%s number=%d first=%a",
                what,
                root,
                len(paths),
                str(paths[0]),
            )
