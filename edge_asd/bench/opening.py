"""The engine that is measured, made ready: a TensorRT plan that is missing is built first."""

from __future__ import annotations

import contextlib

from edge_asd.bundle import Bundle
from edge_asd.engine.forge import Forge
from edge_asd.engine.plans import NotBuilt, Plans, open_tensorrt
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.enrol import Progress
from edge_asd.errors import EngineError


def make_ready(bundle: Bundle, request: EngineRequest, progress: Progress) -> None:
    """Build what a daemon with the same request would build in its background.

    Args:
        bundle: Whose networks.
        request: Which engine.
        progress: Told how far a plan is, which takes minutes.

    Raises:
        EdgeAsdError: TensorRT was asked for and cannot be had: it is not replaced.
    """
    if request.name not in ("auto", "tensorrt"):
        return
    found = open_tensorrt(bundle, request)
    if isinstance(found, NotBuilt):
        if not found.buildable:
            if request.name == "tensorrt":
                raise EngineError(f"TensorRT cannot be measured: {found.reason}")
            return
        with contextlib.closing(Forge()) as forge:
            found = Plans(bundle, request).build(forge, progress)
    for engine in found.values():
        engine.close()  # it is opened again as the daemon does, from its plan
