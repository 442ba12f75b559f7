"""Who returns to networks that came meanwhile learns with them; nothing counts before it must."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from support.sound import RATE, WALL_S, machine, seconds_of
from support.tiny import write_tiny_bundle

from edge_asd.bundle.store import bundle_of, keep_bundle
from edge_asd.config import MonitorConfig
from edge_asd.engine import open_networks
from edge_asd.engine_request import ANYWHERE
from edge_asd.enrolment.relearning import of_other_bundles
from edge_asd.errors import BusyError, DataError, ProfileError, StorageError
from edge_asd.profile import load_profile, profile_dir, save_profile
from edge_asd.profile.reservoir import PieceWriter
from edge_asd.swap.returning import Returning
from edge_asd.swap.swap import Serving, ToServe

SECTION = MonitorConfig(name="pump-1", source="sim:pump")


def spawn(name, work):
    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


@pytest.fixture
def away(tmp_path, tiny_bundle, pump_profile):
    """A monitor that knows the tiny bundle, and another bundle that serves by now."""
    keep_bundle(tmp_path, tiny_bundle)
    save_profile(tmp_path, pump_profile)
    writer = PieceWriter(profile_dir(tmp_path, "pump-1") / "reservoir", RATE)
    for block in seconds_of(machine("pump", 62.0)):
        writer.push(block)
    writer.close()
    serving = Serving(open_networks(write_tiny_bundle(tmp_path / "b.asd", seed=5, version="2")))
    bundle = serving.networks.bundle
    known = of_other_bundles(tmp_path, ["pump-1", "new"], bundle)
    assert {name: profile.bundle_sha256 for name, profile in known.items()} == {
        "pump-1": tiny_bundle.sha256
    }
    wanted = ToServe(bundle, ANYWHERE, {"pump-1": SECTION}, known)
    returning = Returning(serving, tmp_path, wanted, spawn=spawn)

    def unchanged():
        assert load_profile(tmp_path, "pump-1", tiny_bundle).created_at == pump_profile.created_at
        return not list(tmp_path.glob("profiles/*/next"))

    yield SimpleNamespace(
        state=tmp_path, returning=returning, bundle=bundle, serving=serving, unchanged=unchanged
    )
    serving.close()


def test_what_was_learned_counts_once_it_is_decided(away):
    steps, served = [], away.serving.networks
    away.returning.prepare(now=WALL_S, progress=lambda done, _text: steps.append(done))
    assert steps == sorted(steps)
    assert away.returning.learned["pump-1"].bundle_sha256 == away.bundle.sha256
    assert not away.unchanged()  # it lies beside what is in force
    away.returning.decide([])
    away.returning.switch()
    away.returning.drop()  # too late
    found = load_profile(away.state, "pump-1", bundle_of(away.state, ["pump-1"]))
    assert found.bundle_sha256 == away.bundle.sha256
    assert not of_other_bundles(away.state, ["pump-1"], away.bundle)
    assert away.serving.networks is served


def test_what_is_dropped_or_fails_leaves_everything_as_it_was(away):
    away.returning.prepare(now=WALL_S, progress=lambda *_: None)
    away.returning.drop()
    assert away.unchanged()

    def stopping(_done, text):
        if text == "pump-1: embedding":
            raise BusyError("the daemon is stopping")

    with pytest.raises(BusyError, match="stopping"):
        away.returning.prepare(now=WALL_S, progress=stopping)
    assert away.unchanged()
    blocked = away.state / "profiles" / ".exchange.json.tmp"
    away.returning.prepare(now=WALL_S, progress=lambda *_: None)
    blocked.mkdir()
    with pytest.raises(StorageError):
        away.returning.decide([])
    away.returning.drop()
    assert away.unchanged()
    reservoir = profile_dir(away.state, "pump-1") / "reservoir"
    reservoir.rename(away.state / "elsewhere")
    with pytest.raises(DataError, match="pump-1: cannot be learned again with tiny-2"):
        away.returning.prepare(now=WALL_S, progress=lambda *_: None)
    assert away.unchanged()


def test_a_profile_whose_bundle_is_gone_names_it_and_the_remedy(away):
    for path in (away.state / "bundles").iterdir():
        path.unlink()
    with pytest.raises(ProfileError, match=r"which is not here .*enrol pump-1 again"):
        of_other_bundles(away.state, ["pump-1"], away.bundle)
