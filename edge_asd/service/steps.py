"""Single changes to a host: what each would do is known before it is done."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import ServiceError
from edge_asd.files import replace_file
from edge_asd.service.host import Host, run


@dataclass(frozen=True, slots=True)
class Step:
    """One change, or what is already as it should be."""

    verb: str
    what: str
    act: Callable[[], object] | None = None
    """Does it; None where nothing is to be done."""

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.verb:7} {self.what}"


def keep(what: str) -> Step:
    """What is as it should be."""
    return Step("keep", what)


def command(*words: str) -> Step:
    """Run a program of the system."""
    return Step("run", " ".join(words), lambda: run(words))


def file(host: Host, path: str, text: str, *, mode: int = 0o644, group: str = "") -> Step:
    """A file with this text.

    Args:
        host: Where.
        path: On the host.
        text: What it holds.
        mode: Its permissions.
        group: Whose group may do what the mode gives a group; root's if empty.
    """
    at = host.path(path)

    def write() -> None:
        replace_file(at, text.encode())
        at.chmod(mode)
        give_to(host, at, group)

    if _text_of(at) == text and stat.S_IMODE(at.stat().st_mode) == mode:
        return keep(path)
    return Step("write", path, write)


def folder(host: Host, path: str, *, mode: int, group: str = "") -> Step:
    """A folder with these permissions."""
    at = host.path(path)

    def make() -> None:
        try:
            at.mkdir(parents=True, exist_ok=True)
            at.chmod(mode)
        except OSError as error:
            raise ServiceError(f"{at}: {error.strerror}") from error
        give_to(host, at, group)

    if at.is_dir() and stat.S_IMODE(at.stat().st_mode) == mode and _is_of(host, at, group):
        return keep(path)
    return Step("make", path, make)


def absent(host: Host, path: str) -> list[Step]:
    """A file or a whole folder that has to go, if it is there."""
    at = host.path(path)

    def remove() -> None:
        try:
            if at.is_dir() and not at.is_symlink():
                shutil.rmtree(at)
            else:
                at.unlink()
        except OSError as error:
            raise ServiceError(f"{at}: cannot be removed: {error.strerror}") from error

    return [Step("remove", path, remove)] if at.exists() or at.is_symlink() else []


def give_to(host: Host, at: Path, group: str) -> None:
    """Let root and a group own a file; without root's rights it stays ours, as in a test."""
    if os.geteuid() != 0:
        return
    number = host.owner(group) if group else 0
    if number is None:
        raise ServiceError(f"{at}: there is no group {group}")
    os.chown(at, 0, number)


def _is_of(host: Host, at: Path, group: str) -> bool:
    if os.geteuid() != 0:
        return True
    return at.stat().st_gid == (host.owner(group) if group else 0)


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
