"""The demo from its first line to its exit code."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from edge_asd.bundle import builtin_bundle, load_bundle
from edge_asd.demo.broker import HOST, EmbeddedBroker, require_amqtt
from edge_asd.demo.gauges import Gauges
from edge_asd.demo.now import Now, View
from edge_asd.demo.plain import PlainView
from edge_asd.demo.plan import MONITOR, Plan
from edge_asd.demo.process import DaemonProcess
from edge_asd.demo.story import Story
from edge_asd.demo.subscriber import Subscriber
from edge_asd.demo.summary import how_to_join, next_steps, verdict
from edge_asd.errors import CaptureError, StorageError

_TICK_S = 0.15
_PATIENCE_S = 30.0
"""Beside the time that the story takes."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for."""

    bundle: Path | None = None
    """None for the one that ships with the package."""
    speed: float = 6.0
    """Times real time."""
    keep: bool = False
    """Leave everything running after the story."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """What runs during the demo."""

    daemon: DaemonProcess
    subscriber: Subscriber
    gauges: Gauges
    now: Now


def run_demo(options: DemoOptions, out: IO[str], program: str) -> int:
    """Show everything; returns the exit code: 0 if the story came out, else 1.

    Args:
        options: What is asked for.
        out: Gets everything that is shown; a live screen if it is a terminal.
        program: How the user calls ``edge-asd``, for the lines to type next.

    Raises:
        EdgeAsdError: Something cannot be started, or the daemon stopped.
        KeyboardInterrupt: The user ended it before the story was over.
    """
    require_amqtt()
    plan = Plan.of(load_bundle(options.bundle or builtin_bundle()).manifest, options.speed)
    folder = _new_folder()
    finished = False
    try:
        with _terminated_in_order(), _stage(plan, folder, options.bundle, out) as stage:
            story = stage.now.story
            _play(stage, out, lambda: story.over(stage.now.at_s))
            finished = True
            code = 1 if story.problems() else 0
            _say(out, "", *verdict(story))
            if options.keep:
                port, url = stage.subscriber.port, stage.gauges.url
                _say(out, *how_to_join(port, url, folder, program), "")
                with contextlib.suppress(KeyboardInterrupt):
                    _play(stage, out, lambda: False)
            _say(out, *next_steps(folder, program))
            return code
    finally:
        if not finished:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _stage(plan: Plan, folder: Path, bundle: Path | None, out: IO[str]) -> Iterator[_Stage]:
    """Start broker, daemon and subscriber; end them in the reverse order."""
    broker = EmbeddedBroker()
    port = _free_port()
    config = folder / "config.yaml"
    text = plan.config_text(
        mqtt_url=broker.url, http=f"{HOST}:{port}", bundle=bundle and bundle.absolute()
    )
    config.write_text(text, encoding="utf-8")
    daemon = DaemonProcess(config, folder / "state", folder / "daemon.log")
    _say(out, f"$ cat {config}", text.rstrip(), f"$ edge-asd {' '.join(daemon.argv)}", "")
    # The daemon comes first, because it takes longest; the broker's port is open already.
    with (
        contextlib.ExitStack() as closing,
    ):
        closing.enter_context(daemon)
        closing.enter_context(broker)
        subscriber = closing.enter_context(Subscriber(HOST, broker.port))
        now = Now(plan, Story(plan), broker.url)
        yield _Stage(daemon, subscriber, Gauges(HOST, port, MONITOR), now)
