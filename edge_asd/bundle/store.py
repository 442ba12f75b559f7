"""Which bundle a monitor uses: every one that was enrolled with is kept in the state directory."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from edge_asd.bundle.bundle import Bundle, builtin_bundle, load_bundle
from edge_asd.errors import ProfileError
from edge_asd.files import replace_file
from edge_asd.profile import profile_dir


def keep_bundle(state_dir: Path, bundle: Bundle) -> None:
    """Keep a copy of a bundle that a profile depends on; the built-in one needs none.

    Raises:
        StorageError: It cannot be written.
    """
    path = _kept(state_dir, bundle.sha256)
    if bundle.path in (None, builtin_bundle(), path) or path.exists():
        return
    replace_file(path, Path(bundle.path or path).read_bytes())


def bundle_of(state_dir: Path, monitors: Sequence[str]) -> Bundle:
    """The bundle that these monitors' profiles were learned with, or the built-in one.

    Where they were learned with several, it is the one that most were; of two that as many were,
    that of the monitor that comes first. The others learn with it (`enrolment.relearning`).

    Raises:
        ProfileError: It is not there any more.
        BundleError: It is damaged.
    """
    sha256, name = _most_needed(state_dir, monitors)
    if not sha256:
        return load_bundle(builtin_bundle())
    kept = _kept(state_dir, sha256)
    if kept.exists():
        return load_bundle(kept)
    builtin = load_bundle(builtin_bundle())
    if builtin.sha256 != sha256:
        raise ProfileError(
            f"{profile_dir(state_dir, name)}: learned with bundle {sha256[:12]}, which is not here "
            f"({builtin.label} is {builtin.sha256[:12]}); enrol {name} again"
        )
    return builtin


def choose_bundle(state_dir: Path, explicit: str | None, monitors: Sequence[str]) -> Bundle:
    """The bundle named by the operator, else the one the monitors were enrolled with.

    Raises:
        BundleError: It is missing or damaged.
        ProfileError: See ``bundle_of``.
    """
    return load_bundle(explicit) if explicit else bundle_of(state_dir, monitors)


def forget_bundles(state_dir: Path, spared: Collection[str]) -> None:
    """Remove kept bundles that no profile needs; what cannot be removed is tried again next time.

    Args:
        state_dir: Where they lie.
        spared: SHA-256 of those that stay in any case.
    """
    profiles = (path.parent.name for path in state_dir.glob("profiles/*/profile.json"))
    needed = {*spared, *(_needed_by(state_dir, name) for name in profiles)}
    wanted = {_kept(state_dir, sha256) for sha256 in needed if sha256}
    for path in (state_dir / "bundles").glob("*.asd"):
        if path not in wanted:
            with contextlib.suppress(OSError):
                path.unlink()


def bundle_to_start_with(state_dir: Path, wanted: Bundle, monitors: Sequence[str]) -> Bundle:
    """The bundle that most monitors are enrolled with, until they have been learned again.

    Args:
        state_dir: Where profiles lie.
        wanted: What the operator wants to serve.
        monitors: Their names.

    Raises:
        ProfileError: See ``bundle_of``.
        BundleError: It is damaged.
    """
    sha256, _ = _most_needed(state_dir, monitors)
    return wanted if sha256 in ("", wanted.sha256) else bundle_of(state_dir, monitors)


def learned_with_another(state_dir: Path, monitor: str, bundle: Bundle) -> str | None:
    """The other bundle that a monitor's profile is of; None where there is none."""
    needed = _needed_by(state_dir, monitor)
    return None if needed in (None, bundle.sha256) else f"bundle {needed[:12]}"


def _kept(state_dir: Path, sha256: str) -> Path:
    return state_dir / "bundles" / f"{sha256[:16]}.asd"


def _most_needed(state_dir: Path, monitors: Sequence[str]) -> tuple[str, str]:
    """SHA-256 of the bundle that most profiles name, and whose is the first; empty without any."""
    needed = {name: sha for name in monitors if (sha := _needed_by(state_dir, name))}
    if not needed:
        return "", ""
    sha256 = Counter(needed.values()).most_common(1)[0][0]
    return sha256, next(name for name, sha in needed.items() if sha == sha256)


def _needed_by(state_dir: Path, monitor: str) -> str | None:
    """SHA-256 of the bundle a profile names; a damaged profile is reported when it is loaded."""
    try:
        raw = json.loads((profile_dir(state_dir, monitor) / "profile.json").read_bytes())
        return str(raw["bundle_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
