"""The parts of a run. Each has a process of its own: what goes wrong in one leaves the others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]

FEATEX = "featex-1.asd"
"""The bundle under test, in the folder of the run."""
_BUT_LOAD = tuple(
    word for part in ("throughput", "capacity", "cost", "latency") for word in ("--only", part)
)

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_TOLD = 300  # characters of what a part said last


@dataclass(frozen=True)
class Setting:
    """What all parts need to know."""

    folder: Path
    """Where everything is kept."""
    recordings: Path | None
    """Real recordings, if there are any."""


@dataclass(frozen=True)
class Part:
    """One of them."""

    name: str
    title: str
    limit_s: float
    """It is ended after this time."""
    measure: Callable[[Setting], Figures]
    pinned: bool = True
    """Keep all of it on one core."""


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    figures: Figures | None
    seconds: float
    problem: str = ""
    """Why there are no figures."""


# A part imports what it needs when it runs: libraries look at their cores while they load.


def _prepare(setting: Setting) -> Figures:
    from benchmarks.performance.material import Material  # noqa: PLC0415

    material = Material(setting.folder)
    material.prepare()
    return material.described()


def _contest(setting: Setting) -> Figures:
    from benchmarks.performance import contest, material  # noqa: PLC0415

    return contest.measure(material.Material(setting.folder))


def _roof(setting: Setting) -> Figures:
    from benchmarks.performance import material, roof  # noqa: PLC0415

    return roof.measure(material.Material(setting.folder))


def _steady(setting: Setting) -> Figures:
    from benchmarks.performance import steady  # noqa: PLC0415
    from edge_asd.bundle import load_bundle  # noqa: PLC0415

    return steady.measure(load_bundle(setting.folder / FEATEX))  # without torch in the process


def _accuracy(setting: Setting) -> Figures:
    from benchmarks.performance import accuracy, material  # noqa: PLC0415

    return accuracy.measure(material.Material(setting.folder), setting.recordings)


def _bench(*options: str) -> Callable[[Setting], Figures]:
    """``edge-asd bench`` with these options; what an owner of a device would run."""

    def measure(setting: Setting) -> Figures:
        command = [sys.executable, "-m", "edge_asd", "bench", "--json"]
        command += ["--state-dir", str(setting.folder / "state")]
        command += [str(setting.folder / one) if one == FEATEX else one for one in options]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"edge-asd bench failed with exit code {done.returncode}")
        found: Figures = json.loads(done.stdout)
        return found

    return measure


PARTS = (
    Part("prepare", "network and data", 900, _prepare, pinned=False),
    Part("contest", "alternative, pipelines and engines in turns", 600, _contest),
    Part("roof", "what the core could do", 240, _roof),
    Part("steady", "hours of sound", 480, _steady),
    Part(
        "bench-featex",
        "daemon, FeatEx on ONNX Runtime",
        600,
        _bench("--bundle", FEATEX, "--engine", "onnxruntime", "--precision", "fp32"),
        pinned=False,
    ),
    Part(
        "bench-featex-auto",
        "daemon, FeatEx on the fastest engine",
        600,
        _bench("--bundle", FEATEX, "--engine", "auto", *_BUT_LOAD),
        pinned=False,
    ),
    Part("bench-general", "daemon, the bundle that ships", 600, _bench(), pinned=False),
    Part("accuracy", "AUC on every engine", 900, _accuracy),
)


def run(part: Part, setting: Setting) -> Outcome:
    """Run a part in a process of its own.

    Args:
        part: Which.
        setting: For all.
    """
    folder = setting.folder / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    out, log = folder / f"{part.name}.json", folder / f"{part.name}.log"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.performance", "--part", part.name]
    command += ["--folder", str(setting.folder)]
    if setting.recordings is not None:
        command += ["--recordings", str(setting.recordings)]
    begun_s = time.monotonic()
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | (_ONE_THREAD if part.pinned else {}),
            start_new_session=True,
        )
        try:
            problem = _problem(process.wait(part.limit_s), log)
        except subprocess.TimeoutExpired:
            problem = f"not finished after {part.limit_s:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and children it may have left
            process.wait()
    seconds = time.monotonic() - begun_s
    if problem or not out.exists():
        return Outcome(None, seconds, problem or "it left no figures")
    return Outcome(json.loads(out.read_text(encoding="utf-8")), seconds)


def run_here(name: str, setting: Setting) -> None:
    """What the process of a part does."""
    part = next(part for part in PARTS if part.name == name)
    if part.pinned:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    text = json.dumps(part.measure(setting), indent=1)
    (setting.folder / "parts" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _problem(code: int, log: Path) -> str:
    """Why it failed, in what it said last; empty if it did not."""
    if code == 0:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{how}: {lines[-1][-_TOLD:] if lines else 'it said nothing'}"
