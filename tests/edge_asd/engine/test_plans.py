"""The life of a TensorRT plan: built, proven, kept, found again; or not used, and why is said."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from brokers import eventually
from support.disks import fill, small_disk
from support.plans import (
    build,
    embedded,
    fake,
    halved_bundle,
    processes_about,
    request_in,
    some_features,
)
from support.tensorrt_fake import environment, fake_runtime
from support.tiny import full_parts, write_tiny_bundle

from edge_asd.bundle import write_bundle
from edge_asd.engine import EngineRequest, forge, open_networks, plans
from edge_asd.engine.fallback import Trust
from edge_asd.engine.forge import CancelledError, Forge
from edge_asd.engine.plan_cache import CachedPlan, PlanCache
from edge_asd.engine.plans import NotBuilt, open_tensorrt
from edge_asd.errors import EngineError

__all__ = ["fake", "halved_bundle", "request_in"]

pytestmark = pytest.mark.usefixtures("fake")
BUILDABLE = NotBuilt("its plans are not built yet", buildable=True)


@pytest.fixture(scope="session")
def built(tmp_path_factory, tiny_bundle):
    """A cache that holds the plan of the tiny bundle, never to be changed."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        script = (
            "import sys; from pathlib import Path; from edge_asd.bundle import load_bundle;"
            "from edge_asd.engine import EngineRequest; from edge_asd.engine.plans import Plans;"
            "from edge_asd.engine.forge import Forge; r = EngineRequest(cache=Path(sys.argv[2]));"
            "Plans(load_bundle(sys.argv[1]), r).build(Forge(), lambda *_: None)"
        )
        subprocess.run([sys.executable, "-c", script, tiny_bundle.path, folder], check=True)
    return folder


@pytest.fixture
def with_plan(built, request_in):
    """A request in whose cache the plan of the tiny bundle lies."""
    request = request_in()
    shutil.copytree(built, request.cache)
    return request


@pytest.fixture
def no_process(monkeypatch):
    """Nothing is built or tried."""

    def refuse(*_arguments, **_settings):
        raise AssertionError("a process was started")

    monkeypatch.setattr(forge, "Child", refuse)


def close(engines):
    for engine in engines.values():
        engine.close()


def the_plan(request):
    (path,) = (request.cache / "plans").glob("*.plan")
    return path


# Built, kept, found again


def test_a_plan_is_built_with_progress_and_serves_what_onnx_runtime_would(
    fake, tiny_bundle, request_in
):
    told = []
    assert open_tensorrt(tiny_bundle, request_in()) == BUILDABLE
    fake("build-slow=1.2")
    engines = build(tiny_bundle, request_in(), report=lambda *what: told.append(what))
    shares = [share for share, _ in told]
    assert len(told) > 1
    assert shares == sorted(shares)
    features = some_features(tiny_bundle)
    expected = open_networks(tiny_bundle, EngineRequest()).embed(features)["tiny"]
    np.testing.assert_allclose(embedded(tiny_bundle, engines, features), expected, atol=1e-5)
    assert (engines["tiny"].name, engines["tiny"].batch) == ("tensorrt", 8)
    close(engines)


@pytest.mark.usefixtures("no_process")
def test_the_next_start_uses_it_without_another_process(tiny_bundle, with_plan):
    engines = open_tensorrt(tiny_bundle, with_plan)
    assert engines["tiny"].name == "tensorrt"
    close(engines)
    close(build(tiny_bundle, with_plan))
    cuda = sys.modules["cuda.bindings.driver"]
    assert cuda._held() == {}


@pytest.mark.parametrize("host", ["version=10.13.3", "gpu=Fake Thor", "capability=11.0"])
@pytest.mark.usefixtures("no_process")
def test_a_plan_of_another_version_or_gpu_is_not_touched(tiny_bundle, with_plan, host):
    with fake_runtime(f"try-crash,{host}"):  # to read it would end this process
        assert open_tensorrt(tiny_bundle, with_plan) == BUILDABLE


@pytest.mark.usefixtures("no_process")
def test_another_network_or_precision_needs_another_plan(halved_bundle, with_plan, tmp_path):
    other = write_tiny_bundle(tmp_path / "other.asd", seed=3)
    assert open_tensorrt(other, with_plan) == BUILDABLE
    assert open_tensorrt(halved_bundle, dataclasses.replace(with_plan, precision="fp16")) == (
        BUILDABLE
    )


def test_on_another_driver_a_plan_is_proven_again_and_not_built(fake, tiny_bundle, with_plan):
    fake("driver=13000,build-refuse")
    assert open_tensorrt(tiny_bundle, with_plan) == BUILDABLE
    close(build(tiny_bundle, with_plan))
    assert isinstance(open_tensorrt(tiny_bundle, with_plan), dict)


def test_a_plan_that_another_driver_does_not_take_is_built_again(tiny_bundle, with_plan, caplog):
    cache = PlanCache(with_plan.cache / "plans")
    of_plan = plans.Plans(tiny_bundle, with_plan)
    (piece,) = of_plan._pieces("fp32")
    proof = dataclasses.replace(of_plan._proof, driver="12020")
    cache.store(of_plan._key(piece), CachedPlan(b"crashes whoever reads it", proof))
    close(build(tiny_bundle, with_plan))
    assert "is built again reason=the TensorRT plan of tiny-1/tiny in fp32" in caplog.text
    assert isinstance(open_tensorrt(tiny_bundle, with_plan), dict)


def test_a_plan_that_was_damaged_on_the_disk_is_built_again(tiny_bundle, with_plan):
    data = the_plan(with_plan).read_bytes()
    the_plan(with_plan).write_bytes(data[:-1])
    assert open_tensorrt(tiny_bundle, with_plan) == BUILDABLE
    close(build(tiny_bundle, with_plan))
    assert len(the_plan(with_plan).read_bytes()) == len(data)


def test_auto_takes_fp16_where_its_golden_vectors_come_out_and_else_fp32(
    halved_bundle, request_in, tmp_path
):
    engines = build(halved_bundle, request_in())
    assert engines["tiny"].precision == "fp16"
    close(engines)
    parts = full_parts()
    for one in parts["fields"]["networks"][0]["precisions"]:
        if one["precision"] == "fp16":
            one["parity_tolerance"] = 1e-12
    strict = write_bundle(tmp_path / "strict.asd", **parts)
    request = request_in(cache=tmp_path / "another")
    engines = build(strict, request)
    assert engines["tiny"].precision == "fp32"
    close(engines)
    engines = open_tensorrt(strict, request)  # fp16 is not tried again
    assert engines["tiny"].precision == "fp32"
    close(engines)


# Not there


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"faults": "no-driver"}, "driver"),
        ({"faults": "no-device"}, "no_device"),
        ({"precision": "bf16"}, "not in bf16"),
        ({"precision": "fp16"}, "holds no fp16"),
        ({"cache": None}, "no folder"),
    ],
)
@pytest.mark.usefixtures("no_process")
def test_where_it_cannot_run_that_is_said_and_nothing_is_touched(
    fake, tiny_bundle, request_in, changes, words
):
    changes = dict(changes)
    fake(changes.pop("faults", ""))
    found = open_tensorrt(tiny_bundle, request_in(**changes))
    assert words in found.reason
    assert not found.buildable


def test_an_error_that_nobody_thought_of_ends_no_start(tiny_bundle, with_plan, monkeypatch):
    monkeypatch.setattr(plans.tensorrt, "TensorRtEngine", None)
    for _ in range(2):
        found = open_tensorrt(tiny_bundle, with_plan)
        assert found.reason.startswith("unexpected TypeError: ")
    assert "2 times within a day" in open_tensorrt(tiny_bundle, with_plan).reason


def test_without_tensorrt_that_is_said(tiny_bundle, request_in, monkeypatch):
    monkeypatch.setattr("edge_asd.engine.tensorrt.find_spec", lambda _name: None)
    assert open_tensorrt(tiny_bundle, request_in()) == NotBuilt("TensorRT is not installed")


# Refused


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("build-crash", "cannot build tiny-1/tiny in fp32: its process crashed (SIGSEGV)"),
        ("build-refuse", "no implementation for node Conv_7"),
        ("build-hang", "not done after 3 s; engine.build_minutes"),
        ("try-crash", "must not be used: its process crashed (SIGSEGV)"),
        ("wrong", "must not be used: tiny-1/tiny: tensorrt misses golden vector 0"),
        ("nan", "not finite"),
    ],
)
def test_what_fails_ends_in_one_line_and_is_not_tried_again_today(
    tiny_bundle, request_in, monkeypatch, faults, words
):
    monkeypatch.setenv("FAKE_TRT", faults)
    request = request_in(build_s=3.0 if faults == "build-hang" else 60.0)
    with pytest.raises(EngineError) as raised:
        build(tiny_bundle, request)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not processes_about(tiny_bundle.path)
    monkeypatch.setenv("FAKE_TRT", "")
    with monkeypatch.context() as patch:
        patch.setattr(forge, "Child", None)
        found = open_tensorrt(tiny_bundle, request)
        assert words in found.reason
        assert "tried again after a day" in found.reason
        assert not found.buildable
        with pytest.raises(EngineError, match="tried again after a day"):
            build(tiny_bundle, request)
    for strikes in (request.cache / "plans").glob("*.strikes"):
        strikes.unlink()  # what the message says
    assert open_tensorrt(tiny_bundle, request).buildable


def test_a_build_is_cancelled_at_once_and_nothing_is_held_against_it(fake, tiny_bundle, request_in):
    fake("build-hang")
    ended, one = [], Forge()

    def work():
        with pytest.raises(CancelledError):
            build(tiny_bundle, request_in(), one)
        ended.append(True)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    eventually(lambda: processes_about(tiny_bundle.path))
    began = time.monotonic()
    one.close()
    thread.join(60)
    assert ended
    assert time.monotonic() - began < 30
    assert not processes_about(tiny_bundle.path)
    assert open_tensorrt(tiny_bundle, request_in()) == BUILDABLE
    with pytest.raises(CancelledError):
        build(tiny_bundle, request_in(), one)


_SCRIPT = """
import os
import sys
from pathlib import Path
import numpy as np
from edge_asd.bundle import load_bundle
from edge_asd.engine import EngineRequest, NetworkSet, plans
from edge_asd.engine.forge import Forge
what, cache = sys.argv[1:]
bundle, request = load_bundle(os.environ["BUNDLE"]), EngineRequest(cache=Path(cache))
if what == "build":
    plans.Plans(bundle, request).build(Forge(), lambda *_: None)
engines = plans.open_tensorrt(bundle, request)
window = {"spectrum": np.ones((1, 8192, 1), "f4"), "spectrogram": np.ones((1, 31, 513, 1), "f4")}
while True:
    engines["tiny"].embed(window)
"""


@contextlib.contextmanager
def script(what, bundle, request, faults):
    """A process that builds, or embeds for ever; its bundle is not among its arguments."""
    settings = {"env": environment(faults, BUNDLE=str(bundle.path))}
    command = [sys.executable, "-c", _SCRIPT, what, request.cache]
    with subprocess.Popen(command, **settings) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_builds_and_is_killed_takes_the_building_process_along(tmp_path, request_in):
    bundle = write_tiny_bundle(tmp_path / "mine.asd")
    with script("build", bundle, request_in(), "build-hang"):
        eventually(lambda: processes_about(bundle.path))
    eventually(lambda: not processes_about(bundle.path))
    assert open_tensorrt(bundle, request_in()) == BUILDABLE  # once is not enough
    with script("build", bundle, request_in(), "build-hang"):
        eventually(lambda: processes_about(bundle.path))
    with pytest.raises(EngineError, match="tiny-1/tiny in fp32, 2 times within a day"):
        build(bundle, request_in())


@pytest.mark.usefixtures("no_process")
def test_a_plan_in_which_the_process_died_twice_is_left_alone_for_a_day(tiny_bundle, with_plan):
    for _ in range(2):
        close(open_tensorrt(tiny_bundle, with_plan))  # once is not enough
        with script("serve", tiny_bundle, with_plan, "infer-crash,after=40") as died:
            assert died.wait(60) == -signal.SIGSEGV
    found = open_tensorrt(tiny_bundle, with_plan)
    assert "tiny-1/tiny in fp32, 2 times within a day" in found.reason
    assert not found.buildable


_ASKS = """
import os, signal, sys
from pathlib import Path
from edge_asd.bundle import load_bundle
from edge_asd.engine import EngineRequest, plans
plans.tensorrt.platform = lambda: os.kill(os.getpid(), signal.SIGKILL)
plans.open_tensorrt(load_bundle(sys.argv[1]), EngineRequest(cache=Path(sys.argv[2])))
"""


@pytest.mark.usefixtures("no_process")
def test_a_driver_in_which_the_process_was_killed_twice_is_not_asked_for_a_day(
    tiny_bundle, with_plan
):
    for _ in range(2):
        assert isinstance(open_tensorrt(tiny_bundle, with_plan), dict)
        command = [sys.executable, "-c", _ASKS, tiny_bundle.path, with_plan.cache]
        assert subprocess.run(command, env=environment(), check=False).returncode < 0
    found = open_tensorrt(tiny_bundle, with_plan)
    assert "the process died in the driver of the GPU, 2 times within a day" in found.reason


# Disks


def test_a_plan_that_fails_here_is_closed_and_no_second_time_of_the_day_opened(
    fake, tiny_bundle, with_plan
):
    fake("wrong")
    for _ in range(2):
        found = open_tensorrt(tiny_bundle, with_plan)
        assert "misses golden vector 0" in found.reason
        assert not found.buildable
        assert sys.modules["cuda.bindings.driver"]._held() == {}
    fake("try-crash")
    assert "2 times within a day" in open_tensorrt(tiny_bundle, with_plan).reason


def test_a_full_disk_costs_the_cache_and_not_the_engine(tiny_bundle, tmp_path, caplog):
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "plans").mkdir()
        fill(disk / "ballast")
        engines = build(tiny_bundle, EngineRequest(precision="fp32", cache=disk))
        assert engines["tiny"].name == "tensorrt"
        assert caplog.text.count("is not kept") == 1
        assert not list((disk / "plans").glob("*.plan"))
        close(engines)


def test_a_folder_that_cannot_be_written_costs_the_cache_and_not_the_engine(
    tiny_bundle, tmp_path, caplog
):
    (tmp_path / "cache").write_text("a file")
    engines = build(tiny_bundle, EngineRequest(precision="fp32", cache=tmp_path / "cache"))
    assert engines["tiny"].name == "tensorrt"
    assert caplog.text.count("is not kept") == 1
    close(engines)


# It fails while it serves


@pytest.mark.parametrize("fault", ["infer-error", "infer-hang", "nan"])
def test_the_window_it_fails_on_is_scored_by_onnx_runtime_and_all_that_follow(
    tiny_bundle, with_plan, monkeypatch, caplog, fault
):
    monkeypatch.setattr("edge_asd.engine.tensorrt.DEADLINE_S", 0.3)
    engines = open_tensorrt(tiny_bundle, with_plan)
    windows = [some_features(tiny_bundle, count=1, seed=seed) for seed in range(6)]
    plain = open_networks(tiny_bundle, EngineRequest())
    expected = np.concatenate([plain.embed(window)["tiny"] for window in windows])
    found = []
    for index, window in enumerate(windows):
        if index == 3:
            monkeypatch.setenv("FAKE_TRT", fault)
        found.append(embedded(tiny_bundle, engines, window))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)
    assert engines["tiny"].name == "onnxruntime"
    assert engines["tiny"].failure
    assert caplog.text.count("engine failed backend=tensorrt") == 1
    assert caplog.text.count("engine fallback backend=onnxruntime") == 1
    close(engines)
    monkeypatch.setenv("FAKE_TRT", "")
    assert "before a restart" in open_tensorrt(tiny_bundle, with_plan).reason
    monkeypatch.setattr(plans, "_trust", Trust())  # the restart
    assert isinstance(open_tensorrt(tiny_bundle, with_plan), dict)
