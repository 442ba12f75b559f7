"""What is measured in this process is the real pipeline, and its figures fit together."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.tiny import tiny_network

from edge_asd.bench.capacity import CapacityPlan, measure_capacity
from edge_asd.bench.course import FULL, KEYS, QUICK, Course
from edge_asd.bench.opening import make_ready
from edge_asd.bench.result import Delivery, Quantiles
from edge_asd.bench.run import BenchOptions, run_bench
from edge_asd.bench.running import ReceiptLog
from edge_asd.bench.scale import fitting
from edge_asd.bench.site import Setting, Site, Wanted
from edge_asd.bench.subject import Loop, Stream, alarmed
from edge_asd.bench.throughput import measure_throughput
from edge_asd.cli.bench import PARTS
from edge_asd.config import load_config
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import EngineError
from edge_asd.pipeline import Judged
from edge_asd.profile import load_profile


def quiet(*_):
    pass


def judged(stream, count):
    outcomes = [one for _ in range(count) for one in stream.hear()]
    return [one for one in outcomes if isinstance(one, Judged)]


def test_every_hop_of_a_stream_is_a_window_that_is_scored_and_normal(subject):
    windows = judged(Stream(subject), 120)  # beyond the end of the sound, which begins again
    assert [one.result for one in windows] == ["scored"] * 120
    threshold = subject.profile.calibration.threshold
    assert np.median([one.scored.score for one in windows]) < threshold


def test_what_is_always_an_alarm_hears_the_same_and_decides_otherwise(subject):
    profile = alarmed(subject.profile)
    highest = max(one.scored.score for one in judged(Stream(subject), 20))
    lowest = min(one.scored.score for one in judged(Stream(subject), 20))
    assert profile.calibration.clear_below < lowest
    assert profile.calibration.alarm_threshold < lowest <= highest
    assert profile.percentile(lowest) == 100.0


def test_pieces_of_a_loop_are_what_repeating_it_gives():
    sound = np.arange(10, dtype=np.float32)
    loop, whole = Loop(sound, 7), np.tile(sound, 5)
    for begin in range(30):
        np.testing.assert_array_equal(loop.piece(begin, 7), whole[begin : begin + 7])


def test_the_figures_of_throughput_fit_together(subject):
    told = []
    found = measure_throughput(subject, 0.5, lambda done, _: told.append(done))
    assert found.windows >= 6
    assert found.engine.median > found.pipeline.median > 1.0  # the pipeline runs the engine, too
    assert 0.0 < found.ratio.median < 1.0
    stages = found.stages_ms
    assert min(stages.features, stages.inference, stages.score) > 0.0
    assert (found.batch, found.batched) == (1, None)
    assert told == sorted(told)


class Batching(OnnxEngine):
    batch = 4


@pytest.fixture
def prepared(subject, monkeypatch):
    """Runs find their subject ready."""
    monkeypatch.setattr("edge_asd.bench.run.prepare", lambda *_: subject)


@pytest.fixture
def batching(tiny_bundle):
    engine = Batching(tiny_network(), "tiny")
    return NetworkSet(tiny_bundle, {"tiny": engine})


def test_an_engine_that_gains_by_batches_is_measured_with_them(subject, batching):
    found = measure_throughput(replace(subject, networks=batching), 0.3, quiet)
    assert found.batch == 4
    assert found.batched.median > 1.0


def test_the_capacity_is_the_most_that_was_run_and_sustained(subject, monkeypatch):
    monkeypatch.setattr("edge_asd.bench.capacity.LIMIT", 12)  # as many as any machine sustains
    found = measure_capacity(subject, CapacityPlan(0.6), quiet)
    sustained = [point.monitors for point in found.points if point.sustained]
    assert found.monitors == max(sustained, default=0)
    assert [point.monitors for point in found.points] == sorted(
        {point.monitors for point in found.points}
    )
    assert all(point.monitors <= 12 for point in found.points)
    if found.monitors == 12:  # and its shares, and what was sustained on the way there
        assert {3, 6, 9, 12} <= {point.monitors for point in found.points}
    assert all(point.lateness_ms.count >= 2 * point.monitors for point in found.points)


def test_a_site_is_a_configuration_that_the_daemon_takes(subject, tmp_path):
    cache = tmp_path / "engines"
    cache.mkdir()
    setting = Setting(subject, EngineRequest("onnxruntime", "fp32", 2, cache=cache))
    site = Site(tmp_path / "site", setting, Wanted(3, 1, 4.0, "mqtt://127.0.0.1:1883"))
    config = load_config(site.config)
    assert (config.engine.name, config.engine.threads) == ("onnxruntime", 2)
    assert config.mqtt.url == "mqtt://127.0.0.1:1883"
    thresholds = [
        load_profile(site.state_dir, name, subject.bundle).calibration.threshold
        for name in ("m0", "m1", "m2")
    ]
    assert thresholds[0] < -500.0 < thresholds[1] == thresholds[2]
    assert (site.state_dir / "engines").resolve() == cache
    sizes = {(site.folder / f"sounds/m{n}/0.wav").stat().st_size for n in range(3)}
    assert len(sizes) == 3  # every machine at a phase of its own


def test_receipts_are_read_once_and_only_in_whole_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "10:00:00 DEBUG edge_asd.report.report monitor=m0 event=a puback_s=0.012000\nnoise\nmon"
    )
    receipts = ReceiptLog(log)
    assert receipts.take() == [("m0", 0.012)]
    with log.open("a") as file:
        file.write("itor=m1 event=b puback_s=1.5\n")
    assert receipts.take() == [("m1", 1.5)]
    assert receipts.take() == []


def test_shares_of_a_progress_follow_each_other_to_the_end():
    told = []
    course = Course(lambda done, _: told.append(done), {"a": 1.0, "nothing": 0.0, "b": 3.0})
    for name in ("a", "nothing", "b"):
        tell = course.share(name)
        for done in (-1.0, 0.0, 0.5, 1.0, 2.0):
            tell(done, "")
    assert told == sorted(told)
    assert (told[0], told[2], told[-1]) == (0.0, 0.125, 1.0)


@pytest.mark.usefixtures("prepared")
def test_without_mosquitto_latency_is_null_and_the_reason_says_what_to_install(
    subject, tmp_path, monkeypatch
):
    monkeypatch.setattr("edge_asd.bench.run.find_mosquitto", lambda: None)
    options = BenchOptions(subject.bundle, EngineRequest(), ("latency", "load"), FULL)
    fields = run_bench(options, tmp_path, quiet).to_json()
    assert fields["latency_ms"] is None
    wanted = "mosquitto is missing (apt install mosquitto)"
    for key in (*KEYS["latency"], *KEYS["load"]):
        assert fields["not_measured"][key] == wanted
    for part in ("throughput", "capacity", "cost"):
        assert {fields["not_measured"][key] for key in KEYS[part]} == {"not asked for"}
    json.dumps(fields, allow_nan=False)


@pytest.mark.usefixtures("prepared")
def test_a_broker_that_does_not_start_costs_the_latency_only(subject, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_asd.bench.run.find_mosquitto", lambda: "/bin/false")
    options = BenchOptions(subject.bundle, EngineRequest(), ("throughput", "latency"), QUICK)
    fields = run_bench(options, tmp_path, quiet).to_json()
    assert fields["engine_windows_per_s"] > 1.0
    assert fields["not_measured"]["latency_ms"].startswith("/bin/false does not listen")


def test_the_command_line_offers_every_part():
    assert tuple(KEYS) == PARTS


@pytest.mark.usefixtures("prepared")
def test_a_daemon_that_does_not_start_costs_its_figures_only(subject, tmp_path):
    options = BenchOptions(
        subject.bundle, EngineRequest(), ("throughput", "cost"), QUICK, source="file:/no/such/file"
    )
    fields = run_bench(options, tmp_path, quiet).to_json()
    assert fields["engine_windows_per_s"] > 1.0
    assert fields["cpu_share"] is None
    assert "/no/such/file" in fields["not_measured"]["cpu_share"]


def test_tensorrt_that_was_asked_for_is_not_replaced(tiny_bundle, tmp_path):
    with pytest.raises(EngineError, match="TensorRT cannot be measured: TensorRT is not installed"):
        make_ready(tiny_bundle, EngineRequest("tensorrt", cache=tmp_path), quiet)


def test_nothing_of_it_is_loaded_until_somebody_measures():
    program = (
        "import sys, edge_asd.parts, edge_asd.cli.run, edge_asd.cli.bench\n"
        "print([name for name in sys.modules if name.startswith('edge_asd.bench')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(("late_s", "telling"), [(0.01, 2), (5.0, 1)])
def test_a_loaded_daemon_says_what_fits_unless_it_was_late(
    subject, tmp_path, monkeypatch, late_s, telling
):
    def measured(folder, setting, wanted, progress, *, cores=None):  # noqa: ARG001
        share = 0.02 if wanted.monitors == 1 else 0.004 + 0.008 * wanted.monitors
        late = Quantiles.of_seconds([0.01])
        if folder.name == "load":
            share, late = 0.006 * wanted.monitors + 0.014, Quantiles.of_seconds([late_s])
        return Delivery(wanted.monitors, wanted.alerting, None, late, (1.0,), share), None

    class Broker(contextlib.nullcontext):
        url = "mqtt://127.0.0.1:1"

        def __enter__(self):
            return self

    monkeypatch.setattr("edge_asd.bench.run.measure_delivery", measured)
    monkeypatch.setattr("edge_asd.bench.run.find_mosquitto", lambda: "mosquitto")
    monkeypatch.setattr("edge_asd.bench.run.Mosquitto", lambda *_: Broker())
    options = BenchOptions(subject.bundle, EngineRequest(), ("load",), FULL)
    found = run_bench(options, tmp_path, quiet)
    few, more, load = found.scale.cpu_shares
    assert (few[0], more[0]) == (1, 40)
    assert load[0] == int(0.8 * fitting(few, more))
    assert fitting(few, more) < fitting(few, load)
    assert found.scale.monitors == fitting(few, (few, more, load)[telling])
    assert found.loaded.load == load[0] / found.scale.monitors
