"""Has TensorRT plans built and tried by a process that may crash or hang."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

from edge_asd.bundle import Bundle
from edge_asd.bundle.manifest import Network, Precision
from edge_asd.capture.child import Child
from edge_asd.engine.tensorrt import BuiltPlan, PlanOptions
from edge_asd.errors import CaptureError, EngineError, StallError
from edge_asd.files import memory_file

TRY_S = 120.0
"""For a start of Python, of CUDA, and a few inferences, on a slow board that is busy."""

_LINE_BYTES = 65_536
_END_S = 10.0
# Imports what this process would, and nothing from the folder it happens to stand in.
_BOOT = (
    "import os, sys; sys.path[:] = os.environ['EDGE_ASD_PATH'].split(os.pathsep); "
    "from edge_asd.engine.plan_child import main; main()"
)

Report = Callable[[float, str], None]
"""Told how far a build is, 0 to 1, and what it does."""


class CancelledError(EngineError):
    """The forge was closed; says nothing about the plan."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One network, and how its plan is to be."""

    bundle: Bundle
    network: Network
    precision: Precision

    @property
    def options(self) -> PlanOptions:
        """How it is built."""
        return PlanOptions(precision=self.precision)

    @property
    def label(self) -> str:
        """As shown to people."""
        return f"{self.bundle.label}/{self.network.id} in {self.precision}"


class Forge:
    """Runs one process at a time; used by one thread, closed by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False

    def build(
        self, piece: Piece, timing_cache: bytes, report: Report, *, deadline_s: float
    ) -> BuiltPlan:
        """Build a plan beside everything else, with a low priority.

        Args:
            piece: Of what.
            timing_cache: What builds before have measured; may be empty.
            report: Told of progress.
            deadline_s: It is ended if it takes longer.

        Raises:
            EngineError: It was refused, crashed, hung, or was cancelled by ``close``.
        """
        with memory_file() as plan, memory_file(timing_cache) as timing:
            what = f"TensorRT cannot build {piece.label}"
            files = {"plan": plan, "timing": timing}
            self._run("build", piece, what, files, deadline_s=deadline_s, report=report)
            return BuiltPlan(_content(plan), _content(timing))

    def prove(self, piece: Piece, plan: bytes) -> None:
        """Run a plan over the golden vectors of its bundle where it can harm nobody.

        Args:
            piece: What it is of.
            plan: As built.

        Raises:
            EngineError: It misses one of them, crashes or hangs.
        """
        with memory_file(plan) as file:
            what = f"the TensorRT plan of {piece.label} must not be used"
            self._run("try", piece, what, {"plan": file}, deadline_s=TRY_S)

    def close(self) -> None:
        """End what runs; nothing is begun any more."""
        with self._lock:
            self._closed, child = True, self._child
        if child is not None:
            child.close()

    def _run(
        self,
        task: str,
        piece: Piece,
        what: str,
        files: Mapping[str, BinaryIO],
        *,
        deadline_s: float,
        report: Report = lambda _done, _step: None,
    ) -> None:
        bundle = piece.bundle
        arguments = {
            "bundle": str(bundle.path),
            "sha256": bundle.sha256,
            "network": piece.network.id,
            "precision": piece.precision,
            **{name: str(file.fileno()) for name, file in files.items()},
        }
        argv = [sys.executable, "-c", _BOOT, task]
        argv += [word for name, value in arguments.items() for word in (f"--{name}", value)]
        try:
            with ExitStack() as closers:
                child = self._start(argv, what, [file.fileno() for file in files.values()])
                closers.callback(self._end, child)
                _listen(child, what, time.monotonic() + deadline_s, report)
        except StallError:
            remedy = "; engine.build_minutes gives it more" if task == "build" else ""
            raise EngineError(f"{what}: not done after {deadline_s:.0f} s{remedy}") from None
        except CaptureError as error:
            raise EngineError(str(error)) from error

    def _start(self, argv: list[str], what: str, descriptors: list[int]) -> Child:
        env = {**os.environ, "EDGE_ASD_PATH": os.pathsep.join(sys.path)}
        with self._lock:
            if self._closed:
                raise CancelledError(f"{what}: cancelled")
            self._child = Child(argv, what, "", env=env, hold_stdin=True, pass_fds=descriptors)
            return self._child

    def _end(self, child: Child) -> None:
        child.close()
        with self._lock:
            self._child = None


def _listen(child: Child, what: str, until: float, report: Report) -> None:
    """Follow a child to its last word."""
    while line := child.read_line(_LINE_BYTES, max(0.0, until - time.monotonic())):
        answer = _answer(line)
        if "done" in answer:
            return
        if "error" in answer:
            raise EngineError(f"{what}: {answer['error']}")
        if "progress" in answer:
            report(float(answer["progress"]), str(answer.get("step", "")))
    if child.closed:
        raise CancelledError(f"{what}: cancelled")
    code = child.wait(_END_S)
    raise EngineError(f"{what}: {_ending(code)}")


def _answer(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process left with code {code}"
    name = signal.Signals(-code).name
    if code == -signal.SIGKILL:
        return "its process was killed, probably for want of memory"
    return f"its process crashed ({name}) in TensorRT or the driver"


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
