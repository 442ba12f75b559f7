"""TensorRT as far as ``edge_asd.engine`` touches it; plans hold the ONNX, ONNX Runtime computes.

Nothing here may be missing in the genuine bindings: a test compares the two. What else the fake
needs begins with an underscore.
"""

import ctypes
import json
import time
import weakref
from enum import IntEnum

import _faults
import numpy as np
import onnxruntime
from cuda.bindings import driver as _driver

__version__ = _faults.value("version")

_MAGIC, _TIMED = b"FAKEPLAN", b"FAKETIME"


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    INT64 = 8


class TensorIOMode(IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 0 if __version__.startswith("11") else 1


class BuilderFlag(IntEnum):
    TF32 = 6


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def log(self, severity, msg):
        raise NotImplementedError


class IProgressMonitor:
    def phase_start(self, phase_name, parent_phase, num_steps):
        raise NotImplementedError

    def step_complete(self, phase_name, step):
        raise NotImplementedError

    def phase_finish(self, phase_name):
        raise NotImplementedError


class IHostMemory(bytes):
    __slots__ = ()

    @property
    def nbytes(self):
        return len(self)


_logger = None  # the first one, for ever, as in the genuine product


def _created(logger):
    global _logger
    if _faults.on("no-driver") or _faults.on("no-device"):
        _faults.crash()
    _logger = _logger or logger


def _complain(text):
    _logger.log(ILogger.Severity.ERROR, text)


def _session(onnx):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


_KINDS = {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF}
_NUMPY = {DataType.FLOAT: np.float32, DataType.HALF: np.float16, DataType.INT64: np.int64}


def _shape(tensor):
    return tuple(one if isinstance(one, int) else -1 for one in tensor.shape)


class ITensor:
    def __init__(self, name, shape):
        self.name, self.shape = name, shape


class INetworkDefinition:
    _parser = staticmethod(lambda: None)
    _inputs = ()

    @property
    def num_inputs(self):
        return len(self._inputs)

    def get_input(self, index):
        return self._inputs[index]


class ParserError:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    def parse(self, model, path=None):
        try:
            inputs = _session(bytes(model)).get_inputs()
        except Exception as error:
            self._errors.append(ParserError(str(error)))
            return False
        self._onnx = bytes(model)
        self._network._parser = weakref.ref(self)  # it owns the weights
        self._network._inputs = [ITensor(one.name, _shape(one)) for one in inputs]
        return True

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class IOptimizationProfile:
    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):
        self._shapes[input] = [list(min), list(opt), list(max)]


class ITimingCache:
    def __init__(self, content):
        self._content = bytes(content)

    def serialize(self):
        return IHostMemory(self._content)


class IBuilderConfig:
    def __init__(self):
        self.progress_monitor = None
        self._profile, self._cache = None, None
        self._flags = {BuilderFlag.TF32}  # the genuine product's default

    def set_flag(self, flag):
        self._flags.add(flag)

    def clear_flag(self, flag):
        self._flags.discard(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        self._workspace = pool_size

    def add_optimization_profile(self, profile):
        self._profile = profile
        return 0

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(serialized_timing_cache or _TIMED + _bound().encode())

    def set_timing_cache(self, cache, ignore_mismatch):
        fits = cache._content.startswith(_TIMED + _bound().encode())
        self._cache = cache if fits else self._cache
        return fits

    def get_timing_cache(self):
        return self._cache


class Builder:
    def __init__(self, logger):
        _created(logger)

    def create_network(self, flags=0):
        if flags != 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED:
            raise TypeError("only strongly typed networks exist in all versions")
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        if _faults.on("build-crash"):
            _faults.crash()
        if _faults.on("build-refuse"):
            _complain("no implementation for node Conv_7")
            return None
        if not _watched(config.progress_monitor):
            return None
        header = {
            "bound": _bound(),
            "profile": config._profile._shapes,
            "tf32": BuilderFlag.TF32 in config._flags,
            "workspace": config._workspace,
        }
        if not config._cache._content.endswith(b"+"):
            config._cache._content += b"+"
        if network._parser() is None:
            _faults.crash()  # the weights are gone
        return IHostMemory(_MAGIC + json.dumps(header).encode() + b"\0" + network._parser()._onnx)


def _bound():
    """What a plan is bound to."""
    return " ".join([__version__, _faults.value("gpu"), _faults.value("capability")])


def _watched(monitor, steps=4):
    """Go through the phases of a build."""
    monitor.phase_start("Building Engine", None, 2)
    for outer, phase in enumerate(("Graph Optimization", "Tactic Selection")):
        monitor.phase_start(phase, "Building Engine", steps)
        for step in range(steps):
            time.sleep(float(_faults.value("build-slow")) / (2 * steps))
            if _faults.on("build-hang"):
                _faults.hang()
            if not monitor.step_complete(phase, step):
                return False
        monitor.phase_finish(phase)
        if not monitor.step_complete("Building Engine", outer):
            return False
    monitor.phase_finish("Building Engine")
    return True


class Runtime:
    def __init__(self, logger):
        _created(logger)
        self.engine_host_code_allowed = None  # so that it shows whether anybody decided

    def deserialize_cuda_engine(self, serialized_engine):
        plan = bytes(serialized_engine)
        assert self.engine_host_code_allowed is False
        if _faults.on("try-crash") or not plan.startswith(_MAGIC):
            _faults.crash()  # what the genuine one does with junk
        head, _, onnx = plan[len(_MAGIC) :].partition(b"\0")
        header = json.loads(head)
        if header["bound"] != _bound():
            _complain(f"the engine was built for {header['bound']}, this is {_bound()}")
            return None
        return ICudaEngine(_session(onnx), header["profile"])


class ICudaEngine:
    def __init__(self, session, profile):
        self._session, self._profile = session, profile
        tensors = [*session.get_inputs(), *session.get_outputs()]
        self._tensors = {one.name: one for one in tensors}
        self._names = list(self._tensors)

    @property
    def num_io_tensors(self):
        return len(self._names)

    def get_tensor_name(self, index):
        return self._names[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self._profile else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return _KINDS.get(self._tensors[name].type, DataType.INT64)

    def get_tensor_shape(self, name):
        return _shape(self._tensors[name])

    def get_tensor_profile_shape(self, name, profile_index):
        return [tuple(one) for one in self._profile[name]]

    def create_execution_context(self):
        if _faults.on("no-context"):
            _complain("out of memory")
            return None
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._shapes, self._addresses, self._ran = engine, {}, {}, False

    def set_optimization_profile_async(self, profile_index, stream_handle):
        return profile_index == 0 and stream_handle in _driver._streams

    def set_input_shape(self, name, shape):
        low, _, high = self._engine._profile[name]
        fits = all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))
        if not fits:
            _complain(f"shape {tuple(shape)} of {name} lies outside the profile")
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return name in self._engine._tensors

    def infer_shapes(self):
        return [name for name in self._engine._profile if name not in self._shapes]

    def get_tensor_shape(self, name):
        if name in self._shapes:
            return self._shapes[name]
        batch = next(iter(self._shapes.values()))[0]
        return (batch, *self._engine.get_tensor_shape(name)[1:])

    def execute_async_v3(self, stream_handle):
        stream = _driver._streams[stream_handle]
        if stream.recording is not None and not self._ran:
            _complain("a graph is recorded before the first run")
            return False
        if stream.recording is not None and _faults.on("no-graph"):
            _complain("this plan synchronises with the host and cannot be recorded")
            return False
        self._ran = True
        stream.enqueue(self._compute)
        return True

    def _view(self, name):
        engine, shape = self._engine, self.get_tensor_shape(name)
        dtype = np.dtype(_NUMPY[engine.get_tensor_dtype(name)])
        raw = (ctypes.c_char * (int(np.prod(shape)) * dtype.itemsize)).from_address(
            self._addresses[name]
        )
        return np.frombuffer(raw, dtype).reshape(shape)

    def _compute(self):
        """Run on the GPU: the status that the stream then has, None while all is well."""
        if next(_driver._served) >= int(_faults.value("after")):
            if _faults.on("infer-crash"):
                _faults.crash()
            if _faults.on("infer-hang"):
                return _driver.CUresult.CUDA_ERROR_NOT_READY
            if _faults.on("infer-error"):
                return _driver.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
        names = self._engine._profile
        (output,) = (name for name in self._engine._names if name not in names)
        (z,) = self._engine._session.run([output], {name: self._view(name) for name in names})
        if _faults.on("wrong"):
            z = z[..., ::-1]
        self._view(output)[...] = np.nan if _faults.on("nan") else z
        return None
