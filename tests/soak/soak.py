"""Run the daemon's own parts for a million windows, with faults drawn from a seed.

``make soak``, or ``tests/soak/soak.py --seed 1 --windows 1000000``. Ends with one summary; the exit
code is 1 if a promise was broken, and says which.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started as a script: its folder would hide the package
    _TESTS = Path(__file__).resolve().parents[1]
    sys.path[:1] = [str(_TESTS.parent), str(_TESTS)]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from edge_asd.errors import EdgeAsdError
from soak.audit import accounts, audit
from soak.board import Board
from soak.gauge import LONG_ENOUGH, Promise, measure
from soak.pace import StuckError
from soak.settings import MONITORS, QUOTA
from soak.witness import Witness

SAMPLES = 1000
EVERY = 200
"""Windows from one sample to the next, at least."""
SHORT = 50_000
"""A shorter run meets everything more often, so as to meet it at all."""
HURRY = 12.0
RESTARTS = 0.2
"""A longer run is not interrupted after so much of it: how memory grows is seen in one piece."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a soak."""

    promises: list[Promise]
    summary: dict[str, Any]

    @property
    def broken(self) -> list[Promise]:
        return [promise for promise in self.promises if not promise.kept]


def soak(
    folder: Path,
    *,
    seed: int,
    windows: int,
    broker: bool = True,
    tell: Callable[[int], None] = lambda _windows: None,
    meddle: Callable[[Board], None] = lambda _board: None,
) -> Outcome:
    """Run so many windows.

    Args:
        folder: For everything that is written; must exist.
        seed: Of everything that happens.
        windows: How many.
        broker: Whether to publish to a real mosquitto, where there is one.
        tell: Told how many there were, now and then.
        meddle: Called with every sample; for tests of the soak itself.
    """
    began_s, every = time.monotonic(), max(EVERY, windows // SAMPLES)
    hurry = HURRY if windows <= SHORT else 1.0
    with ExitStack() as last:
        witness = last.enter_context(Witness(folder / "said"))
        board = Board(folder, seed, hurry=hurry, broker=broker)
        last.callback(board.give_up)
        board.begin()
        due = 0
        while board.judged < windows:
            board.step()
            if windows > SHORT and board.judged > windows * RESTARTS:
                board.strikes.stop("restart")
            if board.judged >= due and board.disk_works:
                due = board.judged + every
                witness.flush()
                meddle(board)
                board.gauge.running.append(
                    measure(board.judged, board.state, but=board.own_children)
                )
                tell(board.judged)
        board.finish()
    promises = [
        *board.gauge.promises(QUOTA),
        *audit(board.state, MONITORS, board.life, witness),
        _exercised(board, windows),
    ]
    return Outcome(promises, _summary(board, witness, seed, time.monotonic() - began_s))


def _exercised(board: Board, windows: int) -> Promise:
    """Whether the soak met what it was to meet: without, it would promise little."""
    met = {*board.strikes.seen, *(kind for plan in board.plans.values() for kind in plan.seen)}
    missing = sorted(board.everything - met)
    text = f"{len(met)} kinds of faults" + (f", never {', '.join(missing)}" if missing else "")
    return Promise("faults were injected", windows < LONG_ENOUGH or not missing, text)


def _summary(board: Board, witness: Witness, seed: int, took_s: float) -> dict[str, Any]:
    totals = {monitor: accounts(board.state, monitor) for monitor in MONITORS}
    scenes = {name: dict(sorted(plan.seen.items())) for name, plan in board.plans.items()}
    samples = board.gauge.running
    return {
        "seed": seed,
        "windows": board.judged,
        "results": dict(sorted(board.windows.items())),
        "hours_of_audio": round(board.judged * 0.256 / 3600.0, 2),
        "hours_by_the_clock": round((board.life.ended_s - board.life.began_s) / 3600.0, 2),
        "took_s": round(took_s, 1),
        "cpu_s": round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}",
        "python": platform.python_version(),
        "slope_mb_per_100k": round(board.gauge.slope / 1e6, 4),
        "rss_mb": [round(samples[at].rss / 1e6, 1) for at in (0, len(samples) // 5, -1)],
        "first": asdict(samples[0]),
        "last": asdict(samples[-1]),
        "faults": scenes,
        "alerts": witness.count("event", "new"),
        "notices": witness.count("microphone", "new"),
        "strikes": dict(sorted(board.strikes.seen.items())),
        "programs": dict(sorted(board.programs.items())),
        "enrolments": dict(sorted(board.enrolled.items())),
        "restarts": board.restarts,
        "starts_refused": board.refused_starts,
        "clock_steps_s": sum(board.life.steps_s),
        "seconds": totals,
        "log": dict(witness.levels.most_common(20)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of everything that happens")
    parser.add_argument("--windows", type=int, default=1_000_000, help="how many")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    parser.add_argument("--no-broker", action="store_true", help="do not publish over MQTT")
    parser.add_argument("--folder", type=Path, help="keep everything here, a new folder")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (
        TextColumn("soak"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} windows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with ExitStack() as stack:
        folder = chosen.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        else:
            folder.mkdir(parents=True)
        bar = stack.enter_context(
            Progress(*columns, console=console, disable=not console.is_terminal)
        )
        task = bar.add_task("soak", total=chosen.windows)
        try:
            outcome = soak(
                folder,
                seed=chosen.seed,
                windows=chosen.windows,
                broker=not chosen.no_broker,
                tell=lambda done: bar.update(task, completed=done),
            )
        except (EdgeAsdError, StuckError) as error:
            sys.stdout.write(f"seed {chosen.seed}: the soak came to an end: {error}\n")
            return 1
    _show(outcome, as_json=chosen.json)
    return 1 if outcome.broken else 0


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        promises = [asdict(promise) for promise in outcome.promises]
        text = json.dumps({**outcome.summary, "promises": promises}, indent=1)
    else:
        lines = [f"{name}: {value}" for name, value in outcome.summary.items()]
        lines += [
            f"{'kept  ' if promise.kept else 'BROKEN'} {promise.name}: {promise.found}"
            for promise in outcome.promises
        ]
        text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    for promise in outcome.broken:
        sys.stderr.write(f"broken promise: {promise.name}: {promise.found}\n")


if __name__ == "__main__":
    sys.exit(main())
