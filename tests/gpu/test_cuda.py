"""The CUDA layer on a real GPU: kernels, copies, mapped memory, graphs, and waiting that ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.gpu import DOUBLE, SPIN, launcher

from edge_asd.engine.cuda import Buffer, Graph, HangError, Stream

GENEROUS_S = 60.0
VALUES = np.arange(1000, dtype=np.float32)
GRID = {"blocks": 8, "threads": 128}  # more threads than values


@pytest.fixture
def stream(cuda):
    with_events = Stream(cuda)
    yield with_events
    with_events.close()


@pytest.fixture
def buffer(cuda):
    memory = Buffer(cuda, VALUES.shape, VALUES.dtype)
    memory.array[...] = VALUES
    yield memory
    memory.close()


def mapped(cuda, buffer):
    """Where the GPU finds the host's own bytes of a buffer."""
    return int(cuda("cuMemHostGetDevicePointer", buffer.host_address, 0))


def test_the_gpu_says_what_it_is(cuda):
    major, minor = map(int, cuda.gpu.compute_capability.split("."))
    assert cuda.gpu.name
    assert major >= 5
    assert 0 <= minor <= 9
    assert float(cuda.gpu.driver) >= 12.0


def test_a_kernel_works_on_what_was_copied_there_and_back(cuda, stream, buffer):
    twice = launcher(cuda, DOUBLE)
    stream.upload(buffer, buffer.size_bytes)
    twice(stream, buffer.address, len(VALUES), **GRID)
    stream.download(buffer, buffer.size_bytes)
    stream.wait(GENEROUS_S)
    assert_array_equal(buffer.array, 2 * VALUES)


def test_a_kernel_works_on_mapped_memory_without_a_copy(cuda, stream, buffer):
    launcher(cuda, DOUBLE)(stream, mapped(cuda, buffer), len(VALUES), **GRID)
    stream.wait(GENEROUS_S)
    assert_array_equal(buffer.array, 2 * VALUES)


def test_a_graph_of_copies_and_a_kernel_is_replayed_with_new_values(cuda, stream, buffer):
    twice, graph = launcher(cuda, DOUBLE), Graph(cuda)

    def work():
        stream.upload(buffer, buffer.size_bytes)
        twice(stream, buffer.address, len(VALUES), **GRID)
        stream.download(buffer, buffer.size_bytes)

    work()
    stream.wait(GENEROUS_S)
    with stream.recorded(graph):
        work()
    stream.wait(GENEROUS_S)
    assert_array_equal(buffer.array, 2 * VALUES)  # recorded, not run
    for factor in (1, -3, 5):
        buffer.array[...] = factor * VALUES
        stream.launch(graph)
        stream.wait(GENEROUS_S)
        assert_array_equal(buffer.array, 2 * factor * VALUES)
    graph.close()


def test_an_error_while_recording_leaves_the_stream_usable(cuda, stream, buffer):
    def fail():
        with stream.recorded(Graph(cuda)):
            stream.upload(buffer, buffer.size_bytes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    stream.upload(buffer, buffer.size_bytes)
    stream.wait(GENEROUS_S)


def test_streams_do_not_wait_for_each_other(cuda, stream, buffer):
    spin, twice, flag = launcher(cuda, SPIN), launcher(cuda, DOUBLE), Buffer(cuda, (1,), np.uint32)
    other = Stream(cuda)
    spin(other, mapped(cuda, flag), threads=1)
    twice(stream, mapped(cuda, buffer), len(VALUES), **GRID)
    stream.wait(GENEROUS_S)
    assert_array_equal(buffer.array, 2 * VALUES)
    flag.array[0] = 1
    other.wait(GENEROUS_S)
    for one in (other, flag):
        one.close()


def test_waiting_for_a_kernel_that_runs_on_ends_at_the_deadline(cuda, stream):
    spin, flag = launcher(cuda, SPIN), Buffer(cuda, (1,), np.uint32)
    spin(stream, mapped(cuda, flag), threads=1)
    started = time.monotonic()
    with pytest.raises(HangError):
        stream.wait(0.3)
    assert time.monotonic() - started < 30.0
    flag.array[0] = 1
    stream.wait(GENEROUS_S)  # it was alive after all
    flag.close()


def test_waiting_lasts_until_the_kernel_has_ended(cuda, stream):
    spin, flag = launcher(cuda, SPIN), Buffer(cuda, (1,), np.uint32)
    spin(stream, mapped(cuda, flag), threads=1)
    released = threading.Event()

    def release():
        released.set()
        flag.array[0] = 1

    timer = threading.Timer(0.5, release)
    timer.start()
    stream.wait(GENEROUS_S)
    assert released.is_set()
    timer.join()
    flag.close()


@pytest.mark.usefixtures("cuda_bindings")
def test_a_kernel_that_writes_where_it_must_not_is_an_error():
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from edge_asd.engine.cuda import Cuda, Stream
from edge_asd.errors import EngineError
from support.gpu import DOUBLE, launcher
cuda = Cuda()
cuda.enter()
stream = Stream(cuda)
launcher(cuda, DOUBLE)(stream, 8, 32)
try:
    stream.wait(60.0)
except EngineError as error:
    print("refused:", error)
"""
    child = [sys.executable, "-c", program]  # the context of a process does not survive it
    done = subprocess.run(child, capture_output=True, text=True, timeout=300, check=False)
    assert "refused: CUDA: the GPU failed" in done.stdout, done.stderr
