"""The demo from its first line to its exit code."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

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


def run_demo(options: DemoOptions, out: TextIO, program: str) -> int:
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
            _say(out, "", *verdict(story, stage.subscriber.dropped))
            if options.keep:
                port, url = stage.subscriber.port, stage.gauges.url
                _say(out, *how_to_join(port, url, folder, program), "")
                stage.now.footer = f"left running, Ctrl-C ends it   metrics: {url}"
                with contextlib.suppress(KeyboardInterrupt):
                    _play(stage, out, lambda: False)
            _say(out, *next_steps(folder, program))
            return code
    except KeyboardInterrupt:
        _say(out, "", "Interrupted: daemon and broker are stopped, nothing is kept.")
        raise
    finally:
        if not finished:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _stage(plan: Plan, folder: Path, bundle: Path | None, out: TextIO) -> Iterator[_Stage]:
    """Start daemon, broker and subscriber; the daemon ends first, so that it can say goodbye."""
    broker = EmbeddedBroker()
    port = _free_port()
    config = folder / "config.yaml"
    text = plan.config_text(
        mqtt_url=broker.url, http=f"{HOST}:{port}", bundle=bundle and bundle.absolute()
    )
    config.write_text(text, encoding="utf-8")
    daemon = DaemonProcess(config, folder / "state", folder / "daemon.log")
    _say(out, f"$ cat {config}", text.rstrip(), "", f"$ edge-asd {' '.join(daemon.argv)}", "")
    with contextlib.ExitStack() as closing:
        # It takes longest to start, and the broker's port is open already.
        closing.enter_context(daemon)
        closing.enter_context(broker)
        subscriber = closing.enter_context(Subscriber(HOST, broker.port))
        closing.callback(daemon.close)
        yield _Stage(
            daemon,
            subscriber,
            Gauges(HOST, port, MONITOR),
            Now(plan, Story(plan), broker.url),
        )


def _play(stage: _Stage, out: TextIO, over: Callable[[], bool]) -> None:
    """Show what happens until it is over."""
    now, view = stage.now, _view(out)
    moved_at, position_s = time.monotonic(), now.at_s
    try:
        while not over():
            stage.daemon.check()
            _look(stage)
            view.update(now)
            _listen(stage, view, time.monotonic() + _TICK_S)
            if now.at_s > position_s:
                moved_at, position_s = time.monotonic(), now.at_s
            if time.monotonic() - moved_at > _PATIENCE_S:
                raise CaptureError(
                    f"the daemon has taken in no sound for {_PATIENCE_S:g} s, at "
                    f"{position_s:.0f} s of the stream; is this computer very busy?"
                )
        view.update(now)
    finally:
        view.close()


def _listen(stage: _Stage, view: View, until: float) -> None:
    """Take in messages until a monotonic time."""
    while (message := stage.subscriber.get(until - time.monotonic())) is not None:
        if message.leaf != "score":
            _look(stage)  # how far the stream is as this one arrives
        if stage.now.take(message):
            view.message(stage.now, message)


def _look(stage: _Stage) -> None:
    """Read stream time and level."""
    reading = stage.gauges.read()
    if reading is not None:
        stage.now.at_s = reading.frames / stage.now.plan.sample_rate + reading.lost_s
        stage.now.level_dbfs = reading.level_dbfs


def _view(out: TextIO) -> View:
    # Block characters need UTF-8, moving the cursor needs a terminal that can.
    can_draw = "utf" in (out.encoding or "").lower() and os.environ.get("TERM") not in (
        None,
        "dumb",
    )
    if not (out.isatty() and can_draw):
        return PlainView(out)
    from rich.console import Console  # noqa: PLC0415 - for terminals only

    from edge_asd.demo.live import LiveView  # noqa: PLC0415 - for terminals only

    return LiveView(Console(file=out))


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """SIGTERM and a closed terminal unwind as Ctrl-C does, so that nothing stays behind."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="edge-asd-demo-"))
    except OSError as error:
        raise StorageError(
            f"{tempfile.gettempdir()}: no folder for the demo: {error.strerror}; set TMPDIR"
        ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _say(out: TextIO, *lines: str) -> None:
    out.write("".join(f"{line}\n" for line in lines))
    out.flush()
