"""The process that builds a TensorRT plan, or tries one; started by `edge_asd.engine.forge`.

A parser, a builder and a driver in native code may crash, hang or fill the memory: here that ends
nobody else. Plans come and go by descriptors of files in memory, progress by lines of JSON; it
leaves when its owner does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_asd.bundle import Bundle, load_bundle
from edge_asd.engine.golden import check_golden
from edge_asd.engine.tensorrt import PlanOptions, TensorRtEngine, build_plan
from edge_asd.errors import BundleError, EdgeAsdError

_EVERY_S = 0.5
_NICE = 10
_OOM_SCORE = 500
"""What serves meanwhile comes first, and where memory runs out it stays."""


def main() -> None:
    """Build or try one plan, and leave."""
    parser = argparse.ArgumentParser(prog="plan_child", description=__doc__)
    parser.add_argument("what", choices=("build", "try"))
    parser.add_argument("--bundle", required=True, help="file")
    parser.add_argument("--sha256", required=True, help="of that file")
    parser.add_argument("--network", required=True, help="id within it")
    parser.add_argument("--precision", required=True, choices=("fp16", "fp32"))
    parser.add_argument("--plan", type=int, required=True, help="descriptor of the plan")
    parser.add_argument("--timing", type=int, default=-1, help="descriptor of the timing cache")
    arguments = parser.parse_args()
    # Libraries may print: what they print must not get between the lines.
    say = _speaker(os.dup(1))
    os.dup2(2, 1)
    threading.Thread(target=_leave_with_owner, name="owner", daemon=True).start()
    try:
        (_build if arguments.what == "build" else _try)(arguments, say)
        say({"done": True})
    except EdgeAsdError as error:
        say({"error": str(error)})
    except Exception as error:  # noqa: BLE001 - the owner must hear of it, whatever it is
        say({"error": f"unexpected {type(error).__name__}: {error}"})
    # Without clean-up: a driver's own can hang.
    os._exit(0)


def _build(arguments: argparse.Namespace, say: Callable[[dict[str, Any]], None]) -> None:
    os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    precision = arguments.precision
    onnx = _bundle(arguments).network(arguments.network, precision)
    told_s = -_EVERY_S

    def report(done: float, step: str) -> bool:
        nonlocal told_s
        if time.monotonic() - told_s >= _EVERY_S:
            told_s = time.monotonic()
            say({"progress": done, "step": step})
        return True

    built = build_plan(onnx, PlanOptions(precision=precision), _read(arguments.timing), report)
    _write(arguments.plan, built.plan)
    _write(arguments.timing, built.timing_cache)


def _try(arguments: argparse.Namespace, _say: Callable[[dict[str, Any]], None]) -> None:
    bundle = _bundle(arguments)
    network = next(one for one in bundle.manifest.networks if one.id == arguments.network)
    engine = TensorRtEngine(
        _read(arguments.plan),
        f"{bundle.label}/{network.id}",
        precision=arguments.precision,
    )
    check_golden(bundle, network, engine, network.tolerance(arguments.precision))


def _bundle(arguments: argparse.Namespace) -> Bundle:
    bundle = load_bundle(arguments.bundle)
    if bundle.sha256 != arguments.sha256:
        raise BundleError(f"{arguments.bundle}: is another file now; start edge-asd again")
    return bundle


def _speaker(descriptor: int) -> Callable[[dict[str, Any]], None]:
    def say(answer: dict[str, Any]) -> None:
        try:
            os.write(descriptor, json.dumps(answer).encode() + b"\n")
        except BrokenPipeError:
            os._exit(0)  # the owner is gone

    return say


def _leave_with_owner() -> None:
    """End with the owner even while a library holds the main thread."""
    os.read(0, 1)
    os._exit(0)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read()


def _write(descriptor: int, data: bytes) -> None:
    with open(descriptor, "r+b", closefd=False) as file:
        file.seek(0)
        file.truncate()
        file.write(data)


if __name__ == "__main__":
    main()
