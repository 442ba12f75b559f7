"""``edge-asd enrol``: normal sound to a profile."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edge_asd.alerting import enrol_request
from edge_asd.bundle.store import choose_bundle
from edge_asd.capture import capture, list_audio
from edge_asd.cli.bar import Bar
from edge_asd.cli.options import (
    chosen_engine,
    config_option,
    engine_option,
    json_option,
    monitor_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.config import MonitorConfig
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.learning import (
    Learned,
    install,
    learn_from_files,
    learn_from_recording,
    refuse_during_alert,
)
from edge_asd.errors import CaptureError, DataError, UsageError
from edge_asd.operators.answers import summary
from edge_asd.operators.control import Reply, ask_daemon
from edge_asd.profile import profile_dir
from edge_asd.profile.profile_set import settle
from edge_asd.profile.reservoir import PieceWriter
from edge_asd.publish.store import FILE_NAME, EventStore
from edge_asd.records import State
from edge_asd.score.calibrate import rate_text
from edge_asd.state_dir import StateLock, socket_path

_SOURCE_PATIENCE_S = 20.0
_RECORDING_SHARE = 0.7


@click.command("enrol")
@click.option("--monitor", required=True, metavar="NAME", help="Which monitor learns.")
@click.option("--from", "paths", multiple=True, metavar="PATH…", help="Files or folders.")
@click.argument("more", nargs=-1, metavar="[PATH]…")
@click.option("--source", metavar="URI", help="Live: alsa:…, exec:…, sim:… or file:…")
@click.option("--seconds", type=click.FloatRange(min=60), help="How long to listen to --source.")
@click.option("--bundle", metavar="FILE", help="Bundle to learn with (default: the one in use).")
@click.option("--force", is_flag=True, help="Learn even while the monitor is in alarm.")
@engine_option
@config_option
@state_dir_option
@json_option
def command(
    *,
    monitor: str,
    paths: tuple[str, ...],
    more: tuple[str, ...],
    source: str | None,
    seconds: float | None,
    bundle: str | None,
    force: bool,
    engine: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> None:
    r"""Learn what a machine sounds like when it is well.

    Give it ten minutes or more of the machine's normal work; a minute is the least. Several files
    are one stream, in the order given. While a daemon runs, it does the work itself and goes on
    listening.

    \b
    Example:
        edge-asd enrol --monitor pump-1 --from /data/pump-1/normal
        edge-asd enrol --monitor pump-1 --source alsa:USB --seconds 600
    """
    _check_usage(paths, more, source, seconds)
    folder = state_dir_path(state_dir)
    files = [file.resolve() for path in (*paths, *more) for file in list_audio(path)]
    section = monitor_config(config_file, monitor, source)
    with Bar(quiet=as_json) as bar:
        result = _ask(
            folder,
            monitor,
            files=files,
            source=source,
            seconds=seconds,
            bundle=bundle,
            engine=engine,
            force=force,
            bar=bar,
        )
        if result is None:
            result = _enrol_here(
                folder,
                section,
                files=files,
                seconds=seconds,
                bundle_file=bundle,
                engine=chosen_engine(config_file, folder, engine),
                force=force,
                bar=bar,
            )
    _show(result, as_json=as_json)


def _check_usage(
    paths: tuple[str, ...], more: tuple[str, ...], source: str | None, seconds: float | None
) -> None:
    if more and not paths:
        raise UsageError(f"unexpected argument {more[0]}; write --from {more[0]}")
    if bool(paths) == bool(source or seconds):
        raise UsageError("give either --from PATH…, or --source URI --seconds N")
    if source and not seconds:
        raise UsageError("--source needs --seconds N: how long to listen")


def _ask(
    folder: Path,
    monitor: str,
    *,
    files: list[Path],
    source: str | None,
    seconds: float | None,
    bundle: str | None,
    engine: str | None,
    force: bool,
    bar: Bar,
) -> dict[str, Any] | None:
    """Have a running daemon do it; None where there is none."""
    request: dict[str, Any] = {"command": "enrol", "monitor": monitor, "force": force}
    if files:
        request["from"] = [str(file) for file in files]
    else:
        request["seconds"] = seconds
    path = socket_path(folder, os.environ)
    given = {"--source": source, "--bundle": bundle, "--engine": engine}
    option = next((name for name, value in given.items() if value), None)
    if option and ask_daemon(path, {"command": "status"}, bar.update) is not None:
        raise UsageError(
            f"a daemon runs with this state directory and {option} is its own affair: leave "
            f"{option} out, or stop the daemon first"
        )
    if option:
        return None
    return ask_daemon(path, request, bar.update)


def _enrol_here(
    folder: Path,
    section: MonitorConfig,
    *,
    files: list[Path],
    seconds: float | None,
    bundle_file: str | None,
    engine: EngineRequest,
    force: bool,
    bar: Bar,
) -> dict[str, Any]:
    bundle = choose_bundle(folder, bundle_file, [section.name])
    request = enrol_request(section, bundle.manifest)
    with StateLock(folder):
        settle(folder)
        refuse_during_alert(section.name, _open_alert(folder, section.name), force=force)
        learned: Learned
        if files:
            shown = f"file:{files[0]}" + (f" and {len(files) - 1} more" if files[1:] else "")
            learned = learn_from_files(
                bundle,
                folder,
                files,
                replace(request, source=shown),
                now=time.time(),
                progress=bar.update,
                engine=engine,
            )
        else:
            recording, microphone = _record(folder, section, seconds or section.enrol_s, bar.update)
            learned = learn_from_recording(
                bundle,
                recording,
                replace(request, microphone=microphone),
                now=time.time(),
                progress=lambda done, text: bar.update(
                    _RECORDING_SHARE + done * (1 - _RECORDING_SHARE), text
                ),
                engine=engine,
            )
        install(folder, bundle, learned)
    return summary(learned.profile)


def _open_alert(folder: Path, monitor: str) -> State:
    """State that the daemon left behind: an alert that was open when it stopped still is."""
    if not (folder / FILE_NAME).exists():
        return State.UNKNOWN
    store = EventStore(folder, read_only=True)
    try:
        message = store.open_event(monitor)
    finally:
        store.close()
    return State.UNKNOWN if message is None else State(message.severity.value)


def _record(
    folder: Path, section: MonitorConfig, seconds: float, progress: Reply
) -> tuple[Path, str]:
    """Record one channel of a live source; where, and with which microphone."""
    channels = section.channel + 1
    thread = capture(section.name, section.source, once=True, channels=channels).start()
    try:
        writer: PieceWriter | None = None
        heard_at = time.monotonic()
        while writer is None or writer.written_s < seconds:
            block = thread.get(1.0)
            rate = thread.sample_rate
            if block is not None and rate is not None:
                heard_at = time.monotonic()
                target = profile_dir(folder, section.name) / "recording"
                writer = writer or PieceWriter(target, rate, section.channel)
                writer.push(block)
                done = min(1.0, writer.written_s / seconds)
                left_s = max(0.0, seconds - writer.written_s)
                progress(done * _RECORDING_SHARE, f"listening, {left_s:.0f} s to go")
                continue
            status = thread.status()
            if thread.spent or status.error:
                heard_s = writer.written_s if writer else 0.0
                raise status.error or DataError(
                    f"{section.source}: ended after {heard_s:.0f} s; {seconds:.0f} s are asked for"
                )
            if time.monotonic() - heard_at > _SOURCE_PATIENCE_S:
                raise CaptureError(f"{section.source}: no audio: {status.reason}")
        writer.close()
        return writer.folder, thread.status().identity
    finally:
        thread.close()


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{result['monitor']}: learned from {result['enrolled_s']:.0f} s of running, "
        f"gain {result['gain_db']:+.1f} dB, threshold {result['threshold']:.2f} "
        f"(alarm {result['alarm_threshold']:.2f})"
    )
    if result["provisional"]:
        click.echo(
            f"provisional: {result['asked_per_week']:g} false alarms a week are asked for, this "
            f"much audio supports {rate_text(result['supported_per_week'])}; the daemon "
            "recalibrates from quiet listening"
        )
    if not result["idle_heard"]:
        click.echo("the machine was never heard standing still: idle is guessed from a large drop")
