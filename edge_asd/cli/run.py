"""``edge-asd run``: the daemon."""

from __future__ import annotations

import os
from typing import Any

import click

from edge_asd.cli.options import (
    config_option,
    config_path,
    read_config,
    set_up_logging,
    state_dir_option,
    state_dir_path,
)
from edge_asd.config import Config
from edge_asd.daemon import Daemon, RunOptions
from edge_asd.errors import ConfigError
from edge_asd.notify import Notifier


@click.command("run")
@config_option
@click.option("--monitor", metavar="NAME", help="Name of the one monitor to run.")
@click.option("--source", metavar="URI", help="alsa:…, file:…, exec:… or sim:… for that monitor.")
@click.option("--mqtt", metavar="URL", help="Broker: mqtt://host:1883 or mqtts://host:8883.")
@click.option("--http", metavar="ADDR", help="Metrics and health (default 127.0.0.1:9108).")
@click.option("--jsonl", metavar="FILE", help="Append events to FILE as JSON lines; - is stdout.")
@click.option("--bundle", metavar="FILE", help="Bundle to use instead of the enrolled one.")
@state_dir_option
@click.option("--once", is_flag=True, help="Leave when finite sources are spent and delivered.")
@click.option("-v", "--verbose", count=True, help="Log every window.")
def command(
    *,
    config_file: str | None,
    monitor: str | None,
    source: str | None,
    mqtt: str | None,
    http: str | None,
    jsonl: str | None,
    bundle: str | None,
    state_dir: str | None,
    once: bool,
    verbose: int,
) -> int:
    r"""Listen, score, decide and publish until stopped.

    A monitor without a profile learns its machine's normal sound first (state "baselining").
    SIGTERM and Ctrl-C end it cleanly: what was decided is on disk and is delivered, now or at the
    next start.

    \b
    Example:
        edge-asd run --config /etc/edge-asd/config.yaml
        edge-asd run --monitor fan --source file:/data/fan --mqtt mqtt://localhost --once
    """
    set_up_logging(verbose)
    changes: dict[str, Any] = {}
    if mqtt is not None:
        changes["mqtt"] = {"url": mqtt}
    if http is not None:
        changes["http"] = {"listen": http}
    if jsonl is not None:
        changes["jsonl"] = {"path": jsonl}
    if bundle is not None:
        changes["bundle"] = bundle
    path = config_path(config_file)

    def read() -> Config:
        if config_path(config_file) is None and path is not None:
            # By the defaults every monitor would be lost.
            raise ConfigError(f"{path}: is not there any more; put it back")
        return read_config(config_file, monitor=monitor, source=source, changes=changes)

    config = read()
    options = RunOptions(state_dir_path(state_dir), once=once, reread=read)
    return Daemon(config, options, Notifier.from_environment(os.environ)).run()
