"""A daemon's engine is shown, bettered while another serves, and given up when it fails."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from brokers import eventually
from prometheus_client import CollectorRegistry
from support.plans import build, fake, request_in, some_features
from support.rounds import Rounds

from edge_asd.engine import open_networks
from edge_asd.engine.forge import Forge
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.parts import spawn
from edge_asd.swap.engine_keeper import EngineKeeper
from edge_asd.swap.swap import Serving

__all__ = ["fake", "request_in"]


class Kept:
    """A keeper and what it changes."""

    def __init__(self, bundle, request, *, builds=True):
        self.request = request
        self.serving = Serving(open_networks(bundle, request))
        self.serving.begin(Rounds())
        self.board, self.registry = HealthBoard(), CollectorRegistry()
        self.keeper = EngineKeeper(
            self.serving,
            lambda: self.request,
            board=self.board,
            metrics=Metrics(self.registry, version="test"),
            spawn=spawn,
            builds=builds,
        )

    def look(self):
        """The check ``engine`` as it is now."""
        self.keeper.look()
        return self.board.snapshot()["engine"]

    @property
    def backend(self):
        """Who scores."""
        return self.serving.networks.backend

    def errors(self):
        """Failures of TensorRT that were counted."""
        labels = {"backend": "tensorrt"}
        return self.registry.get_sample_value("edge_asd_inference_errors_total", labels)


@pytest.fixture
def kept(tiny_bundle):
    """Makes keepers and ends them."""
    made = []

    def make(request, **settings):
        made.append(Kept(tiny_bundle, request, **settings))
        return made[-1]

    yield make
    for one in made:
        one.keeper.close()
        one.serving.close()


def builders():
    return [thread for thread in threading.enumerate() if thread.name == "engine-build"]


def test_plans_are_built_while_onnx_runtime_serves_and_then_take_over(fake, kept, request_in):
    fake("build-slow=2")
    daemon = kept(request_in())
    seen = [daemon.look()]
    assert daemon.backend == "onnxruntime"
    eventually(lambda: seen.append(daemon.look()) or daemon.backend == "tensorrt")
    assert {check.status for check in seen} == {Health.HEALTHY}
    assert any("onnxruntime fp32 serves: TensorRT plans are built" in one.text for one in seen)
    assert "tensorrt fp32 serves" in daemon.look().text
    assert kept(request_in()).backend == "tensorrt"  # the next start


def test_plans_that_are_ready_when_something_else_was_asked_for_do_not_take_over(
    fake, kept, request_in
):
    fake("build-slow=1")
    daemon = kept(request_in())
    daemon.look()
    daemon.request = request_in(name="onnxruntime")  # and nobody has looked since
    eventually(lambda: not builders())
    assert daemon.backend == "onnxruntime"
    assert "onnxruntime fp32 serves" in daemon.look().text
    assert daemon.look().status is Health.HEALTHY


@pytest.mark.parametrize("fault", ["build-refuse", "try-crash"])
def test_plans_that_cannot_be_built_are_a_warning_and_onnx_runtime_goes_on(
    fake, kept, request_in, fault
):
    fake(fault)
    daemon = kept(request_in())
    eventually(lambda: daemon.look().status is Health.WARNING)
    assert "onnxruntime fp32 serves: TensorRT cannot serve" in daemon.look().text
    assert daemon.backend == "onnxruntime"


@pytest.mark.parametrize(
    ("name", "status"), [("auto", Health.HEALTHY), ("tensorrt", Health.WARNING)]
)
def test_a_gpu_that_is_not_there_is_a_warning_only_where_it_was_asked_for(
    fake, kept, request_in, name, status
):
    fake("no-device")
    daemon = kept(request_in(name=name))
    daemon.look()
    eventually(lambda: not builders())
    assert daemon.look().status is status
    assert "no_device" in daemon.look().text


@pytest.mark.parametrize(
    ("changes", "settings"), [({"name": "onnxruntime"}, {}), ({}, {"builds": False})]
)
@pytest.mark.usefixtures("fake")
def test_nothing_is_built_where_it_is_not_wanted(kept, request_in, changes, settings):
    daemon = kept(request_in(**changes), **settings)
    daemon.look()
    assert not builders()


@pytest.mark.usefixtures("fake")
def test_a_tensorrt_that_fails_is_told_counted_and_replaced_for_good(
    fake, kept, request_in, tiny_bundle
):
    for engine in build(tiny_bundle, request_in(), Forge()).values():
        engine.close()
    daemon = kept(request_in())
    assert daemon.look().status is Health.HEALTHY
    features = some_features(tiny_bundle)
    fine = daemon.serving.networks.embed(features)["tiny"]
    fake("infer-error")
    np.testing.assert_allclose(
        daemon.serving.networks.embed(features)["tiny"], fine, atol=1e-5
    )  # by the spare
    before = daemon.serving.networks
    check = daemon.look()
    assert check.status is Health.WARNING
    assert "since TensorRT failed" in check.text
    eventually(lambda: daemon.serving.networks is not before)
    fake("")
    for _ in range(3):
        assert daemon.look().status is Health.WARNING
    assert (daemon.backend, daemon.errors()) == ("onnxruntime", 1)
    assert not builders()
    daemon.request = replace(daemon.request, name="onnxruntime")  # the operator does without
    assert daemon.look().status is Health.HEALTHY


def test_what_is_being_built_is_given_up_at_the_end_and_when_it_is_wanted_no_more(
    fake, kept, request_in
):
    fake("build-hang")
    for end in ("close", "retune"):
        daemon = kept(request_in())
        daemon.look()
        assert builders()
        if end == "close":
            daemon.keeper.close()
        else:
            daemon.request = replace(daemon.request, name="onnxruntime")
            daemon.look()
        eventually(lambda: not builders())
        assert daemon.backend == "onnxruntime"
