"""Reading the operator's file for as much as can be understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_asd.config import Config, problems_of
from edge_asd.doctor.findings import Finding, failed, of_error, ok
from edge_asd.errors import ConfigError

_CONFIG = 78


@dataclass(frozen=True, slots=True)
class Reading:
    """The operator's file, with defaults where it is wrong."""

    config: Config
    findings: tuple[Finding, ...]


def read(load: Callable[[], tuple[Mapping[str, Any], str]]) -> Reading:
    """Read a file; what is wrong in it is replaced by the default.

    Args:
        load: Gives its keys and values, and its name for people; raises a ConfigError.
    """
    try:
        found, origin = load()
        raw = dict(found)
    except ConfigError as error:
        return Reading(Config(), (of_error("file", error),))
    problems = problems_of(raw)
    if not problems:
        return Reading(
            Config.model_validate(raw),
            (ok("file", f"{origin}: every key is known, every value possible"),),
        )
    findings = tuple(failed(problem.where, problem.text, "", _CONFIG) for problem in problems)
    usable = _without(raw, [problem.location for problem in problems])
    if problems_of(usable):  # two sections that are wrong only together
        usable = {}
    return Reading(Config.model_validate(usable), findings)


def _without(raw: dict[str, Any], locations: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """The same without what is wrong: a monitor as a whole, a key of the file as a whole."""
    usable = {key: value for key, value in raw.items() if key != "monitors"}
    monitors = raw.get("monitors")
    wrong = set()
    for location in locations:
        if location and location[0] == "monitors" and len(location) > 1:
            wrong.add(location[1])
        elif location:
            usable.pop(str(location[0]), None)
            monitors = None if location[0] == "monitors" else monitors
    if isinstance(monitors, list):
        kept = [monitor for at, monitor in enumerate(monitors) if at not in wrong]
        if kept:
            usable["monitors"] = kept
    return usable
