"""A data set of simulated machines in the layout of DCASE 2023 task 2.

::

    ROOT/dataset.json
    ROOT/<machine>/attributes_00.csv
    ROOT/<machine>/{train,test}/section_00_{source|target}_{train|test}_{normal|anomaly}_<iiii>_
        spd_<percent>_load_<percent>_n_<place>.wav

File names tell what those of DCASE tell: domain, label and operating conditions. Which fault an
anomalous clip has and how badly stands in ``dataset.json`` only.

It is hard but solvable. Measured with ``python benchmarks/difficulty.py --seed S --clips 200``:
log-mel nearest neighbour (official, percent), level alone (AUC), a classifier that is shown the
faults (AUC, mean and least over the machines), and one that is shown severity 0, which must know
nothing (AUC):

==============================  =======  =====  ============  ==========
difficulty                      log-mel  level  shown faults  severity 0
==============================  =======  =====  ============  ==========
default, seed 1                    69.4   58.1  99.2 (98.0)         48.9
default, seed 2                    63.6   53.5  97.4 (88.2)         49.1
hard, seed 1, ``--clips 60``       56.7   52.3  95.4 (91.3)         48.0
==============================  =======  =====  ============  ==========
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile

import edge_asd
from edge_asd.errors import StorageError, UsageError
from edge_asd_train.datasets.simulated_clip import find_recordings, render_clip
from edge_asd_train.datasets.simulated_options import Options
from edge_asd_train.datasets.simulated_plan import (
    PlannedClip,
    draw_world,
    plan_tests,
    plan_training,
)

GENERATOR_VERSION = 1
"""Raised whenever the same options give other samples."""

DESCRIPTION = "dataset.json"
ATTRIBUTES = "attributes_00.csv"
_WAV_HEADER_BYTES = 44
_SOME = 8
"""Clips that a process renders at a time: an interruption waits for them."""


def write_simulated_set(
    out: Path,
    options: Options,
    *,
    noise: Path | None = None,
    processes: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a whole set, or nothing.

    Args:
        out: Must not exist yet, so that two sets are never mixed.
        options: Same options, same bytes, whatever ``processes`` is.
        noise: Any tree of recordings to mix into every clip.
        processes: How many render side by side, at least 1.
        progress: Told the number of files written since the last call.

    Raises:
        UsageError: ``out`` exists.
        DataError: There are no recordings, or one cannot be read.
        StorageError: The set cannot be written, for instance because the disk is full.
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out}: exists already; choose another folder")
    recordings = find_recordings(noise) if noise else ()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _refuse_a_small_disk(out.parent, options)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            clips = _write_tables(partial, options, noise, recordings)
            _render_all(
                partial,
                clips,
                options.duration_s,
                recordings,
                processes=processes,
                progress=progress,
            )
            partial.chmod(0o777 & ~_umask())
            partial.rename(out)
        except BaseException:  # an interruption too leaves nothing half behind
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise StorageError(
            f"{out}: cannot be written: {error.strerror}; free space or correct the permissions"
        ) from error


def _umask() -> int:
    """What new folders of this process are not allowed; mkdtemp's are private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_a_small_disk(folder: Path, options: Options) -> None:
    """Rather than after hours of rendering."""
    clip_bytes = _WAV_HEADER_BYTES + 2 * round(options.duration_s * options.sample_rate)
    needed = options.all_clips * clip_bytes
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{folder}: the set needs {needed / 1e9:.1f} GB but {free / 1e9:.1f} GB are free; "
            "free space or ask for fewer clips"
        )


def _write_tables(
    root: Path, options: Options, noise: Path | None, recordings: Sequence[Path]
) -> list[PlannedClip]:
    """Make the folders, write attributes and description; the clips that are to be rendered."""
    machines: dict[str, dict[str, Any]] = {}
    clips: list[PlannedClip] = []
    for number in range(options.machines):
        world = draw_world(options, number)
        plan = plan_training(options, world) + plan_tests(options, world)
        for split in ("train", "test"):
            (root / world.machine / split).mkdir(parents=True)
        (root / world.machine / ATTRIBUTES).write_text(_attributes(plan), encoding="utf-8")
        machines[world.machine] = {"kind": world.scene.kind, "unit": world.scene.unit}
        clips += plan
    named = [path.relative_to(noise).as_posix() for path in recordings] if noise else []
    description = {
        "generator": {
            "name": "edge-asd-train simulate",
            "version": GENERATOR_VERSION,
            "edge_asd": edge_asd.__version__,
        },
        "options": asdict(options) | {"noise_recordings": named},
        "machines": machines,
        "anomalies": {
            clip.path: {"fault": clip.fault.name, "severity": clip.fault.severity}
            for clip in clips
            if clip.fault
        },
    }
    text = json.dumps(description, indent=1) + "\n"
    (root / DESCRIPTION).write_text(text, encoding="utf-8")
    return clips


def _attributes(plan: Sequence[PlannedClip]) -> str:
    """The attribute table of a machine: a row a file, two columns (name, value) an attribute."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    pairs = range(1, 1 + len(plan[0].point.attributes))
    table.writerow(["file_name", *(f"d{n}{column}" for n in pairs for column in "pv")])
    for clip in plan:
        table.writerow([clip.path, *(part for pair in clip.point.attributes for part in pair)])
    return text.getvalue()


def _render_all(
    root: Path,
    clips: Sequence[PlannedClip],
    duration_s: float,
    recordings: Sequence[Path],
    *,
    processes: int,
    progress: Callable[[int], None],
) -> None:
    """Render and write every clip, in processes of their own unless there is only one."""
    if processes == 1:
        for clip in clips:
            _render_some(root, [clip], duration_s, recordings)
            progress(1)
        return
    # Neighbours share a machine and a place, whose kernels a process then keeps.
    parts = [clips[first : first + _SOME] for first in range(0, len(clips), _SOME)]
    # Spawned, not forked: the parent may have torch's threads running.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(processes, len(parts)), mp_context=context, initializer=_leave_interrupts
    )
    try:
        running = {pool.submit(_render_some, root, part, duration_s, recordings) for part in parts}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for part in done:
                progress(part.result())
    except BrokenProcessPool as error:
        raise StorageError(
            f"{root.parent}: a rendering process was killed, perhaps for want of memory; "
            "use fewer processes"
        ) from error
    finally:
        # Waits for what is being rendered, so that nobody writes into the folder any more.
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of the terminal; only the parent acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _render_some(
    root: Path, clips: Sequence[PlannedClip], duration_s: float, recordings: Sequence[Path]
) -> int:
    """Render and write some clips; how many."""
    for clip in clips:
        samples = render_clip(clip, duration_s, recordings)
        # Encoded in memory: written directly, a full disk would end in an assertion.
        encoded = io.BytesIO()
        soundfile.write(encoded, samples, clip.scene.sample_rate, subtype="PCM_16", format="WAV")
        (root / clip.path).write_bytes(encoded.getvalue())
    return len(clips)
