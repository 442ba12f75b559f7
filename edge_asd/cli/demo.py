"""``edge-asd demo``: the whole job without any hardware."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave it running after the story, until Ctrl-C.")
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Try another bundle than the one that ships.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 100.0),
    default=6.0,
    show_default=True,
    help="Times real time; less on a slow computer.",
)
def command(*, keep: bool, bundle: Path | None, speed: float) -> int:
    r"""Show the whole job on a simulated pump: no microphone, no broker, a minute.

    The real daemon learns the pump's normal sound, a bearing breaks, the alert arrives at an MQTT
    subscriber, the pump is repaired, the all-clear follows. A terminal gets a live screen, anything
    else plain lines. Exit code 0 if all of that came out, 1 if not.

    \b
    Example:
        edge-asd demo
        edge-asd demo --keep
    """
    # The rest of this command line needs none of it.
    from edge_asd.demo.show import DemoOptions, run_demo  # noqa: PLC0415 - optional

    options = DemoOptions(bundle=bundle, speed=speed, keep=keep)
    return run_demo(options, sys.stdout, _program())


def _program() -> str:
    """How the user would call this program again."""
    if shutil.which("edge-asd"):
        return "edge-asd"
    called = Path(sys.argv[0])
    if called.name != "edge-asd":
        return f"{sys.executable} -m edge_asd"
    return os.path.relpath(called) if called.is_absolute() else str(called)
