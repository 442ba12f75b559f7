"""Options that several commands share, and how they are resolved: said once."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import click

from edge_asd.config import (
    Config,
    MonitorConfig,
    engine_request,
    load_config,
    load_raw,
    parse_config,
)
from edge_asd.engine_request import EngineName, EngineRequest
from edge_asd.errors import UsageError
from edge_asd.logs.journal import JournalHandler, priority, values_of, writes_to_journal
from edge_asd.logs.journal_classes import class_of
from edge_asd.logs.repeats import QuietHandler, Repeats
from edge_asd.state_dir import resolve_state_dir

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_CONFIG = Path("/etc/edge-asd/config.yaml")


def state_dir_option(function: Command) -> Command:
    """``--state-dir``."""
    return click.option(
        "--state-dir",
        metavar="DIR",
        help="Where profiles and events lie (default: the service's if you may write it).",
    )(function)


def config_option(function: Command) -> Command:
    """``--config``."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help=f"The operator's file (default: {DEFAULT_CONFIG} if it is there).",
    )(function)


def json_option(function: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")(function)


def engine_option(function: Command) -> Command:
    """``--engine``."""
    return click.option(
        "--engine",
        type=click.Choice(get_args(EngineName)),
        help="What the network runs on (default: as configured).",
    )(function)


def chosen_engine(config_file: str | None, state_dir: Path, name: str | None) -> EngineRequest:
    """What the operator's file says of the engine, unless the command line names another.

    Raises:
        ConfigError: The file or a value is wrong.
    """
    request = engine_request(read_config(config_file), state_dir)
    if name is None:
        return request
    return replace(request, name=cast("EngineName", name), precision="auto")


def state_dir_path(option: str | None) -> Path:
    """The state directory in use."""
    return resolve_state_dir(option, os.environ)


def config_path(file: str | None) -> Path | None:
    """The operator's file; None where none was named and none is at its usual place.

    One that may not be looked at is there: defaults in its stead would surprise.
    """
    if file:
        return Path(file)
    try:
        DEFAULT_CONFIG.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return DEFAULT_CONFIG
    return DEFAULT_CONFIG


def raw_config(file: str | None) -> tuple[Mapping[str, Any], str]:
    """Keys and values of the operator's file, unchecked, and its name; nothing without a file.

    Raises:
        ConfigError: It cannot be read.
    """
    path = config_path(file)
    return ({}, "no file: defaults") if path is None else (load_raw(path), str(path))


def read_config(
    file: str | None,
    *,
    monitor: str | None = None,
    source: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Config:
    """The operator's file with what the command line says on top.

    ``monitor`` without ``source`` picks a monitor of the file; with one it describes a monitor of
    its own.

    Raises:
        ConfigError: The file or a value is wrong.
        UsageError: The file has no such monitor.
    """
    path = config_path(file)
    config = Config() if path is None else load_config(path)
    raw = config.model_dump(exclude_unset=True)
    if source is not None:
        raw["monitors"] = [_monitor(config, monitor or "machine", source)]
    elif monitor is not None:
        known = {section.name: section for section in config.monitors}
        if monitor not in known:
            if file:
                raise UsageError(f"{file} has no monitor {monitor}; it has: {', '.join(known)}")
            raw["monitors"] = [{"name": monitor}]
        else:
            raw["monitors"] = [known[monitor].model_dump(exclude_unset=True)]
    for key, value in (changes or {}).items():
        # Another address keeps its token; another broker must not be told the password of this one.
        raw[key] = raw.get(key, {}) | value if key == "http" else value
    return parse_config(raw, "command line" if source or monitor or changes else str(path))


def _monitor(config: Config, name: str, source: str) -> dict[str, Any]:
    """A monitor of the command line; what the file says of one with this name stays."""
    sections = [s.model_dump(exclude_unset=True) for s in config.monitors if s.name == name]
    return {**(sections[0] if sections else {}), "name": name, "source": source}


def monitor_config(file: str | None, name: str, source: str | None = None) -> MonitorConfig:
    """One monitor's section, with defaults where the file does not know it.

    Raises:
        ConfigError: The file or the name is wrong.
    """
    path = config_path(file)
    config = Config() if path is None else load_config(path)
    raw = next(
        (s.model_dump(exclude_unset=True) for s in config.monitors if s.name == name),
        {"name": name},
    )
    if source is not None:
        raw["source"] = source
    return parse_config({"monitors": [raw]}, "command line").monitors[0]


def set_up_logging(verbose: int = 0) -> None:
    """Log to stderr; under systemd to the journal, with fields; what repeats itself is counted."""
    root = logging.getLogger()
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_formatter())
    handler: logging.Handler = lines
    if "JOURNAL_STREAM" in os.environ:
        lines.setFormatter(_PriorityFormatter())
        if writes_to_journal(os.environ, sys.stderr):
            handler = JournalHandler(fallback=lines)
    root.handlers[:] = [QuietHandler(handler, Repeats(_is_counted, _is_a_change))]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)


def _is_counted(record: logging.LogRecord) -> bool:
    """Alerts, states and whatever else somebody counts: each of them is written."""
    kind = class_of(record, values_of(record))
    return kind is not None and kind.each


def _is_a_change(record: logging.LogRecord) -> bool:
    """What comes and goes, as the broker does."""
    return class_of(record, values_of(record)) is not None


def _formatter() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s", "%H:%M:%S")


class _PriorityFormatter(logging.Formatter):
    """``<N>message``: sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        """One line with its priority."""
        text = f"<{priority(record.levelno)}>{record.name} {super().format(record)}"
        return text.replace("\n", " | ")
