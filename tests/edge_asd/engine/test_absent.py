"""Where there is no TensorRT, nothing of it is loaded and nothing is looked for twice."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
sys.modules["tensorrt"] = None  # not installed, wherever this runs
from pathlib import Path
import edge_asd.cli.run
from edge_asd.bundle import load_bundle
from edge_asd.engine import EngineRequest, open_networks
from edge_asd.swap.engine_keeper import EngineKeeper
from edge_asd.health import HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.metrics.registry import Registry
from edge_asd.swap.swap import Serving

def spawn(name, _body):
    raise AssertionError(f"a thread was started: {name}")

request = EngineRequest(sys.argv[2], "auto", cache=Path(sys.argv[3]))
serving = Serving(open_networks(load_bundle(sys.argv[1]), request))
board = HealthBoard()
keeper = EngineKeeper(
    serving, lambda: request, board=board, metrics=Metrics(Registry(), version="test"),
    spawn=spawn, builds=True,
)
keeper.look()
print(board.snapshot()["engine"].status.value)
print(*(name for name, module in sys.modules.items() if module is not None))
"""
NEVER = ("tensorrt", "cuda", "edge_asd.swap.plan_build")
OURS = ("tensorrt", "cuda", "plan", "forge")


def loaded(bundle, name, folder):
    """How the engine stands, and every module that is loaded after the start of a daemon."""
    command = [sys.executable, "-c", _SCRIPT, bundle.path, name, folder]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    status, modules = told.splitlines()
    return status, modules.split()


def test_a_daemon_without_tensorrt_loads_nothing_of_it_and_starts_no_thread(tiny_bundle, tmp_path):
    status, modules = loaded(tiny_bundle, "auto", tmp_path)
    assert status == "healthy"
    for module in modules:
        assert module.split(".")[0] not in NEVER
        ours = module.removeprefix("edge_asd.engine.")
        assert ours == module or not ours.startswith(OURS), module
    assert not (tmp_path / "plans").exists()


def test_where_it_was_asked_for_by_name_its_absence_is_a_warning(tiny_bundle, tmp_path):
    assert loaded(tiny_bundle, "tensorrt", tmp_path)[0] == "warning"
