"""What commands that switch a monitor share: the daemon does it, or it is kept for its start."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_asd.cli.options import read_config, state_dir_path
from edge_asd.errors import UsageError
from edge_asd.operators.control import ask_daemon
from edge_asd.operators.orders import CHANGES, Order, switches_answer
from edge_asd.operators.switches import Switchboard
from edge_asd.profile import has_profile
from edge_asd.publish.store import EventStore
from edge_asd.state_dir import StateLock, socket_path
from edge_asd.steady import SteadyClock

Command = TypeVar("Command", bound=Callable[..., Any])


def by_option(function: Command) -> Command:
    """``--by``."""
    return click.option("--by", metavar="NAME", help="Who asks for it (default: your user name).")(
        function
    )


def user_name() -> str:
    """Who runs the command, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return f"user {os.getuid()}"


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """Have the daemon do it; None where there is none.

    Raises:
        EdgeAsdError: What the daemon answered.
    """
    return ask_daemon(socket_path(folder, os.environ), request, lambda *_: None)


def switch(
    verb: str,
    monitor: str,
    wanted: dict[str, Any],
    *,
    by: str | None,
    state_dir: str | None,
    config_file: str | None,
) -> dict[str, Any]:
    """Set a switch in the daemon, or, where none runs, for its next start.

    Args:
        verb: ``enabled``, ``inhibit`` or ``snooze``.
        monitor: Name of the monitor.
        wanted: ``on`` or ``minutes``.
        by: Who asks for it; None for the user.
        state_dir: As on the command line.
        config_file: As on the command line.

    Raises:
        UsageError: There is no such monitor, or that cannot be meant.
        BusyError: Something else holds the state directory.
        StorageError: It cannot be kept.
    """
    folder = state_dir_path(state_dir)
    request = {"command": verb, "monitor": monitor, "by": by or user_name(), **wanted}
    answer = ask(folder, request)
    return _switch_here(folder, verb, request, config_file) if answer is None else answer


def _switch_here(
    folder: Path, verb: str, request: dict[str, Any], config_file: str | None
) -> dict[str, Any]:
    order, clock = Order.parse(verb, request), SteadyClock()
    known = [section.name for section in read_config(config_file).monitors]
    if order.monitor not in known and not has_profile(folder, order.monitor):
        raise UsageError(f"there is no monitor {order.monitor!r}; configured: {', '.join(known)}")
    with StateLock(folder):
        store = EventStore(folder)
        try:
            board = Switchboard(store.switches, clock)
            switches = CHANGES[verb](board.of(order.monitor), order, order.span(clock.now()))
            board.set(order.monitor, switches)
        finally:
            store.close()
    return {"monitor": order.monitor, **switches_answer(switches, clock), "daemon": False}


def show(answer: dict[str, Any], *, as_json: bool) -> None:
    """Print how the switches stand."""
    if as_json:
        click.echo(json.dumps(answer))
        return
    note = "" if answer.get("daemon", True) else "; no daemon runs, it will know at its start"
    click.echo(f"{answer['monitor']}: {switches_text(answer) or 'listening'}{note}")


def switches_text(answer: dict[str, Any]) -> str:
    """What is switched, for people; empty where nothing is."""
    found = []
    if not answer["enabled"]:
        found.append(f"switched off by {answer['disabled_by']}")
    if answer["inhibited"]:
        found.append(f"inhibited by {answer['inhibited_by']}{_until(answer['inhibited_until'])}")
    if answer["snoozed_until"] is not None:
        found.append(f"snoozed by {answer['snoozed_by']}{_until(answer['snoozed_until'])}")
    return ", ".join(found)


def _until(moment: str | None) -> str:
    return " until told otherwise" if moment is None else f" until {moment[:16].replace('T', ' ')}Z"
