"""The profiles of all monitors, exchanged together: all of them or none, whatever happens.

They are written beside those in force (``stage``). Then one small file decides (``commit``): from
that moment on they count, and what remains is moving files, which a crash only puts off until the
next start (``settle``). Before that moment nothing has changed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_asd.errors import StorageError
from edge_asd.files import replace_file, sync_folder
from edge_asd.profile.profile import Profile, profile_dir, write_profile

logger = logging.getLogger(__name__)

_NEXT = "next"
_DECISION = "exchange.json"


def stage(state_dir: Path, profiles: Iterable[Profile]) -> None:
    """Write profiles beside those in force.

    Raises:
        StorageError: One cannot be written; none is left behind.
    """
    settle(state_dir)
    try:
        for profile in profiles:
            write_profile(_next(state_dir, profile.monitor), profile)
    except StorageError:
        drop(state_dir)
        raise


def commit(state_dir: Path, monitors: Iterable[str]) -> None:
    """Put what was staged in the place of what is in force.

    Args:
        state_dir: Where they lie.
        monitors: All whose profiles were staged.

    Raises:
        StorageError: The decision cannot be written; nothing has changed.
    """
    before = {name: _identity(profile_dir(state_dir, name)) for name in monitors}
    decision = {"monitors": before}
    replace_file(_decision(state_dir), (json.dumps(decision) + "\n").encode())
    settle(state_dir)


def settle(state_dir: Path) -> None:
    """Finish what was decided, and drop what was not: at every start, before anything is staged.

    A disk that refuses is told in the log: what was decided stays decided.
    """
    decided = _decided(state_dir)
    if decided is None:
        drop(state_dir)
        return
    try:
        for name, before in decided.items():
            _put_in_force(profile_dir(state_dir, name), before)
        _decision(state_dir).unlink()
        sync_folder(state_dir / "profiles")
    except OSError as error:
        logger.warning("profiles not all in place, left to the next start error=%s", error)


def drop(state_dir: Path) -> None:
    """Remove what was staged and is not wanted any more."""
    for folder in (state_dir / "profiles").glob(f"*/{_NEXT}"):
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_force(folder: Path, before: str) -> None:
    """Move one staged profile, unless it was done, or another enrolment has come since then."""
    staged = folder / _NEXT
    if (staged / "profile.json").exists() and _identity(folder) == before:
        named = json.loads((staged / "profile.json").read_bytes())["references"]
        for path in staged.glob("references-*.npz"):
            path.replace(folder / path.name)
        (staged / "profile.json").replace(folder / "profile.json")
        sync_folder(folder)
        for path in folder.glob("references-*.npz"):
            if path.name != named:
                path.unlink()
    shutil.rmtree(staged, ignore_errors=True)


def _decided(state_dir: Path) -> dict[str, str] | None:
    """What was decided on: what was in force then, by monitor; None where nothing was."""
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
        raw: dict[str, Any] = json.loads(_decision(state_dir).read_bytes())["monitors"]
        return {str(name): str(before) for name, before in raw.items()}
    return None


def _identity(folder: Path) -> str:
    """Bundle and time of the profile in force; empty where there is none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        raw = json.loads((folder / "profile.json").read_bytes())
        return f"{raw['bundle_sha256']} {raw['created_at']}"
    return ""


def _next(state_dir: Path, monitor: str) -> Path:
    return profile_dir(state_dir, monitor) / _NEXT


def _decision(state_dir: Path) -> Path:
    return state_dir / "profiles" / _DECISION
