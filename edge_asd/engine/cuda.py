"""The little of CUDA that an engine needs, through the driver API of ``cuda-bindings`` alone.

One GPU with its primary context, one stream, buffers, and graphs recorded from the stream. Nothing
here blocks on the GPU: what waits polls, so that a GPU that hangs leaves the thread alive.
"""

from __future__ import annotations

import ctypes
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asd.errors import EngineError

_MODULE = "cuda.bindings.driver"  # of cuda-bindings 12.9 and 13 alike
_OLDEST_DRIVER = 12_000  # CUDA 12.0; TensorRT from 10.3 on is built for nothing older
_SPIN_S = 0.002  # most windows are done within this; afterwards polling yields the core
_POLL_S = 0.0002


class HangError(EngineError):
    """The GPU did not finish in time; it may still write to what it was given."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a GPU says about itself."""

    name: str
    compute_capability: str
    """Such as ``8.7``."""
    driver: str
    """Newest CUDA that its driver speaks, such as ``12.6``."""
    integrated: bool
    """It shares the host's memory, so that nothing has to be copied."""


class Cuda:
    """A GPU whose primary context is held until ``close``.

    Args:
        ordinal: Which one.

    Raises:
        EngineError: There is no driver, it is too old, or there is no such GPU.
    """

    def __init__(self, ordinal: int = 0) -> None:
        try:
            self.api: Any = importlib.import_module(_MODULE)
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineError(f"cuda-bindings cannot be imported: {error}") from error
        self("cuInit", 0)
        version = self("cuDriverGetVersion")
        if version < _OLDEST_DRIVER:
            raise EngineError(
                f"the NVIDIA driver speaks CUDA {_dotted(version)}, TensorRT needs "
                f"{_dotted(_OLDEST_DRIVER)} or newer: update the driver"
            )
        if ordinal >= self("cuDeviceGetCount"):
            raise EngineError("the NVIDIA driver finds no GPU: see `nvidia-smi`")
        self._device = self("cuDeviceGet", ordinal)
        self.gpu = self._describe(version)
        self._context: Any = None

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Call a function of the driver and return what it gives beside its status.

        Raises:
            EngineError: Any other status than success.
        """
        status, *values = self._raw(function, *arguments)
        if status != self.api.CUresult.CUDA_SUCCESS:
            raise EngineError(f"CUDA: {function} failed: {self._explain(status)}")
        return values[0] if values else None

    def reached(self, event: Any) -> bool:
        """Whether everything before an event is done.

        Raises:
            EngineError: It failed, and with it all that comes after.
        """
        (status,) = self._raw("cuEventQuery", event)
        if status == self.api.CUresult.CUDA_ERROR_NOT_READY:
            return False
        if status != self.api.CUresult.CUDA_SUCCESS:
            raise EngineError(f"CUDA: the GPU failed: {self._explain(status)}")
        return True

    def enter(self) -> None:
        """Make the context that of the calling thread; TensorRT uses the same, the primary one."""
        if self._context is None:
            self._context = self("cuDevicePrimaryCtxRetain", self._device)
        self("cuCtxSetCurrent", self._context)

    def close(self) -> None:
        """Give the context back."""
        if self._context is not None:
            self._context = None
            self("cuDevicePrimaryCtxRelease", self._device)

    def _raw(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        try:
            found: tuple[Any, ...] = getattr(self.api, function)(*arguments)
        except RuntimeError as error:  # no driver at all, or one without this function
            raise EngineError(f"CUDA: {function}: no usable NVIDIA driver: {error}") from error
        return found

    def _explain(self, status: Any) -> str:
        """A status as the driver words it."""
        _, text = self._raw("cuGetErrorString", status)
        words = text.decode(errors="replace") if text else "unknown error"
        return f"{words} ({int(status)})"

    def _describe(self, version: int) -> Gpu:
        attribute = self.api.CUdevice_attribute
        major, minor, integrated = (
            self("cuDeviceGetAttribute", which, self._device)
            for which in (
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED,
            )
        )
        name = self("cuDeviceGetName", 256, self._device).split(b"\0")[0].decode(errors="replace")
        return Gpu(name, f"{major}.{minor}", _dotted(version), bool(integrated))


class Stream:
    """Work in order, with an event at its end that can be waited for.

    Args:
        cuda: The GPU; its context must be current.
        clock: Monotonic seconds.
        sleep: Gives the core away for so many seconds.
    """

    def __init__(
        self,
        cuda: Cuda,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cuda, self._clock, self._sleep = cuda, clock, sleep
        api = cuda.api
        # Non-blocking: it must not wait for the default stream, which other libraries use.
        self._stream = cuda("cuStreamCreate", int(api.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self._event = cuda("cuEventCreate", int(api.CUevent_flags.CU_EVENT_DISABLE_TIMING))

    @property
    def handle(self) -> int:
        """What other libraries know it by."""
        return int(self._stream)

    def wait(self, deadline_s: float) -> None:
        """Wait until everything enqueued so far is done.

        Raises:
            HangError: It was not done in time.
            EngineError: It failed.
        """
        self._cuda("cuEventRecord", self._event, self._stream)
        started = self._clock()
        while not self._cuda.reached(self._event):
            waited = self._clock() - started
            if waited > deadline_s:
                raise HangError(f"the GPU did not finish within {deadline_s:g} s")
            self._sleep(0.0 if waited < _SPIN_S else _POLL_S)

    @contextmanager
    def recorded(self, graph: Graph) -> Iterator[None]:
        """Record what is enqueued meanwhile into ``graph`` instead of running it."""
        mode = self._cuda.api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._cuda("cuStreamBeginCapture", self._stream, mode)
        try:
            yield
        except BaseException:
            with suppress(EngineError):  # the capture is void as a rule; the first error counts
                self._cuda("cuGraphDestroy", self._cuda("cuStreamEndCapture", self._stream))
            raise
        graph.take(self._cuda("cuStreamEndCapture", self._stream))

    def launch(self, graph: Graph) -> None:
        """Enqueue a recorded graph."""
        self._cuda("cuGraphLaunch", graph.executable, self._stream)

    def upload(self, buffer: Buffer, size_bytes: int) -> None:
        """Enqueue the copy of a buffer's beginning to the GPU, if it has to be copied."""
        if buffer.copied:
            there, here = buffer.address, buffer.host_address
            self._cuda("cuMemcpyHtoDAsync", there, here, size_bytes, self._stream)

    def download(self, buffer: Buffer, size_bytes: int) -> None:
        """Enqueue the copy of a buffer's beginning to the host, if it has to be copied."""
        if buffer.copied:
            there, here = buffer.address, buffer.host_address
            self._cuda("cuMemcpyDtoHAsync", here, there, size_bytes, self._stream)

    def close(self) -> None:
        """Destroy stream and event."""
        self._cuda("cuEventDestroy", self._event)
        self._cuda("cuStreamDestroy", self._stream)


class Graph:
    """Recorded work that is launched by one call; fixed addresses and shapes."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.executable: Any = None

    def take(self, recorded: Any) -> None:
        """Make what a stream recorded ready to be launched."""
        try:
            self.executable = self._cuda("cuGraphInstantiate", recorded, 0)
        finally:
            self._cuda("cuGraphDestroy", recorded)

    def close(self) -> None:
        """Destroy it."""
        if self.executable is not None:
            self._cuda("cuGraphExecDestroy", self.executable)
            self.executable = None


class Buffer:
    """Page-locked host memory and its place on the GPU.

    Where the GPU shares the host's memory both are the same bytes and nothing is ever copied.

    Args:
        cuda: The GPU; its context must be current.
        shape: Of the array.
        dtype: Of the array.
    """

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._cuda = cuda
        self.copied = not cuda.gpu.integrated
        count = int(np.prod(shape))
        self.size_bytes = max(count * np.dtype(dtype).itemsize, 1)
        api = cuda.api
        flags = api.CU_MEMHOSTALLOC_PORTABLE | api.CU_MEMHOSTALLOC_DEVICEMAP
        self.host_address = int(cuda("cuMemHostAlloc", self.size_bytes, flags))
        raw = (ctypes.c_uint8 * self.size_bytes).from_address(self.host_address)
        self.array: npt.NDArray[Any] = np.frombuffer(memoryview(raw), dtype, count).reshape(shape)
        self.array[...] = 0
        try:
            if self.copied:
                self._place = cuda("cuMemAlloc", self.size_bytes)
            else:
                self._place = cuda("cuMemHostGetDevicePointer", self.host_address, 0)
        except EngineError:
            cuda("cuMemFreeHost", self.host_address)
            raise

    @property
    def address(self) -> int:
        """Where the GPU finds it."""
        return int(self._place)

    def close(self) -> None:
        """Free both; nobody may hold ``array`` any more."""
        if self.copied:
            self._cuda("cuMemFree", self._place)
        self._cuda("cuMemFreeHost", self.host_address)


def abandon(what: object) -> None:
    """Keep something beyond the end of the process: a GPU that hangs may still write to it.

    To free it would be to wait for that GPU, and destructors at the end of the process free it.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(what))


def _dotted(version: int) -> str:
    """12060 -> ``12.6``."""
    return f"{version // 1000}.{version % 1000 // 10}"
