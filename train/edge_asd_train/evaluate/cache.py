"""Arrays kept between commands; a file whose key differs counts as absent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.bundle import npz_bytes, read_npz
from edge_asd.errors import BundleError
from edge_asd.files import replace_file

_logger = logging.getLogger(__name__)
_KEY = "key"


class ArrayCache:
    """One ``.npz`` file a name, so that what is out of date is replaced and never piles up.

    Args:
        folder: Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, key: str) -> dict[str, NDArray[Any]] | None:
        """Arrays stored under ``name`` for this key, or ``None``; a damaged file counts as none."""
        path = self._path(name)
        try:
            arrays = read_npz(path.read_bytes(), path.name)
        except FileNotFoundError:
            return None
        except (OSError, BundleError) as error:
            _logger.warning("cache=%s ignored reason=%s", path, error)
            return None
        stored = arrays.pop(_KEY, np.empty(0, np.uint8))
        return arrays if bytes(stored) == bytes.fromhex(key) else None

    def put(self, name: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store arrays.

        Args:
            name: Of the file.
            key: Hexadecimal; what the arrays were computed from.
            arrays: Numbers only.

        Raises:
            StorageError: It cannot be written.
        """
        mark = np.frombuffer(bytes.fromhex(key), np.uint8)
        replace_file(self._path(name), npz_bytes({**arrays, _KEY: mark}))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '_')}.npz"
