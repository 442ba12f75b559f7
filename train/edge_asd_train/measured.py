"""What ``evaluate`` found, brought into the manifest of a bundle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from edge_asd.errors import DataError

_TAKEN = (
    *("official", "rules", "hmean", "ci95", "machine_official"),
    *("data", "method", "scorer", "engine", "network"),
)


def read_evaluation(path: Path) -> dict[str, Any]:
    """What a manifest keeps of a file that ``evaluate`` wrote.

    Args:
        path: ``evaluation.json``, or what ``evaluate --json`` printed.

    Returns:
        Score, rules, interval, data, scorer, engine and network.

    Raises:
        DataError: It is no such file, or not one of a network, or nothing was measured.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON; give what evaluate --json printed") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), dict):
        raise DataError(f"{path}: no result of evaluate --data; give its evaluation.json")
    if not isinstance(raw.get("network"), dict):
        raise DataError(f"{path}: not measured on a network; give an evaluation of this run")
    official = raw.get("official")
    if not isinstance(official, float) or not math.isfinite(official):
        raise DataError(f"{path}: no official score in it; evaluate data whose truth is known")
    return {key: raw[key] for key in _TAKEN if key in raw}
