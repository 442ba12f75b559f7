"""The TensorRT engine against a runtime that computes with ONNX Runtime and fails on demand."""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
import threading
import weakref

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper
from support.tensorrt_fake import environment, fake_runtime
from support.tiny import tiny_network, tiny_network_fp16

from edge_asd.engine import tensorrt
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine.tensorrt import (
    PlanOptions,
    TensorRtEngine,
    build_plan,
    installed,
    lacking,
    platform,
)
from edge_asd.errors import EngineError

GENEROUS_S = 60.0
SHORT_S = 0.05
ORDER = (8, 3, 1, 9, 2, 7, 4, 6, 5, 1, 19)  # every bucket, with and without room, after every other


def going(_share, _phase):
    return True


def built(network=None, timing_cache=b"", report=going, **options):
    return build_plan(network or tiny_network(), PlanOptions(**options), timing_cache, report)


def opened(plan=None, deadline_s=GENEROUS_S):
    return TensorRtEngine(plan or built().plan, "tiny", precision="fp32", deadline_s=deadline_s)


def windows(count, seed=0):
    rng = np.random.default_rng([seed, count])
    shapes = {"spectrum": (8192, 1), "spectrogram": (31, 513, 1)}
    return {name: rng.random((count, *one), np.float32) for name, one in shapes.items()}


def half_network():
    """A network that takes fp16 itself: its mean over time."""
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["sound"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "axis"], ["embedding"]),
        ],
        "half",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT16, ["B", 4, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT16, ["B", 1, 3])],
        [axis],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def held():
    """What the driver still holds for somebody."""
    from cuda.bindings import driver

    return driver._held()


@pytest.fixture(autouse=True)
def fake():
    with fake_runtime() as faults:
        yield faults


@pytest.mark.parametrize("faults", ["", "integrated", "no-graph", "version=11.4.1"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_batch_gives_the_numbers_of_onnx_runtime(faults, precision):
    network = tiny_network() if precision == "fp32" else tiny_network_fp16()
    reference = OnnxEngine(network, "tiny")
    with fake_runtime(faults):
        engine = TensorRtEngine(built(network).plan, "tiny", precision=precision)
        assert (engine.name, engine.precision, engine.batch) == ("tensorrt", precision, 8)
        for count in ORDER:
            z = engine.embed(windows(count))
            assert z.dtype == np.float32
            assert_allclose(z, reference.embed(windows(count)), atol=1e-5)
        engine.close()
        assert not held()


@pytest.mark.parametrize("max_batch", [1, 3, 6])
def test_a_plan_for_fewer_windows_divides_the_batch(max_batch):
    engine = opened(built(max_batch=max_batch).plan)
    assert engine.batch == max_batch
    reference = OnnxEngine(tiny_network(), "tiny")
    for count in ORDER:
        assert_allclose(engine.embed(windows(count)), reference.embed(windows(count)), atol=1e-5)


def test_an_empty_batch_is_an_empty_answer():
    assert opened().embed(windows(0)).shape == (0, 1, 16)


def test_inputs_are_cast_to_what_the_plan_takes_and_the_answer_back():
    engine = opened(built(half_network()).plan)
    sound = np.random.default_rng(0).random((3, 4, 3), np.float32)
    z = engine.embed({"sound": sound})
    assert z.dtype == np.float32
    assert_allclose(z[:, 0], sound.mean(axis=1), atol=2e-3)


def test_a_value_beyond_fp16_is_an_error_and_not_infinity():
    engine = opened(built(half_network()).plan)
    sound = np.zeros((1, 4, 3), np.float32)
    with pytest.raises(EngineError, match="too large for fp16"):
        engine.embed({"sound": sound + 80_000.0})  # a full-scale tone's bin
    assert_allclose(engine.embed({"sound": sound + 2.0}), 2.0)


def test_engines_do_not_disturb_each_other_and_are_bound_to_no_thread():
    networks = [tiny_network(seed) for seed in (1, 2)]
    engines = [opened(built(one).plan) for one in networks]
    found = []
    for engine, count in itertools.product(engines, (2, 5)):
        thread = threading.Thread(
            target=lambda e, n: found.append(e.embed(windows(n))), args=(engine, count)
        )
        thread.start()
        thread.join()
    references = [OnnxEngine(one, "tiny") for one in networks for _ in (2, 5)]
    for z, reference in zip(found, references, strict=True):
        assert_allclose(z, reference.embed(windows(len(z))), atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"spectrum": np.zeros((1, 8192, 1), np.float32)},
        windows(1) | {"more": np.zeros((1, 1), np.float32)},
        windows(1) | {"spectrum": np.zeros((1, 8191, 1), np.float32)},
        windows(1) | {"spectrum": np.zeros((2, 8192, 1), np.float32)},
    ],
)
def test_other_inputs_than_the_networks_are_refused_and_nothing_breaks(wrong):
    engine = opened()
    with pytest.raises(EngineError, match="tiny: "):
        engine.embed(wrong)
    engine.embed(windows(1))


def test_a_build_tells_how_far_it_is():
    told = []
    built(report=lambda share, phase: told.append((share, phase)) or True)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1.0
    assert {"Graph Optimization", "Tactic Selection"} <= {phase for _, phase in told}


def test_a_build_can_be_stopped():
    told = []
    with pytest.raises(EngineError, match="stopped"):
        built(report=lambda share, _phase: told.append(share) or len(told) < 3)
    assert len(told) == 3


def test_a_build_that_was_stopped_stays_stopped():
    from edge_asd.engine.tensorrt_api import load
    from edge_asd.engine.tensorrt_log import Progress

    answers = iter([True, False, True])
    monitor = Progress(load(), lambda _share, _phase: next(answers)).monitor
    monitor.phase_start("phase", None, 3)
    assert [monitor.step_complete("phase", step) for step in range(3)] == [True, False, False]


def test_an_error_while_reporting_stops_the_build_and_comes_out():
    def report(_share, _phase):
        raise BrokenPipeError("nobody listens")

    with pytest.raises(BrokenPipeError):
        built(report=report)


def test_the_timing_cache_is_handed_on_and_another_devices_is_ignored(fake):
    first = built().timing_cache
    assert built(timing_cache=first).timing_cache == first
    fake("gpu=Other")
    other = built(timing_cache=first).timing_cache
    assert other != first
    assert b"Other" in other


def test_a_plan_is_built_as_the_options_say_and_fp32_is_not_rounded_unless_asked_for():
    def header(**options):
        return json.loads(built(**options).plan[8:].split(b"\0")[0])

    assert not header()["tf32"]
    assert header(tf32=True)["tf32"]
    assert header(workspace_bytes=1 << 28)["workspace"] == 1 << 28
    low, best, high = header(max_batch=4)["profile"]["spectrum"]
    assert (low, best, high) == ([1, 8192, 1], [4, 8192, 1], [4, 8192, 1])


def test_any_thread_may_close():
    engine = opened()
    thread = threading.Thread(target=engine.close)
    thread.start()
    thread.join()
    assert not held()


def test_options_that_make_another_plan_have_another_key():
    options = [{}, {"precision": "fp16"}, {"max_batch": 4}, {"workspace_bytes": 1 << 20}]
    keys = {PlanOptions(**one).key for one in [*options, {"tf32": True}]}
    assert len(keys) == 5


def test_what_tensorrt_complains_about_is_in_the_error(fake):
    fake("build-refuse")
    with pytest.raises(EngineError, match="no implementation for node Conv_7"):
        built()


def test_an_error_does_not_repeat_what_an_earlier_one_said(fake):
    plan = built().plan
    for fault, fails in (("no-context", lambda: opened(plan)), ("build-refuse", built)):
        sys.modules["tensorrt"]._complain("something that nobody raised")
        fake(fault)
        with pytest.raises(EngineError) as caught:
            fails()
        assert "nobody raised" not in str(caught.value)


def test_junk_is_no_network():
    with pytest.raises(EngineError, match="does not accept the network"):
        built(b"junk")


def test_a_network_of_fixed_batch_is_refused():
    model = onnx.load_model_from_string(tiny_network())
    for one in model.graph.input:
        one.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(EngineError, match="only its first axis may be dynamic"):
        built(model.SerializeToString())


def test_a_plan_of_another_version_is_refused_with_the_reason(fake):
    plan = built().plan
    fake("version=11.4.1")
    sys.modules.pop("tensorrt")
    with pytest.raises(EngineError, match=r"built for 10\.3\.0"):
        opened(plan)
    assert not held()


@pytest.mark.parametrize("fault", ["no-context", "no-memory"])
def test_what_was_taken_is_given_back_where_opening_fails(fake, fault):
    plan = built().plan
    fake(fault)
    with pytest.raises(EngineError, match=r"out.of.memory"):
        opened(plan)
    assert not held()


def test_an_error_of_the_gpu_ends_the_engine(fake):
    engine = opened()
    fake("infer-error")
    with pytest.raises(EngineError, match="illegal_address"):
        engine.embed(windows(2))
    fake("")
    with pytest.raises(EngineError, match="illegal_address"):
        engine.embed(windows(2))  # a context that failed once stays unusable
    engine.close()


def test_a_gpu_that_hangs_is_an_error_within_the_deadline_and_closing_does_not_wait(fake):
    engine = opened(deadline_s=SHORT_S)
    fake("infer-hang")
    with pytest.raises(EngineError, match=r"did not finish within 0\.05 s"):
        engine.embed(windows(2))
    engine.close()
    engine.close()
    assert held()["memory"] > 0  # it may still be written to
    alive = weakref.ref(engine)
    del engine
    gc.collect()
    assert alive() is not None  # nor at the end of the process: that would wait as well


def test_a_gpu_that_hangs_at_the_first_run_is_an_error_too(fake):
    plan = built().plan
    fake("infer-hang")
    with pytest.raises(EngineError, match="did not finish"):
        opened(plan, deadline_s=SHORT_S / 10)


def test_a_value_that_is_not_finite_is_an_error_of_that_window(fake):
    engine = opened()
    fake("nan")
    with pytest.raises(EngineError, match="not finite"):
        engine.embed(windows(1))
    fake("")
    assert np.isfinite(engine.embed(windows(1))).all()


def test_closing_twice_releases_once_and_what_is_closed_says_so():
    engine = opened()
    engine.close()
    engine.close()
    assert not held()
    with pytest.raises(EngineError, match="closed"):
        engine.embed(windows(1))


def test_a_platform_is_what_a_plan_is_bound_to():
    with fake_runtime("version=11.4.1,gpu=Orin NX,capability=8.7,driver=13020,integrated"):
        here = platform()
    assert (here.version, here.gpu, here.compute_capability) == ("11.4.1", "Orin NX", "8.7")
    assert (here.driver, here.integrated) == ("13.2", True)


@pytest.mark.parametrize(
    ("faults", "why"),
    [
        ("no-driver", "no usable NVIDIA driver"),
        ("no-device", "no_device"),
        ("driver=11040", r"speaks CUDA 11\.4.*update the driver"),
    ],
)
def test_without_a_gpu_that_works_tensorrt_is_not_even_imported(faults, why):
    with fake_runtime(faults):
        with pytest.raises(EngineError, match=why):
            platform()
        with pytest.raises(EngineError, match=why):
            opened(b"FAKEPLAN")
        assert "tensorrt" not in sys.modules


def test_nothing_of_it_is_imported_by_asking_whether_it_is_there():
    program = (
        "import sys; from edge_asd import engine; from edge_asd.engine import tensorrt;"
        "print(tensorrt.installed(), sorted({'tensorrt', 'cuda.bindings.driver'} & {*sys.modules}))"
    )
    child = [sys.executable, "-c", program]
    found = subprocess.run(child, env=environment(), check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "True []"


@pytest.mark.parametrize(
    ("present", "lacks"),
    [
        ((), "TensorRT is not installed"),
        (("cuda.bindings",), "TensorRT is not installed"),
        (("tensorrt",), "cuda-bindings is not: pip install"),
        (("tensorrt", "cuda.bindings"), ""),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(monkeypatch, present, lacks):
    def find_spec(name):
        if name == "cuda.bindings" and name not in present:
            raise ModuleNotFoundError(name)
        return name in present or None

    monkeypatch.setattr(tensorrt, "find_spec", find_spec)
    assert installed() == (not lacks)
    assert lacks in lacking()
