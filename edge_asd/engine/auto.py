"""Which CPU engine serves: tried once on this computer, remembered, said."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

from edge_asd.bundle import Bundle
from edge_asd.engine.candidates import Candidate, candidates
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.proven import open_proven
from edge_asd.engine.timing import windows_s
from edge_asd.engine.trial import WORTH_OF_HOP, decide
from edge_asd.engine.trial_file import Tried, parse, recall, remember, trial_key
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import EngineError

logger = logging.getLogger(__name__)

_TRIAL_S = 60.0
"""A trial takes a second or two; on a slow board under load ten."""
# Imports what this process would, and nothing from the folder it happens to stand in.
_BOOT = (
    "import os, sys; sys.path[:] = os.environ['EDGE_ASD_PATH'].split(os.pathsep); "
    "from edge_asd.engine.trial_child import main; main(*sys.argv[1:])"
)


def open_cpu(bundle: Bundle, request: EngineRequest) -> NetworkSet:
    """Networks on the CPU engine that is asked for, or that serves best here.

    Nothing is tried where one engine is left, nor where a window is so cheap already that no other
    runtime is worth its memory.

    Raises:
        BundleError: The bundle does not hold a network in that precision.
        ConfigError: OpenVINO is asked for and cannot run here, or the engine does not compute in
            the precision.
        EngineError: The runtime refuses a network, or does not reproduce the golden embeddings.
    """
    field = candidates(request)
    first, *others = field.candidates
    if not others:
        return open_proven(bundle, first, request.threads, field.reason)
    tried = recall(request.cache, trial_key(bundle, request.threads, field.candidates))
    if tried is None and all(other.name != first.name for other in others):
        networks = _cheap_enough(bundle, first, request.threads)
        if networks is not None:
            return networks
    chosen, reason = _choice(bundle, request, field.candidates, tried)
    try:
        return open_proven(bundle, chosen, request.threads, reason)
    except EngineError as error:
        if chosen == first:
            raise
        logger.warning("engine=%s not used error=%s", chosen, error)
        return open_proven(bundle, first, request.threads, f"{chosen} failed: {error}")


def _hop_s(bundle: Bundle) -> float:
    return bundle.manifest.hop_samples / bundle.manifest.sample_rate


def _cheap_enough(bundle: Bundle, candidate: Candidate, threads: int) -> NetworkSet | None:
    """Networks on an engine if nothing could be gained with another."""
    networks = open_proven(bundle, candidate, threads)
    spent_s = windows_s({"": networks}, threads)[""]
    if spent_s <= WORTH_OF_HOP * _hop_s(bundle):
        networks.reason = f"{spent_s * 1e3:.2g} ms a window leave nothing to gain"
        return networks
    networks.close()
    return None


def _choice(
    bundle: Bundle, request: EngineRequest, wanted: tuple[Candidate, ...], tried: Tried | None
) -> tuple[Candidate, str]:
    """The engine that is best by what was tried, now or earlier, and why."""
    try:
        tried = tried or _try(bundle, request, wanted)
    except EngineError as error:
        return wanted[0], str(error)
    return decide(tried.trials, hop_s=_hop_s(bundle), available_bytes=tried.available_bytes)


def _try(bundle: Bundle, request: EngineRequest, wanted: tuple[Candidate, ...]) -> Tried:
    """Have the engines tried by a child, and remember the result.

    Raises:
        EngineError: There is none.
    """
    if bundle.path is None:
        raise EngineError("engines are not compared: the bundle lies in no file")
    arguments = [str(bundle.path), request.name, request.precision, str(request.threads)]
    env = {**os.environ, "EDGE_ASD_PATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", _BOOT, *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"engines could not be compared: {error}") from error
    tried = parse(done.stdout, trial_key(bundle, request.threads, wanted))
    if tried is None:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineError(f"engines could not be compared: exit {done.returncode} {last}".rstrip())
    remember(request.cache, tried)
    return tried
