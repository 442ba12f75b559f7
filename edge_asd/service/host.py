"""The computer, or the image of one, that a service is installed on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import ServiceError

NAME = "edge-asd"
UNIT = f"{NAME}.service"
USER = NAME
STATE, CACHE, CONFIG = "/var/lib/edge-asd", "/var/cache/edge-asd", "/etc/edge-asd"
SECRETS = f"{CONFIG}/secrets"
PACKAGED = ("/usr/lib/systemd/system", "/lib/systemd/system")
"""Where a distribution's package puts the unit."""

_BOOTED = Path("/run/systemd/system")
_HIDDEN = ("/home", "/root", "/run/user")  # ProtectHome=
_PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - PrivateTmp=


@dataclass(frozen=True, slots=True)
class Host:
    """Where files go, and whether there is a service manager to talk to.

    Args:
        root: ``/``, or the folder of an image.
    """

    root: Path = Path("/")

    @property
    def live(self) -> bool:
        """Whether this is the running computer rather than an image."""
        return self.root == Path("/")

    def path(self, absolute: str) -> Path:
        """Where a file of the host is found from here."""
        return self.root / absolute.lstrip("/")

    def demand_rights(self) -> None:
        """Refuse early where nothing could be installed.

        Raises:
            ServiceError: No systemd runs, or this is not root.
        """
        if not self.live:
            if not self.root.is_dir():
                raise ServiceError(f"--root {self.root}: there is no such folder")
            return
        demand_systemd()
        if os.geteuid() != 0:
            raise ServiceError("only root may do this: put sudo in front of the command")

    def owner(self, name: str) -> int | None:
        """The group that files of the service belong to; None where it is not known yet."""
        return self._number("group", name)

    def has_user(self, name: str) -> bool:
        """Whether a user of that name exists."""
        return self._number("passwd", name) is not None

    def groups(self) -> list[str] | None:
        """Names of all groups of an image; None for the running computer, which is asked."""
        if self.live:
            return None
        return [line.split(":")[0] for line in self._lines("group")]

    def _number(self, database: str, name: str) -> int | None:
        if self.live:
            found = _run(["getent", database, name], check=False).stdout.splitlines()
        else:
            found = [line for line in self._lines(database) if line.startswith(f"{name}:")]
        return int(found[0].split(":")[2]) if found else None

    def _lines(self, database: str) -> list[str]:
        try:
            return self.path(f"/etc/{database}").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []


def demand_systemd() -> None:
    """Refuse where systemd does not run.

    Raises:
        ServiceError: It does not.
    """
    if not _BOOTED.is_dir():
        raise ServiceError(
            "no systemd runs here: start `edge-asd run` by what manages services on this "
            "computer, or prepare an image with --root DIR"
        )


def systemctl(*arguments: str, check: bool = True) -> str:
    """Ask the service manager; what it answers.

    Raises:
        ServiceError: It cannot be asked, or with ``check`` it refuses.
    """
    return _run(["systemctl", *arguments], check=check).stdout


def run(command: Sequence[str]) -> str:
    """Run a program of the system; what it prints.

    Raises:
        ServiceError: It is missing or fails.
    """
    return _run(command, check=True).stdout


def program(option: str | None = None) -> str:
    """The path of this installation's ``edge-asd``.

    Raises:
        ServiceError: There is none that a service could start.
    """
    beside = Path(sys.prefix) / "bin" / NAME
    found = option or (str(beside) if beside.exists() else shutil.which(NAME))
    if found is None:
        raise ServiceError(
            f"this installation has no command {NAME}: name it, --program /path/to/{NAME}"
        )
    if not Path(found).is_absolute() or any(character in found for character in " \t\n\"'\\%$"):
        raise ServiceError(f"{found}: a unit needs an absolute path without blanks, quotes, $ or %")
    return found


def unreachable(path: str, interpreter: str | None = None) -> str:
    """Why a service with its own user could not start a program; nothing if it can.

    Args:
        path: Of the program.
        interpreter: Of Python; None for the one that runs this.
    """
    for one in (path, interpreter or sys.base_prefix):
        real = Path(one).resolve()
        if folder := next((f for f in _PRIVATE if str(real).startswith(f"{f}/")), ""):
            return f"{real} is below {folder}, which the service has for itself"
        if not real.exists():
            return f"{real} does not exist"
        closed = (p for p in reversed(real.parents) if not p.stat().st_mode & 0o001)
        if (parent := next(closed, None)) is not None:
            return f"the user {USER} may not enter {parent}, which leads to {real}"
    return ""


def below_home(path: str) -> bool:
    """Whether a program, or its Python, lies where ProtectHome= hides it."""
    paths = (str(Path(one).resolve()) for one in (path, sys.base_prefix))
    return any(p.startswith(f"{folder}/") for p in paths for folder in _HIDDEN)


def _run(command: Sequence[str], *, check: bool) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            command, capture_output=True, text=True, check=False, timeout=120
        )
    except FileNotFoundError as error:
        raise ServiceError(f"{command[0]} is not installed on this computer") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{' '.join(command)}: no answer within 120 s") from error
    if check and done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise ServiceError(f"{' '.join(command)} failed: {said or done.returncode}")
    return done
