"""Evidence as commands see it: read from the folders, whether a daemon runs or not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_asd.errors import DataError, StorageError
from edge_asd.evidence import folders
from edge_asd.evidence.index import Index
from edge_asd.evidence.records import Kept
from edge_asd.evidence.scan import INDEX_NAME, scan
from edge_asd.evidence.store import FOLDER


class EvidenceReader:
    """Looks, pins and unpins; changes nothing else.

    Args:
        state_dir: The state directory.
    """

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / FOLDER

    def kept(self) -> dict[str, Kept]:
        """All evidence by the id of its alert, sorted by folder.

        Raises:
            StorageError: The folder cannot be read.
        """
        try:
            found = scan(self.root).kept
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(
                f"{self.root}: cannot be read: {error.strerror}; correct the permissions"
            ) from error
        return {
            kept.record.event_id: replace(kept, pinned=folders.is_pinned(kept.folder))
            for kept in sorted(found, key=lambda kept: kept.folder)
        }

    def why_absent(self, event_id: str) -> str:
        """Why an alert has no evidence; empty where nobody wrote it down."""
        if not (self.root / INDEX_NAME).exists():
            return ""
        try:
            index = Index(self.root, read_only=True)
        except StorageError:
            return ""
        try:
            absence = index.absence(event_id)
        except StorageError:
            return ""
        finally:
            index.close()
        return "" if absence is None else absence.text

    def pin(self, kept: Kept) -> bool:
        """Keep evidence from being deleted, whatever its age and the quota.

        Returns:
            False if it has just been deleted.

        Raises:
            StorageError: It cannot be written there.
        """
        try:
            return folders.pin(kept.folder)
        except OSError as error:
            raise _not_written(kept, error) from error

    def unpin(self, kept: Kept) -> None:
        """Leave evidence to retention again.

        Raises:
            StorageError: It cannot be written there.
        """
        try:
            folders.unpin(kept.folder)
        except OSError as error:
            raise _not_written(kept, error) from error


def read_json(kept: Kept, name: str) -> dict[str, Any] | None:
    """One of the files, parsed; None where there is none or it says nothing.

    Raises:
        DataError: It cannot be read.
    """
    try:
        value = json.loads(kept.path(name).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{kept.path(name)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _not_written(kept: Kept, error: OSError) -> StorageError:
    return StorageError(
        f"{kept.folder}: cannot be written: {error.strerror}; run it as the user that owns it, or "
        "as root"
    )
