"""Whether the disk has room for what the configuration allows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_asd.config import Config
from edge_asd.doctor.findings import Finding, failed, ok, warning

_MEGA = 1e6
_RESERVOIR_MB = 64.0
_LEAST_MB = 50.0


def needed_mb(config: Config) -> float:
    """What everything may take at most: evidence, outbox, and each monitor's normal sound."""
    evidence = config.evidence.quota_mb if config.evidence.enabled else 0.0
    return evidence + config.outbox.max_mb + _RESERVOIR_MB * len(config.monitors)


def examine_space(config: Config, state_dir: Path) -> Iterator[Finding]:
    """Compare with what is free where the state lies.

    Args:
        config: The operator's file.
        state_dir: The state directory; it may be still to be made.
    """
    folder = next((p for p in (state_dir, *state_dir.absolute().parents) if p.exists()), None)
    try:
        usage = shutil.disk_usage(folder or "/")
    except OSError as error:
        text = f"{state_dir}: {error.strerror}"
        yield failed("disk", text, "mount its file system, or choose another --state-dir")
        return
    free_mb, needed = usage.free / _MEGA, needed_mb(config)
    free = f"{state_dir}: {free_mb:.0f} MB free"
    remedy = "free space, or lower evidence.quota_mb"
    floor_mb = config.evidence.free_floor_mb
    if free_mb < _LEAST_MB:
        yield failed("disk", f"{free}: events can hardly be stored", remedy)
    elif config.evidence.enabled and free_mb < floor_mb:
        text = f"{free}, less than evidence.free_floor_mb ({floor_mb:.0f}): no evidence is kept"
        yield warning("disk", text, remedy)
    elif free_mb - floor_mb < needed - _used_mb(state_dir):
        text = f"{free}; evidence, outbox and normal sound may grow to {needed:.0f} MB"
        yield warning("disk", text, remedy)
    else:
        yield ok("disk", f"{free}, {needed:.0f} MB needed at most")


def _used_mb(state_dir: Path) -> float:
    """What is taken already, as far as this user may see it."""
    sizes = (_size(path) for path in state_dir.rglob("*"))
    return sum(sizes) / _MEGA


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # it went while we looked
        return 0
