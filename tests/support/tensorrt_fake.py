"""Put the fake TensorRT and CUDA of ``fake_tensorrt`` before whatever is installed."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "fake_tensorrt"
_TOP = {"tensorrt", "cuda", "_faults"}


def environment(faults="", **more):
    """Environment of a child process that finds the fake; ``faults`` as in ``_faults``."""
    path = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "FAKE_TRT": faults} | more


@contextmanager
def fake_runtime(faults=""):
    """Let this process, and those it starts, find the fake; yields what sets other faults."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(faults).items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(FOLDER))
        genuine = _unload()
        try:
            yield lambda now: patch.setenv("FAKE_TRT", now)
        finally:
            _unload()
            sys.modules.update(genuine)


def _unload():
    """Forget the modules of either; returns them."""
    names = [name for name in sys.modules if name.split(".")[0] in _TOP]
    return {name: sys.modules.pop(name) for name in names}
