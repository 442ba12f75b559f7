"""Fixtures that several test folders share."""

from __future__ import annotations

import signal

import pytest
from brokers import mosquitto
from hypothesis import HealthCheck, settings
from support import punctual
from support.contract import WITNESS
from support.processes import plant, shell
from support.sound import enrolled, machine
from support.tiny import write_tiny_bundle

from edge_asd.engine import open_networks

__all__ = ["mosquitto", "plant", "shell"]

# How fast an example is says how busy the machine is, and nothing about what is tested.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_configure(config):
    what = "real_time: promises in seconds of the real world; see support.punctual"
    config.addinivalue_line("markers", what)
    what = "own_payloads: sends what no daemon would, so the contract is not held against it"
    config.addinivalue_line("markers", what)
    # A shell without job control makes what it runs in its background deaf to Ctrl-C, and our
    # children would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_protocol(item, nextitem):
    if item.get_closest_marker("real_time") is None:
        return None
    punctual.run(item, nextitem)
    return True


def pytest_terminal_summary(terminalreporter):
    punctual.summarise(terminalreporter)


@pytest.fixture(autouse=True)
def _contract_is_kept(request):
    """Every message that a subscriber of a test receives is one that the contract promises."""
    WITNESS.take()
    yield
    found = WITNESS.take()
    if request.node.get_closest_marker("own_payloads") is None:
        assert not found, found[:5]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """The tiny bundle of ``support.tiny``, on disk."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny-1.asd")


@pytest.fixture(scope="session")
def tiny_networks(tiny_bundle):
    """Its networks, opened once: no test changes them."""
    networks = open_networks(tiny_bundle)
    yield networks
    networks.close()


@pytest.fixture(scope="session")
def pump_profile(tiny_networks):
    """What ``pump-1`` learned from 90 s of a simulated pump, with the tiny bundle."""
    return enrolled(tiny_networks, machine("pump", 90.0))
