"""The driver API as far as ``edge_asd.engine.cuda`` touches it: host memory stands for the GPU's.

What is enqueued runs only when somebody waits for it, one query later than he may hope: whoever
reads a result without having waited reads what was there before.
"""

import ctypes
import functools
import itertools
import threading
from enum import IntEnum

import _faults

CU_MEMHOSTALLOC_PORTABLE = 1
CU_MEMHOSTALLOC_DEVICEMAP = 2

_handles = itertools.count(0x1000)
_memory = {}  # address -> what keeps it
_streams = {}  # handle -> _Stream
_events = {}
_graphs = {}
_contexts = []  # retained and not released
_served = itertools.count()
_thread = threading.local()  # .context: each thread has its own


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class CUdevice_attribute(IntEnum):
    CU_DEVICE_ATTRIBUTE_INTEGRATED = 18
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


class CUstream_flags(IntEnum):
    CU_STREAM_NON_BLOCKING = 1


class CUevent_flags(IntEnum):
    CU_EVENT_DISABLE_TIMING = 2


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


_OK = CUresult.CUDA_SUCCESS


class _Stream:
    def __init__(self):
        self.queue, self.recording, self.failed = [], None, None

    def enqueue(self, work):
        (self.queue if self.recording is None else self.recording).append(work)

    def drain(self):
        """Do what is enqueued; stay stuck or failed for ever once it is."""
        while self.queue and self.failed is None:
            self.failed = self.queue[0]()
            if self.failed is None:
                self.queue.pop(0)
        return self.failed or _OK


def _in_context(function):
    """Refuse a call from a thread that has made no context its own."""

    @functools.wraps(function)
    def call(*arguments):
        if getattr(_thread, "context", None) not in _contexts:
            return (CUresult.CUDA_ERROR_INVALID_CONTEXT, 0)
        return function(*arguments)

    return call


def cuInit(Flags):
    if _faults.on("no-driver"):
        raise RuntimeError('"cuda" is an NVIDIA driver library and can only be found by the system')
    return (CUresult.CUDA_ERROR_NO_DEVICE if _faults.on("no-device") else _OK,)


def cuDriverGetVersion():
    return _OK, int(_faults.value("driver"))


def cuDeviceGetCount():
    return _OK, 1


def cuDeviceGet(ordinal):
    return _OK, ordinal


def cuDeviceGetName(length, dev):
    return _OK, _faults.value("gpu").encode().ljust(length, b"\0")


def cuDeviceGetAttribute(attrib, dev):
    major, minor = _faults.value("capability").split(".")
    integrated = _faults.on("integrated")
    return _OK, {18: int(integrated), 75: int(major), 76: int(minor)}[int(attrib)]


def cuGetErrorString(error):
    return _OK, error.name.lower().encode()


def cuDevicePrimaryCtxRetain(dev):
    _contexts.append(dev)
    return _OK, dev


def cuDevicePrimaryCtxRelease(dev):
    _contexts.remove(dev)
    return (_OK,)


def cuCtxSetCurrent(ctx):
    _thread.context = ctx
    return (_OK if ctx in _contexts else CUresult.CUDA_ERROR_INVALID_CONTEXT,)


@_in_context
def cuStreamCreate(Flags):
    return _made(_streams, _Stream())


@_in_context
def cuStreamDestroy(hStream):
    del _streams[hStream]
    return (_OK,)


@_in_context
def cuStreamBeginCapture(hStream, mode):
    _streams[hStream].recording = []
    return (_OK,)


@_in_context
def cuStreamEndCapture(hStream):
    recorded, _streams[hStream].recording = _streams[hStream].recording, None
    return _made(_graphs, recorded)


@_in_context
def cuGraphInstantiate(hGraph, flags):
    return _made(_graphs, list(_graphs[hGraph]))


@_in_context
def cuGraphDestroy(hGraph):
    del _graphs[hGraph]
    return (_OK,)


@_in_context
def cuGraphExecDestroy(hGraphExec):
    del _graphs[hGraphExec]
    return (_OK,)


@_in_context
def cuGraphLaunch(hGraphExec, hStream):
    for work in _graphs[hGraphExec]:
        _streams[hStream].enqueue(work)
    return (_OK,)


@_in_context
def cuEventCreate(Flags):
    return _made(_events, None)


@_in_context
def cuEventDestroy(hEvent):
    del _events[hEvent]
    return (_OK,)


@_in_context
def cuEventRecord(hEvent, hStream):
    _events[hEvent] = (hStream, itertools.count())
    return (_OK,)


@_in_context
def cuEventQuery(hEvent):
    stream, asked = _events[hEvent]
    first = next(asked) == 0
    return (CUresult.CUDA_ERROR_NOT_READY if first else _streams[stream].drain(),)


@_in_context
def cuMemAlloc(bytesize):
    if _faults.on("no-memory"):
        return CUresult.CUDA_ERROR_OUT_OF_MEMORY, 0
    return _OK, _allocated(bytesize)


@_in_context
def cuMemHostAlloc(bytesize, Flags):
    return _OK, _allocated(bytesize)


@_in_context
def cuMemFree(dptr):
    del _memory[int(dptr)]
    return (_OK,)


@_in_context
def cuMemFreeHost(p):
    del _memory[int(p)]
    return (_OK,)


@_in_context
def cuMemHostGetDevicePointer(p, Flags):
    return _OK, p


@_in_context
def cuMemcpyHtoDAsync(dstDevice, srcHost, ByteCount, hStream):
    return _copied(dstDevice, srcHost, ByteCount, hStream)


@_in_context
def cuMemcpyDtoHAsync(dstHost, srcDevice, ByteCount, hStream):
    return _copied(dstHost, srcDevice, ByteCount, hStream)


def _copied(to, source, count, stream):
    _streams[stream].enqueue(lambda: ctypes.memmove(to, source, count) and None)
    return (_OK,)


def _made(where, what):
    handle = next(_handles)
    where[handle] = what
    return _OK, handle


def _allocated(size):
    """Memory that holds NaN until something is written to it, as a GPU's may."""
    memory = ctypes.create_string_buffer(b"\xff" * size, size)
    _memory[ctypes.addressof(memory)] = memory
    return ctypes.addressof(memory)


def _held():
    """What was taken and not given back, by kind: nothing after every engine is closed."""
    kinds = {"memory": _memory, "streams": _streams, "events": _events, "graphs": _graphs}
    return {name: len(one) for name, one in (kinds | {"contexts": _contexts}).items() if one}
