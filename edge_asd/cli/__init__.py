"""The ``edge-asd`` command: one small module a sub-command."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Sequence

import click

from edge_asd import __version__
from edge_asd.errors import EdgeAsdError
from edge_asd.interrupts import INTERRUPTED, raise_again

_COMMANDS = {
    "run": "Listen, score, decide and publish until stopped.",
    "demo": "Show the whole job on a simulated machine.",
    "enrol": "Learn what a machine sounds like when it is well.",
    "score": "Score sound files against what a monitor learned.",
    "status": "Show the state of every monitor of the running daemon.",
    "ack": "Tell everybody that you have taken note of an alert.",
    "snooze": "Raise no alert of a monitor for a while.",
    "inhibit": "Say that there is maintenance at a machine.",
    "enable": "Listen to a machine again that was switched off.",
    "disable": "Switch a monitor off until it is switched on again.",
    "simulate": "Rehearse your own alerting chain on the running daemon.",
    "devices": "List the inputs that a monitor can listen to.",
    "bench": "Measure what this machine can do.",
    "doctor": "Find out what is wrong, and what to do about it.",
    "support": "Pack everything that helps into one archive, without secrets.",
    "reload": "Have the running daemon read its configuration again.",
    "check": "Check the operator's file, the bundle and the profiles.",
    "events": "List alerts; show, export and pin their evidence.",
    "outbox": "List what waits for the broker; check, repair and send it again.",
    "normal": "Say that an alert was no fault, see what that masks, take it back.",
    "ledger": "Show what became of every second of every monitor.",
    "threshold": "Show the thresholds in force, and what others would have raised.",
    "service": "Install, remove and look at the systemd service.",
    "bundle": "Look into bundles.",
    "schemas": "Write what is published over MQTT as JSON Schema and AsyncAPI.",
}


class _Commands(click.Group):
    """Imports a sub-command only when it is used: ``--help`` does not wait for SciPy."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"edge_asd.cli.{cmd_name}").command
        raise_again()  # it may open what must be closed
        return _unwrapped(command) if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _unwrapped(command: click.Command) -> click.Command:
    r"""Turn the ``\b`` of raw docstrings into the character that keeps click from wrapping."""
    command.help = (command.help or "").replace(r"\b", "\b")
    for nested in getattr(command, "commands", {}).values():
        _unwrapped(nested)
    return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-asd")
def cli() -> None:
    r"""Listen to a machine and say when it sounds different.

    \b
    Try it without any hardware:    edge-asd demo
    Learn a machine's normal sound: edge-asd enrol --monitor pump-1 --source alsa: --seconds 600
    Listen, and alert over MQTT:    edge-asd run --monitor pump-1 --source alsa:
                                        --mqtt mqtt://broker:1883

    Exit codes: 0 ok, 2 usage, 65 bad data, 69 unavailable, 78 configuration.
    """


_LEFT_BEHIND = ("enrol-", "worker", "evidence", "engine-")
"""Threads that the daemon does not wait for at its end."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; errors are one line on stderr."""
    code = _run(arguments)
    if any(thread.name.startswith(_LEFT_BEHIND) for thread in threading.enumerate()):
        # It hangs, or computes something that takes long: native code that is still running when
        # the interpreter takes itself apart would abort the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        result = _unwrapped(cli).main(args=arguments, prog_name="edge-asd", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and later: the help itself
            error.show()
            return error.exit_code
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "edge-asd"
        message = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"edge-asd: {message}; see {where} --help", err=True)
        return error.exit_code
    except EdgeAsdError as error:
        click.echo(f"edge-asd: {error}", err=True)
        return error.exit_code
    except SystemExit as error:
        # 1 is click's answer when whoever read us has left, as ``head`` does; others are ours.
        return error.code if isinstance(error.code, int) and error.code != 1 else 0
    return result if isinstance(result, int) else 0
