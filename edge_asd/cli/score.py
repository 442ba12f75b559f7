"""``edge-asd score``: files against a profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edge_asd.bundle.store import choose_bundle
from edge_asd.cli.options import (
    chosen_engine,
    config_option,
    engine_option,
    json_option,
    monitor_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import open_networks
from edge_asd.errors import DataError
from edge_asd.profile import load_profile
from edge_asd.scoring import ScoredFile, score_file


@click.command("score")
@click.option("--monitor", required=True, metavar="NAME", help="Whose profile to compare with.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--windows", "per_window", is_flag=True, help="A line for every window.")
@click.option("--bundle", metavar="FILE", help="Bundle to use instead of the enrolled one.")
@engine_option
@config_option
@state_dir_option
@json_option
def command(
    *,
    monitor: str,
    files: tuple[str, ...],
    per_window: bool,
    bundle: str | None,
    engine: str | None,
    config_file: str | None,
    state_dir: str | None,
    as_json: bool,
) -> int:
    r"""Score sound files against what a monitor learned.

    A file is cut into overlapping windows; its score is their mean, higher is more anomalous. A
    file shorter than a window is repeated to fill one and marked "padded". The network runs on what
    the daemon would use, unless --engine says otherwise.

    \b
    Example:
        edge-asd score --monitor pump-1 today/*.wav
        edge-asd score --monitor pump-1 suspicious.wav --windows --json
    """
    folder = state_dir_path(state_dir)
    channel = monitor_config(config_file, monitor).channel
    chosen = choose_bundle(folder, bundle, [monitor])
    profile = load_profile(folder, monitor, chosen)
    networks = open_networks(chosen, chosen_engine(config_file, folder, engine))
    embedder = WindowEmbedder(networks)
    failed = 0
    for file in files:
        try:
            scored = score_file(embedder, profile, Path(file), channel)
        except DataError as error:
            # One bad file must not hide what the others say.
            click.echo(f"edge-asd: {error}", err=True)
            failed = error.exit_code
            continue
        for line in _lines(file, scored, per_window=per_window, as_json=as_json):
            click.echo(line)
    networks.close()
    return failed


def _lines(file: str, scored: ScoredFile, *, per_window: bool, as_json: bool) -> list[str]:
    rows: list[dict[str, Any]]
    if per_window:
        rows = [
            {"file": file, "start_s": round(start_s, 6), "score": float(score)}
            for start_s, score in zip(scored.starts_s, scored.window_scores, strict=True)
        ]
    else:
        rows = [
            {
                "file": file,
                "score": scored.score,
                "threshold": scored.threshold,
                "percentile": round(scored.percentile, 3),
                "anomalous": scored.anomalous,
                "windows": len(scored.window_scores),
                "padded": scored.padded,
            }
        ]
    if as_json:
        return [json.dumps(row) for row in rows]
    return [_text(row) for row in rows]


def _text(row: dict[str, Any]) -> str:
    if "start_s" in row:
        return f"{row['start_s']:10.3f} s  {row['score']:8.3f}  {row['file']}"
    verdict = "ANOMALOUS" if row["anomalous"] else "normal"
    padded = "  (padded)" if row["padded"] else ""
    return (
        f"{verdict:9}  score {row['score']:8.3f}  threshold {row['threshold']:8.3f}  "
        f"{row['file']}{padded}"
    )
