"""A real daemon on a fake GPU: begins without, builds, changes over, and survives its failure."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
import soundfile
from brokers import Subscriber, eventually
from support.plans import build
from support.processes import ROOT, DaemonProcess, cli, lines
from support.tensorrt_fake import environment, fake_runtime

from edge_asd.bundle import load_bundle
from edge_asd.config import Config, engine_request

PUMP = {"monitor": "pump"}


def on_fake(faults=""):
    """Environment of a daemon that finds the fake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        found = environment(faults)
    return {name: found[name] for name in ("PYTHONPATH", "FAKE_TRT")}


def builders(daemon):
    """Children of the daemon in which plans are built."""
    found = []
    for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                if b"plan_child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def alive(process):
    """Whether it is there, and not merely remembered for its parent."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_plans_are_built_beside_the_scoring_and_take_over_without_a_gap(plant, tmp_path):
    player = plant.player(tmp_path, speed=2.0)
    config = plant.config(tmp_path, player.source, engine={"name": "auto"})
    state = plant.state(tmp_path)
    with DaemonProcess(state, "--config", config, **on_fake("build-slow=4")) as daemon:
        assert daemon.metric("model_info", backend="onnxruntime") == 1
        daemon.logged(r"engine build=running done=0%")
        daemon.until(lambda: daemon.metric("windows_total", result="scored", **PUMP) > 3)
        assert daemon.checks()["engine"]["status"] == "healthy"
        daemon.logged(r"engine build=done bundle=tiny-1")
        daemon.until(lambda: "tensorrt fp32 serves" in daemon.checks()["engine"]["text"])
        assert daemon.metric("model_info", backend="tensorrt") == 1
        assert daemon.metric("engine_build_duration_seconds") > 3
        with pytest.raises(AssertionError, match="no metric"):
            daemon.metric("model_info", backend="onnxruntime")
        scored = daemon.metric("windows_total", result="scored", **PUMP)
        daemon.until(lambda: daemon.metric("windows_total", result="scored", **PUMP) > scored + 5)
        for lost in ("gapped", "dropped", "skipped"):
            assert daemon.metric("windows_total", result=lost, **PUMP) == 0
        assert daemon.stop()[0] == 0
    with DaemonProcess(state, "--config", config, **on_fake("build-refuse")) as daemon:
        assert daemon.metric("model_info", backend="tensorrt") == 1  # from its first window on
        assert daemon.stop()[0] == 0


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_daemon_that_ends_while_it_builds_leaves_nobody_behind(plant, tmp_path, end):
    config = plant.config(tmp_path, plant.player(tmp_path).source, engine={"name": "tensorrt"})
    faults = on_fake("build-hang")
    with DaemonProcess(plant.state(tmp_path), "--config", config, **faults) as daemon:
        daemon.logged("engine build=running")
        (builder,) = daemon.until(lambda: builders(daemon))
        getattr(daemon, end)()
    assert eventually(lambda: not alive(builder), what="the end of the builder")


@pytest.mark.broker
def test_a_gpu_that_fails_costs_no_window_and_is_told(plant, mosquitto, tmp_path):
    mosquitto.start()
    state, clip = plant.state(tmp_path), tmp_path / "clip.wav"
    sound, rate = soundfile.read(plant.faulty, dtype="float32")
    soundfile.write(clip, sound[: 20 * rate], rate)
    with fake_runtime():
        request = engine_request(Config(), state)
        for engine in build(load_bundle(plant.bundle), request).values():
            engine.close()
    config = plant.config(
        tmp_path, f"file:{clip}?speed=4", engine={"name": "auto"}, mqtt={"url": mosquitto.url}
    )
    arguments, fails = ("--config", config, "--once"), on_fake("infer-error,after=60")
    with (
        Subscriber(mosquitto.port, "edge-asd/hall/pump/score") as subscriber,
        DaemonProcess(state, *arguments, **fails) as daemon,
    ):
        assert daemon.metric("model_info", backend="tensorrt") == 1
        daemon.logged("engine failed backend=tensorrt")
        daemon.until(lambda: daemon.metric("inference_fallbacks_total") == 1)
        check = daemon.checks()["engine"]
        assert check["status"] == "warning"
        assert "since TensorRT failed" in check["text"]
        assert check["remedy"]
        daemon.until(lambda: re.search(r'model_info{.*"onnxruntime"', daemon.get("/metrics")[1]))
        assert daemon.wait() == 0, daemon.log
        live = [json.loads(payload)["score"] for _, payload, _ in subscriber.messages]
    offline = cli(
        *("score", "--monitor", "pump", "--config", config, "--state-dir", plant.enrolled),
        *(clip, "--windows", "--json"),
    )
    expected = [row["score"] for row in lines(offline)]
    assert abs(len(live) - len(expected)) <= 1  # the last is right-aligned offline
    assert live[:-1] == pytest.approx(expected[: len(live) - 1], abs=1e-4, rel=1e-4)
