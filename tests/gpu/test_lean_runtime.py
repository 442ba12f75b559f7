"""TensorRT's lean runtime makes no engine of junk: in a child, because it may crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.genuine import fetched
from support.gpu import driver_major

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import tensorrt_lean_bindings
sys.modules["tensorrt"] = tensorrt_lean_bindings  # the same names as far as plans are run
from edge_asd.engine.cuda import Cuda
from edge_asd.engine.tensorrt_api import load
from edge_asd.engine.tensorrt_run import Plan
from edge_asd.errors import EngineError
cuda = Cuda()
cuda.enter()
try:
    Plan(load(), sys.stdin.buffer.read())
except EngineError as error:
    print("refused:", error)
else:
    print("accepted")
"""


def lean(cache):
    """Environment in which the lean runtime of the driver's CUDA can be imported."""
    major = 13 if driver_major() >= 13 else 12
    libraries = fetched(cache, f"tensorrt-lean-cu{major}-libs", "11.4.*", "--no-deps")
    bindings = fetched(cache, f"tensorrt-lean-cu{major}-bindings", "11.4.*", "--no-deps")
    cuda = fetched(cache, "cuda-bindings", "13.*" if major == 13 else "12.9.*")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (bindings, cuda, ROOT))),
        "LD_LIBRARY_PATH": str(libraries / "tensorrt_lean_libs"),
    }


@pytest.mark.parametrize("junk", [b"junk", bytes(4096), b"ptrt" + bytes(range(256)) * 16])
def test_junk_does_not_become_an_engine(pytestconfig, junk, record_property):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=junk,
        env=lean(pytestconfig.cache.mkdir("genuine")),
        capture_output=True,
        timeout=300,
        check=False,
    )
    record_property("outcome", f"exit code {done.returncode}: {done.stdout!r}")
    assert b"accepted" not in done.stdout
    assert done.stdout.startswith(b"refused:") or done.returncode < 0, done.stderr.decode()[-2000:]
