"""The CUDA layer: statuses become errors, waiting ends, and everything is given back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.tensorrt_fake import fake_runtime

from edge_asd.engine.cuda import Buffer, Cuda, Graph, HangError, Stream
from edge_asd.errors import EngineError

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(autouse=True)
def fake():
    with fake_runtime() as faults:
        yield faults


@pytest.fixture
def cuda():
    gpu = Cuda()
    gpu.enter()
    yield gpu
    gpu.close()


class Clock:
    """Time passes by sleeping alone; once a sleep of no length came, the next takes over."""

    def __init__(self):
        self.now_s = 0.0
        self.polls = 0

    def sleep(self, seconds):
        self.polls += 1
        self.now_s += seconds or 0.001


def test_a_status_other_than_success_names_the_call_and_the_reason(fake, cuda):
    fake("no-memory")
    with pytest.raises(EngineError, match=r"cuMemAlloc failed: .*out_of_memory \(2\)"):
        Buffer(cuda, (2, 3), np.float32)


def test_a_function_that_the_driver_lacks_is_an_error_like_any_other(cuda):
    def missing(_stream):
        raise RuntimeError('Function "cuMissing" not found')

    cuda.api.cuMissing = missing
    with pytest.raises(EngineError, match="cuMissing"):
        cuda("cuMissing", 0)


def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(EngineError, match="finds no GPU"):
        Cuda(ordinal=1)


def test_bytes_come_back_as_they_went(cuda):
    stream, there = Stream(cuda), Buffer(cuda, VALUES.shape, VALUES.dtype)
    assert_array_equal(there.array, 0.0)
    there.array[...] = VALUES
    stream.upload(there, there.size_bytes)
    stream.wait(60.0)
    there.array[...] = 0
    stream.download(there, there.size_bytes)
    stream.wait(60.0)
    assert_array_equal(there.array, VALUES)


def test_where_memory_is_shared_nothing_is_copied():
    with fake_runtime("integrated"):
        cuda = Cuda()
        cuda.enter()
        stream, buffer = Stream(cuda), Buffer(cuda, VALUES.shape, VALUES.dtype)
        assert buffer.address == buffer.host_address
        buffer.array[...] = VALUES
        stream.download(buffer, buffer.size_bytes)
        stream.wait(60.0)
        assert_array_equal(buffer.array, VALUES)


def test_a_graph_does_again_what_was_recorded(cuda):
    stream, graph = Stream(cuda), Graph(cuda)
    buffer = Buffer(cuda, VALUES.shape, VALUES.dtype)
    with stream.recorded(graph):
        stream.upload(buffer, buffer.size_bytes)
    for factor in (1, 2):
        buffer.array[...] = VALUES * factor
        stream.launch(graph)
        stream.wait(60.0)
        buffer.array[...] = 0
        stream.download(buffer, buffer.size_bytes)
        stream.wait(60.0)
        assert_array_equal(buffer.array, VALUES * factor)


def test_an_error_while_recording_ends_the_recording(cuda):
    stream = Stream(cuda)
    with pytest.raises(ZeroDivisionError), stream.recorded(Graph(cuda)):
        raise ZeroDivisionError
    buffer = Buffer(cuda, VALUES.shape, VALUES.dtype)
    stream.upload(buffer, buffer.size_bytes)  # runs, and is not recorded
    stream.wait(60.0)


def test_waiting_ends_at_the_deadline_and_yields_the_core_meanwhile(cuda):
    clock = Clock()
    stream = Stream(cuda, clock=lambda: clock.now_s, sleep=clock.sleep)
    cuda.api._streams[stream.handle].failed = cuda.api.CUresult.CUDA_ERROR_NOT_READY
    with pytest.raises(HangError):
        stream.wait(1.0)
    assert 1.0 <= clock.now_s < 1.1
    assert clock.polls < 10_000


def test_everything_is_given_back():
    cuda = Cuda()
    cuda.enter()
    cuda.enter()
    stream, graph = Stream(cuda), Graph(cuda)
    buffer = Buffer(cuda, VALUES.shape, VALUES.dtype)
    with stream.recorded(graph):
        stream.upload(buffer, buffer.size_bytes)
    assert len(cuda.api._held()) == 5
    for one in (graph, buffer, stream, cuda):
        one.close()
    assert cuda.api._held() == {}
    graph.close()
    cuda.close()
