"""Findings: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from edge_asd.errors import ConfigError, DataError, EdgeAsdError, StorageError

_KEY = re.compile(r"((?:mqtt|http|jsonl)\.[a-z_]+): (.*)")


class Status(str, Enum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well or not for as long as it should."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Does not apply here, or could not be looked at because something before it failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """Key of the configuration, or what it is about."""
    status: Status
    text: str
    """What was found, one line."""
    remedy: str = ""
    """What to do about it; empty where nothing has to be done."""
    exit_code: int = 0
    """Of the command, if it failed."""


def ok(name: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(name, Status.OK, text)


def warning(name: str, text: str, remedy: str) -> Finding:
    """It works for now."""
    return Finding(name, Status.WARNING, text, remedy)


def failed(name: str, text: str, remedy: str, exit_code: int = 69) -> Finding:
    """It does not work."""
    return Finding(name, Status.FAILED, text, remedy, exit_code)


def skipped(name: str, text: str) -> Finding:
    """It was not looked at."""
    return Finding(name, Status.SKIPPED, text)


def of_error(name: str, error: EdgeAsdError) -> Finding:
    """What an error says; its text may begin with a key and end with the remedy, after a ``;``."""
    what, mark, remedy = " ".join(str(error).split()).rpartition("; ")
    text = (what if mark else remedy).removeprefix(f"{name}: ")
    key = _KEY.match(text)
    if key is not None:
        name, text = key[1], key[2]
    return failed(name, text, remedy if mark else "", error.exit_code)


def exit_code(findings: Iterable[Finding]) -> int:
    """Of the worst of them: wrong configuration before everything else."""
    return max((f.exit_code for f in findings if f.status is Status.FAILED), default=0)


def refuse_failures(findings: Sequence[Finding]) -> None:
    """Raise what failed as one error.

    Raises:
        EdgeAsdError: With the exit code of the worst of them, and the text of all.
    """
    told = [f for f in findings if f.status is Status.FAILED]
    if not told:
        return
    kinds: dict[int, type[EdgeAsdError]] = {78: ConfigError, 65: DataError}
    kind = kinds.get(exit_code(told), StorageError)
    raise kind(
        "; ".join(f"{f.name}: {f.text}" + (f"; {f.remedy}" if f.remedy else "") for f in told)
    )


def record_of(finding: Finding) -> dict[str, Any]:
    """For scripts."""
    return {key: value for key, value in asdict(finding).items() if key != "exit_code"}
