"""``edge-asd bench``: what this machine can do."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import click

from edge_asd.cli.bar import Bar
from edge_asd.cli.options import (
    chosen_engine,
    config_option,
    engine_option,
    json_option,
    state_dir_option,
    state_dir_path,
)
from edge_asd.engine_request import Arithmetic, EngineRequest
from edge_asd.errors import StorageError

PARTS = ("throughput", "capacity", "cost", "latency", "load")


@click.command("bench")
@click.option("--bundle", metavar="FILE", help="What scores (default: the built-in bundle).")
@engine_option
@click.option(
    "--precision",
    type=click.Choice(get_args(Arithmetic)),
    help="What the engine computes in (default: as configured).",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    help="Of the engine (default: as configured); as many cores are measured together.",
)
@click.option("--quick", is_flag=True, help="Roughly, in about half a minute.")
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this part; may be repeated (default: all).",
)
@click.option(
    "--load",
    type=click.FloatRange(0.1, 1.0),
    default=0.8,
    show_default=True,
    help="Share of its capacity that the loaded daemon gets.",
)
@click.option(
    "--source",
    metavar="URI",
    help="What the daemon with one monitor listens to, such as alsa: (default: simulated sound).",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw stages, capacity and latency as PNG.",
)
@config_option
@state_dir_option
@json_option
def command(
    *,
    bundle: str | None,
    engine: str | None,
    precision: str | None,
    threads: int | None,
    quick: bool,
    only: tuple[str, ...],
    load: float,
    source: str | None,
    picture: Path | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> int:
    r"""Measure what this machine can do; nothing may run beside it, and it takes three minutes.

    \b
    throughput  windows a second of one core: the engine alone, the whole pipeline, their ratio
    capacity    monitors that one core sustains in real time
    cost        processor time, memory and start of a daemon with one monitor
    latency     from a window's last sample until the MQTT broker has its event
    load        the same while a daemon has most of the monitors that fit on a core

    Latency needs a mosquitto on this machine (apt install mosquitto); a broker and daemons of its
    own are started on loopback and ended; they write to the disk of the state directory. A TensorRT
    plan that is missing is built first, which takes minutes, and kept for the service. With --json,
    what could not be measured is null, and the reason stands under "not_measured".

    \b
    Example:
        edge-asd bench
        edge-asd bench --json --picture bench.png > bench.json
        edge-asd bench --engine tensorrt --precision fp16
        edge-asd bench --quick --only throughput --bundle mine.asd

    Exit codes: 0 measured, 65 the bundle is no good, 69 the engine is not there or fails.
    """
    # The rest of this command line needs none of it.
    from edge_asd.bench.course import FULL, QUICK, Part  # noqa: PLC0415 - see above
    from edge_asd.bench.picture import draw  # noqa: PLC0415 - see above
    from edge_asd.bench.run import BenchOptions, run_bench  # noqa: PLC0415 - see above
    from edge_asd.bench.text import lines_of  # noqa: PLC0415 - see above
    from edge_asd.bundle import builtin_bundle, load_bundle  # noqa: PLC0415 - see above

    options = BenchOptions(
        load_bundle(bundle or builtin_bundle()),
        _request(chosen_engine(config_file, state_dir_path(state_dir), engine), precision, threads),
        cast("tuple[Part, ...]", only or PARTS),
        QUICK if quick else FULL,
        load,
        source,
    )
    place = state_dir_path(state_dir)
    with _ended_by_sigterm(), _folder(place) as folder, Bar(quiet=False) as bar:
        result = run_bench(options, folder, bar.update)
    if picture is not None:
        _write(picture, draw(result))
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return 0
    for line in lines_of(result):
        click.echo(line)
    return 0


def _request(asked: EngineRequest, precision: str | None, threads: int | None) -> EngineRequest:
    """The operator's engine with what the command line says on top, and a folder for its cache."""
    if precision is not None:
        asked = replace(asked, precision=cast("Arithmetic", precision))
    if threads is not None:
        asked = replace(asked, threads=threads)
    if asked.cache is not None:
        try:
            asked.cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{asked.cache}: {error.strerror}; --state-dir names another place"
            ) from error
    return asked


@contextmanager
def _folder(state_dir: Path) -> Iterator[Path]:
    """For daemons, sound and logs, on the disk that the service waits for; gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=state_dir) as name:
            yield Path(name)
    except OSError as error:
        raise StorageError(f"{state_dir}: {error.strerror}") from error


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """End as Ctrl-C does: no process may be left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write(file: Path, png: bytes) -> None:
    try:
        file.write_bytes(png)
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error
