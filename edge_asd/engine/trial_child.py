"""Tries CPU engines in a process of its own and prints what they cost.

A process of its own, since a runtime that is tried and not chosen would keep its memory, and one
that crashes must not take the daemon along.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from edge_asd.bundle import Bundle, load_bundle
from edge_asd.engine.candidates import Candidate, candidates
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.proven import open_proven
from edge_asd.engine.timing import windows_s
from edge_asd.engine.trial import Trial
from edge_asd.engine.trial_file import Tried, available_bytes, dump, trial_key
from edge_asd.engine_request import Arithmetic, EngineName, EngineRequest
from edge_asd.errors import EdgeAsdError


def main(path: str, name: str, precision: str, threads: str) -> None:
    """Try what a request leaves open, and print it."""
    free_bytes = available_bytes()
    bundle = load_bundle(path)
    request = EngineRequest(cast("EngineName", name), cast("Arithmetic", precision), int(threads))
    wanted = candidates(request).candidates
    trials = try_engines(bundle, wanted, request.threads)
    key = trial_key(bundle, request.threads, wanted)
    sys.stdout.buffer.write(dump(Tried(key=key, trials=trials, available_bytes=free_bytes)))


def try_engines(bundle: Bundle, wanted: Sequence[Candidate], threads: int) -> tuple[Trial, ...]:
    """Open, prove and time engines."""
    opened: dict[Candidate, NetworkSet] = {}
    refused: dict[Candidate, str] = {}
    memory: dict[Candidate, int] = {}
    before: dict[str, int] = {}
    for one in wanted:
        # The second engine of a runtime is charged with the first one's networks, too.
        base = before.setdefault(one.name, _resident_bytes())
        try:
            opened[one] = open_proven(bundle, one, threads)
        except EdgeAsdError as error:
            refused[one] = str(error)
        memory[one] = max(0, _resident_bytes() - base)
    times = windows_s(opened, threads)
    return tuple(
        Trial(
            name=one.name,
            precision=one.precision,
            window_s=times.get(one),
            memory_bytes=memory[one],
            refused=refused.get(one, ""),
        )
        for one in wanted
    )


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()
