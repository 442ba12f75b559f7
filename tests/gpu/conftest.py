"""These tests need an NVIDIA GPU and fetch what they run there; `make test-gpu`."""

from __future__ import annotations

import sys

import pytest
from support.genuine import fetched
from support.gpu import driver_major, why_no_gpu


@pytest.fixture(scope="session", autouse=True)
def _gpu():
    reason = why_no_gpu()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cuda_bindings(pytestconfig):
    """Let `cuda.bindings` of the driver's CUDA be found, and the system's TensorRT."""
    version = "13.*" if driver_major() >= 13 else "12.9.*"
    folder = fetched(pytestconfig.cache.mkdir("genuine"), "cuda-bindings", version)
    before = list(sys.path)
    # JetPack's TensorRT lies with much that is older than what the tests run with: it comes last.
    minor = sys.version_info.minor
    system = [f"/usr/lib/python{name}/dist-packages" for name in (f"3.{minor}", "3")]
    sys.path[:] = [str(folder), *before, *system]
    yield
    sys.path[:] = before


@pytest.fixture
def cuda(cuda_bindings):  # noqa: ARG001 - found on the path from there on
    """The first GPU, its context current."""
    from edge_asd.engine.cuda import Cuda

    gpu = Cuda()
    gpu.enter()
    yield gpu
    gpu.close()
