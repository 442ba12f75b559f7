"""OpenVINO computes what ONNX Runtime does, or says why not."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engines import has_bf16
from support.tiny import INPUTS, SAMPLE_RATE, WINDOW

from edge_asd.engine import EngineRequest, OnnxEngine, cosine_distance, open_networks, openvino
from edge_asd.engine.candidates import Candidate
from edge_asd.engine.openvino import OpenVinoEngine
from edge_asd.engine.proven import open_proven
from edge_asd.errors import ConfigError, EngineError
from edge_asd.features import compute

pytestmark = pytest.mark.skipif(not openvino.installed(), reason="OpenVINO is an extra: not here")

BF16 = Candidate("openvino", "bf16")
CANNOT = 77


def features(seed, count, level=0.03):
    samples = np.random.default_rng(seed).normal(0.0, level, (count, WINDOW)).astype(np.float32)
    return {name: compute(spec, samples, SAMPLE_RATE) for name, spec in INPUTS.items()}


@pytest.fixture(scope="module")
def pair(tiny_bundle):
    network = tiny_bundle.networks["tiny"]
    return OnnxEngine(network, "tiny"), OpenVinoEngine(network, "tiny")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 5),
    level=st.floats(1e-5, 0.5),
)
def test_every_window_of_any_batch_is_embedded_as_by_onnx_runtime(pair, seed, count, level):
    onnxruntime, ours = pair
    inputs = features(seed, count, level)
    want, got = onnxruntime.embed(inputs), ours.embed(inputs)
    assert (got.shape, got.dtype) == (want.shape, np.float32)
    assert cosine_distance(got, want).max() < 1e-6
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_a_window_has_the_same_embedding_in_any_batch(pair):
    _, ours = pair
    inputs = features(3, 4)
    alone = [ours.embed({name: a[i : i + 1] for name, a in inputs.items()}) for i in range(4)]
    np.testing.assert_array_equal(ours.embed(inputs), np.concatenate(alone))


def test_an_embedding_stays_what_it_is_when_the_next_one_is_computed(pair):
    _, ours = pair
    first = ours.embed(features(1, 1))
    kept = first.copy()
    ours.embed(features(2, 1))
    np.testing.assert_array_equal(first, kept)


def test_inputs_may_lie_in_memory_as_they_like(pair):
    _, ours = pair
    inputs = features(5, 3)
    every_other = {name: np.repeat(array, 2, axis=0)[::2] for name, array in inputs.items()}
    turned = {name: np.asfortranarray(array) for name, array in inputs.items()}
    want = ours.embed(inputs)
    np.testing.assert_array_equal(ours.embed(every_other), want)
    np.testing.assert_array_equal(ours.embed(turned), want)


def test_what_is_no_number_or_does_not_fit_is_an_engine_error(pair):
    _, ours = pair
    inputs = features(5, 1)
    with pytest.raises(EngineError, match="not finite"):
        ours.embed({name: array * np.nan for name, array in inputs.items()})
    with pytest.raises(EngineError, match="tiny: inference failed"):
        ours.embed({name: array[:, :-1] for name, array in inputs.items()})
    ours.embed(inputs)


def test_a_network_that_the_runtime_refuses_is_an_engine_error_of_one_line():
    with pytest.raises(EngineError, match="junk: OpenVINO refuses the network") as caught:
        OpenVinoEngine(b"junk", "junk")
    assert "\n" not in str(caught.value)


def test_bf16_passes_the_golden_vectors_or_is_refused(tiny_bundle):
    if not has_bf16():
        with pytest.raises(EngineError, match="does not compute in bf16"):
            open_proven(tiny_bundle, BF16, 1)
        return
    networks = open_proven(tiny_bundle, BF16, 1)
    assert (networks.backend, networks.precision) == ("openvino", "bf16")
    exact = open_proven(tiny_bundle, Candidate("openvino", "fp32"), 1)
    inputs = {f"tiny/{name}": array for name, array in features(7, 2).items()}
    distance = cosine_distance(networks.embed(inputs)["tiny"], exact.embed(inputs)["tiny"])
    assert 0 < distance.max() < 1e-4  # else it was not bf16


def test_an_engine_that_is_asked_for_by_name_and_precision_serves(tiny_bundle):
    networks = open_networks(tiny_bundle, EngineRequest("openvino", "fp32"))
    assert (networks.backend, networks.precision) == ("openvino", "fp32")
    assert networks.reason == "as asked for"
    networks.close()


def test_without_the_package_asking_for_it_is_an_error_that_names_the_remedy(
    tiny_bundle, monkeypatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    for request in (EngineRequest("openvino", "auto"), EngineRequest("auto", "bf16")):
        with pytest.raises(ConfigError, match=r"pip install 'edge-asd\[openvino\]'") as caught:
            open_networks(tiny_bundle, request)
        assert caught.value.exit_code == 78
    networks = open_networks(tiny_bundle, EngineRequest("auto", "auto"))
    assert (networks.backend, networks.reason) == ("onnxruntime", "OpenVINO is not installed")


QUIET = """
import os, sys, time

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        os.write(2, f"{event} {arguments}".encode())
        os._exit(1)

sys.addaudithook(watch)
from edge_asd.bundle import load_bundle
from edge_asd.engine.candidates import Candidate
from edge_asd.engine.proven import open_proven
from edge_asd.engine.timing import windows_s

def threads():
    return len(os.listdir("/proc/self/task"))

bundle = load_bundle(sys.argv[1])
for name, more in (("onnxruntime", 0), ("openvino", 2)):
    before = threads()
    networks = open_proven(bundle, Candidate(name, "fp32"), 1)
    windows_s({name: networks}, 1)
    assert threads() - before <= more, (name, before, threads())
    spent_s = time.process_time()
    time.sleep(0.5)
    spent_s = time.process_time() - spent_s
    assert spent_s < 0.1, (name, spent_s)
"""


def test_an_engine_starts_no_crowd_of_threads_does_not_spin_and_calls_nobody(tiny_bundle, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", QUIET, tiny_bundle.path],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []  # nor does it leave a mark in the home directory


HARDENED = f"""
import ctypes, sys

set_mdwe, refuse_exec_gain = 65, 1
if ctypes.CDLL(None).prctl(set_mdwe, refuse_exec_gain, 0, 0, 0):
    sys.exit({CANNOT})  # before Linux 6.3
from edge_asd.bundle import load_bundle
from edge_asd.engine import EngineRequest, open_networks
from edge_asd.engine.openvino import OpenVinoEngine
from edge_asd.errors import ConfigError, EngineError

bundle = load_bundle(sys.argv[1])
try:
    OpenVinoEngine(bundle.networks["tiny"], "tiny")
except EngineError as error:
    print(error)
try:
    open_networks(bundle, EngineRequest("openvino", "auto"))
except ConfigError as error:
    print(error)
networks = open_networks(bundle, EngineRequest("auto", "auto"))
print(networks.backend, networks.reason)
"""


def test_where_nothing_may_be_compiled_it_is_left_out_and_the_remedy_said(tiny_bundle):
    done = subprocess.run(
        [sys.executable, "-c", HARDENED, tiny_bundle.path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    if done.returncode == CANNOT:
        pytest.skip("this system cannot forbid it")
    assert done.returncode == 0, done.stderr
    alone, asked_for, chosen = done.stdout.splitlines()
    for refusal in (alone, asked_for):
        assert "edge-asd service install --with jit" in refusal
    assert chosen.startswith("onnxruntime OpenVINO compiles while it runs")
