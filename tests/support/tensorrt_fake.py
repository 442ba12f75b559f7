"""Put the fake TensorRT and CUDA of ``fake_tensorrt`` before whatever is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "fake_tensorrt"


def environment(faults="", **more):
    """Environment of a child process that finds the fake; ``faults`` as in ``_faults``."""
    path = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "FAKE_TRT": faults} | more


def install(monkeypatch, faults=""):
    """Let this process, and those it starts, find the fake until the test ends."""
    for name, value in environment(faults).items():
        monkeypatch.setenv(name, value)
    for name in [
        one for one in sys.modules if one.split(".")[0] in {"tensorrt", "cuda", "_faults"}
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(FOLDER))


def forget(monkeypatch):
    """Unload the fake, so that no later test meets it."""
    for name, module in list(sys.modules.items()):
        if str(FOLDER) in str(getattr(module, "__file__", "")):
            monkeypatch.delitem(sys.modules, name)
            del module
