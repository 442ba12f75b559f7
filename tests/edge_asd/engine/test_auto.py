"""`engine: auto` tries the engines once, remembers it, and never lets a wrong one score."""

import dataclasses
import json
import logging
import subprocess
import sys

import pytest
from support.tiny import golden_vectors, tiny_fields, tiny_network

from edge_asd.bundle import Bundle, Golden, write_bundle
from edge_asd.engine import EngineRequest, open_networks, openvino
from edge_asd.engine.candidates import Candidate, candidates
from edge_asd.engine.trial import Trial
from edge_asd.engine.trial_child import try_engines
from edge_asd.engine.trial_file import Tried, dump, parse, recall, remember, trial_key
from edge_asd.errors import EngineError

pytestmark = pytest.mark.skipif(not openvino.installed(), reason="OpenVINO is an extra: not here")

EXACT, HALVED = Candidate("openvino", "fp32"), Candidate("openvino", "bf16")
ANY = EngineRequest("auto", "auto")


def some_trials(*milliseconds):
    all_three = (Candidate("onnxruntime", "fp32"), EXACT, HALVED)
    return tuple(
        Trial(name=one.name, precision=one.precision, window_s=ms / 1e3, memory_bytes=10**8)
        for one, ms in zip(all_three, milliseconds, strict=True)
    )


@pytest.fixture
def no_child(monkeypatch):
    """Nothing may be tried any more."""

    def refuse(*_arguments, **_settings):
        raise AssertionError("a child was started")

    monkeypatch.setattr(subprocess, "run", refuse)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "state" / "engines"


@pytest.fixture
def remembered(tiny_bundle, cache):
    """Of a trial in which OpenVINO's fp32 was by far the fastest."""
    cache.parent.mkdir()
    key = trial_key(tiny_bundle, 1, candidates(ANY).candidates)
    tried = Tried(key=key, trials=some_trials(30.0, 10.0, 20.0), available_bytes=10**10)
    remember(cache, tried)
    return tried


@pytest.mark.usefixtures("remembered", "no_child")
def test_what_was_tried_decides_and_is_not_tried_again(tiny_bundle, cache):
    networks = open_networks(tiny_bundle, dataclasses.replace(ANY, cache=cache))
    assert (networks.backend, networks.precision) == ("openvino", "fp32")
    assert networks.reason == "10 ms a window, onnxruntime fp32 30 ms"


@pytest.mark.usefixtures("no_child")
def test_where_a_window_costs_next_to_nothing_none_is_tried(tiny_bundle, cache):
    cache.parent.mkdir()
    networks = open_networks(tiny_bundle, dataclasses.replace(ANY, cache=cache))
    assert networks.backend == "onnxruntime"
    assert "leave nothing to gain" in networks.reason
    assert not cache.exists()


def test_engines_are_tried_by_a_child_once_and_again_when_the_file_is_damaged(
    tiny_bundle, cache, monkeypatch, caplog
):
    cache.parent.mkdir()
    request = EngineRequest("openvino", "auto", cache=cache)  # the precision is left open
    first = open_networks(tiny_bundle, request)
    assert first.backend == "openvino"
    (file,) = cache.iterdir()
    written = file.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", None)
        again = open_networks(tiny_bundle, request)
        assert (again.precision, again.reason) == (first.precision, first.reason)
    file.write_bytes(written.replace(b'"bf16"', b'"fp32"', 1))
    open_networks(tiny_bundle, request)
    assert "is damaged: engines are tried anew" in caplog.text
    assert parse(file.read_bytes(), json.loads(written)["key"]) is not None


@pytest.mark.parametrize(
    "harm",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" + data,
        lambda _: b"[]",
        lambda data: data.replace(b"0.01", b"0.02"),
        lambda data: data.replace(b'"threads": "1"', b'"threads": "2"'),
    ],
    ids=["empty", "torn", "no text", "other JSON", "another figure", "another key"],
)
def test_a_file_that_is_not_what_was_written_is_not_believed(remembered, harm):
    data = dump(remembered)
    assert parse(data, remembered.key) == remembered
    assert harm(data) != data
    assert parse(harm(data), remembered.key) is None


def test_another_bundle_version_processor_or_thread_count_is_tried_anew(
    tiny_bundle, tmp_path, cache, remembered
):
    tried = candidates(ANY).candidates
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Another\nflags\t\t: sse2\n\n", encoding="ascii")
    others = (
        trial_key(dataclasses.replace(tiny_bundle, sha256="0" * 64), 1, tried),
        trial_key(tiny_bundle, 2, tried),
        trial_key(tiny_bundle, 1, tried[:2]),
        trial_key(tiny_bundle, 1, tried, cpuinfo),
        remembered.key | {"onnxruntime": "0.1"},
    )
    assert recall(cache, remembered.key) == remembered
    for key in others:
        assert key != remembered.key
        assert recall(cache, key) is None


def test_frequencies_and_counters_of_the_processor_do_not_matter(tiny_bundle, tmp_path):
    keys = []
    for mhz in ("800.0", "4500.1"):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"model name\t: One\ncpu MHz\t\t: {mhz}\nflags\t: avx2\n", "ascii")
        keys.append(trial_key(tiny_bundle, 1, [EXACT], cpuinfo))
    assert keys[0] == keys[1]


def test_the_folder_does_not_grow_for_ever(remembered, cache):
    for number in range(30):
        remember(cache, remembered.model_copy(update={"key": {"bundle": str(number)}}))
    assert len(list(cache.iterdir())) == 16


def test_nothing_is_left_in_a_state_directory_that_is_not_ours(tmp_path, remembered, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    remember(tmp_path / "engines", remembered)
    assert not (tmp_path / "engines").exists()
    remember(tmp_path / "nowhere" / "engines", remembered)
    assert not (tmp_path / "nowhere").exists()


def test_a_child_that_fails_leaves_the_default_and_its_reason(tiny_bundle, tmp_path, cache):
    lost = dataclasses.replace(tiny_bundle, path=tmp_path / "lost.asd")
    cache.parent.mkdir()
    networks = open_networks(lost, EngineRequest("openvino", "auto", cache=cache))
    assert networks.precision == "fp32"
    assert "engines could not be compared: exit 1 " in networks.reason
    assert "lost.asd" in networks.reason
    assert not cache.exists()


def demanding(tmp_path, tolerance):
    """A bundle that allows no more than this cosine distance."""
    network = tiny_network()
    fields = tiny_fields()
    fields["networks"][0]["parity_tolerance"] = tolerance
    return write_bundle(tmp_path / "tiny-1.asd", fields, {"tiny": network}, golden_vectors(network))


def test_an_engine_that_misses_the_golden_vectors_is_tried_and_refused(tmp_path):
    bundle = demanding(tmp_path, 5e-7)
    exact, halved = try_engines(bundle, (EXACT, HALVED), 1)
    assert exact.window_s > 0
    assert halved.window_s is None
    assert "bf16" in halved.refused or "misses golden vector" in halved.refused


@pytest.mark.usefixtures("no_child")
def test_one_that_was_remembered_as_the_fastest_and_misses_them_now_does_not_score(
    tmp_path, cache, caplog
):
    bundle = demanding(tmp_path, 5e-7)
    cache.parent.mkdir()
    key = trial_key(bundle, 1, candidates(ANY).candidates)
    tried = Tried(key=key, trials=some_trials(30.0, 20.0, 10.0), available_bytes=10**10)
    remember(cache, tried)
    with caplog.at_level(logging.WARNING):
        networks = open_networks(bundle, dataclasses.replace(ANY, cache=cache))
    assert (networks.backend, networks.precision) == ("onnxruntime", "fp32")
    assert "engine=openvino bf16 not used" in caplog.text
    assert networks.reason.startswith("openvino bf16 failed: ")


def test_where_every_engine_misses_them_nothing_scores(tiny_bundle, cache):
    golden = tiny_bundle.golden
    wrong = Golden(golden.waveforms, {"tiny": golden.embeddings["tiny"][::-1].copy()})
    bundle = Bundle(tiny_bundle.manifest, tiny_bundle.networks, wrong, {}, tiny_bundle.sha256)
    for name in ("auto", "openvino", "onnxruntime"):
        with pytest.raises(EngineError, match="misses golden vector 0"):
            open_networks(bundle, EngineRequest(name, "auto", cache=cache))


@pytest.mark.usefixtures("no_child")
def test_without_the_package_nothing_is_looked_for(tiny_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_networks(tiny_bundle, ANY).reason == "OpenVINO is not installed"
