"""What decoding a clip tells about it, kept so that it is decoded for that only once."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.files import replace_file
from edge_asd.records import FloatArray

_logger = logging.getLogger(__name__)

_FULL_SCALE = 32767 / 32768
"""Largest value that 16-bit files have in both directions."""

_FILE, _VERSION = "checks.json", 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found in the samples of a file."""

    digest: str = ""
    """Of all its decoded samples; equal for equal sounds whatever the name."""
    frames: int = 0
    level_dbfs: float = 0.0
    """Standard deviation of the channel that is read, dB relative to 1."""
    clipped: float = 0.0
    """Share of samples at full scale."""
    finite: bool = True
    problem: str = ""
    """Why it could not be decoded."""


def measure(samples: FloatArray, channel: int) -> Measured:
    """Measure decoded samples, shape (n, channels)."""
    mono = samples[:, channel]
    digest = hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=16).hexdigest()
    finite = bool(np.isfinite(mono).all())
    if not finite or len(mono) == 0:
        return Measured(digest, len(mono), finite=finite)
    level_dbfs = 20.0 * float(np.log10(np.std(mono, dtype=np.float64) + 1e-12))
    clipped = float(np.mean(np.abs(mono) >= _FULL_SCALE))
    return Measured(digest, len(mono), level_dbfs, clipped)


class MeasureCache:
    """Measurements by file, valid as long as size and time of the file stay.

    Args:
        folder: Where they are kept; made if missing. A damaged file in it is started anew.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._known = _load(self._path)
        self._changed = False

    def get(self, path: Path) -> Measured | None:
        """What was measured in a file, unless it has changed since."""
        known = self._known.get(str(path.resolve()))
        if known is None or known.get("stamp") != _stamp(path):
            return None
        return Measured(**known["measured"])

    def put(self, path: Path, measured: Measured) -> None:
        """Remember what was measured in a file."""
        entry = {"stamp": _stamp(path), "measured": asdict(measured)}
        self._known[str(path.resolve())] = entry
        self._changed = True

    def save(self) -> None:
        """Write what was added.

        Raises:
            StorageError: It cannot be written.
        """
        if self._changed:
            text = json.dumps({"version": _VERSION, "files": self._known})
            replace_file(self._path, text.encode())
            self._changed = False


def _stamp(path: Path) -> list[int]:
    """Size in bytes and time of the last change; nothing for a file that has gone."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _load(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] != _VERSION:
            return {}
        files: dict[str, Any] = stored["files"]
        for known in files.values():
            Measured(**known["measured"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _logger.info("cache=%s damaged (%s): clips are checked again", path, error)
        return {}
    return files
