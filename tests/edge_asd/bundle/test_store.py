"""Every bundle that a profile was learned with stays available to it."""

from dataclasses import replace

import pytest
from support.tiny import write_tiny_bundle

from edge_asd.bundle import load_bundle
from edge_asd.bundle.store import (
    bundle_of,
    bundle_to_start_with,
    choose_bundle,
    forget_bundles,
    keep_bundle,
)
from edge_asd.errors import BundleError
from edge_asd.profile import profile_dir, save_profile


@pytest.fixture
def own(tmp_path):
    """A bundle that will be lost after enrolment."""
    return write_tiny_bundle(tmp_path / "download" / "tiny-1.asd", seed=4)


def enrolled_with(state_dir, profile, bundle, monitor="pump-1"):
    save_profile(state_dir, replace(profile, monitor=monitor, bundle_sha256=bundle.sha256))


def test_a_bundle_is_found_again_when_its_file_is_gone(tmp_path, own, pump_profile):
    keep_bundle(tmp_path, own)
    enrolled_with(tmp_path, pump_profile, own)
    own.path.unlink()
    assert bundle_of(tmp_path, ["pump-1"]).sha256 == own.sha256
    assert choose_bundle(tmp_path, None, ["pump-1"]).sha256 == own.sha256


def test_keeping_a_bundle_twice_changes_nothing(tmp_path, own):
    keep_bundle(tmp_path, own)
    (kept,) = (tmp_path / "bundles").iterdir()
    before = kept.stat().st_mtime_ns
    keep_bundle(tmp_path, own)
    assert kept.stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [kept.name]


def test_an_explicit_path_comes_first(tmp_path, own, tiny_bundle, pump_profile):
    keep_bundle(tmp_path, own)
    enrolled_with(tmp_path, pump_profile, own)
    chosen = choose_bundle(tmp_path, str(tiny_bundle.path), ["pump-1"])
    assert chosen.sha256 == tiny_bundle.sha256


def test_of_several_bundles_the_one_counts_that_most_were_learned_with(
    tmp_path, own, tiny_bundle, pump_profile
):
    for bundle in (own, tiny_bundle):
        keep_bundle(tmp_path, bundle)
    for name, bundle in (("a", own), ("b", tiny_bundle), ("c", tiny_bundle)):
        enrolled_with(tmp_path, pump_profile, bundle, name)
    assert bundle_of(tmp_path, ["new", "a", "b", "c"]).sha256 == tiny_bundle.sha256
    assert bundle_of(tmp_path, ["a", "b"]).sha256 == own.sha256  # the first of as many
    assert bundle_of(tmp_path, ["b", "a"]).sha256 == tiny_bundle.sha256


def test_a_monitor_without_a_profile_does_not_matter(tmp_path, own, pump_profile):
    keep_bundle(tmp_path, own)
    enrolled_with(tmp_path, pump_profile, own)
    assert bundle_of(tmp_path, ["new", "pump-1"]).sha256 == own.sha256


def test_a_damaged_profile_does_not_hide_the_others(tmp_path, own, pump_profile):
    keep_bundle(tmp_path, own)
    enrolled_with(tmp_path, pump_profile, own)
    broken = profile_dir(tmp_path, "pump-2")
    broken.mkdir(parents=True)
    for text in ("{", "[]", "{}", "null"):
        (broken / "profile.json").write_text(text)
        assert bundle_of(tmp_path, ["pump-1", "pump-2"]).sha256 == own.sha256


def test_a_kept_bundle_that_was_damaged_is_refused(tmp_path, own, pump_profile):
    keep_bundle(tmp_path, own)
    enrolled_with(tmp_path, pump_profile, own)
    (kept,) = (tmp_path / "bundles").iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(BundleError, match=kept.name):
        bundle_of(tmp_path, ["pump-1"])


def test_bundles_that_nobody_needs_are_forgotten(tmp_path, own, tiny_bundle, pump_profile):
    third = write_tiny_bundle(tmp_path / "third.asd", seed=6)
    for bundle in (own, tiny_bundle, third):
        keep_bundle(tmp_path, bundle)
    enrolled_with(tmp_path, pump_profile, own, "removed-from-the-file")
    forget_bundles(tmp_path, {tiny_bundle.sha256})
    kept = {load_bundle(path).sha256 for path in (tmp_path / "bundles").iterdir()}
    assert kept == {own.sha256, tiny_bundle.sha256}


def test_monitors_begin_with_what_they_have_learned_whatever_is_wanted(
    tmp_path, own, tiny_bundle, pump_profile
):
    assert bundle_to_start_with(tmp_path, own, ["pump-1"]) is own
    keep_bundle(tmp_path, tiny_bundle)
    enrolled_with(tmp_path, pump_profile, tiny_bundle)
    assert bundle_to_start_with(tmp_path, own, ["pump-1", "new"]).sha256 == tiny_bundle.sha256
    assert bundle_to_start_with(tmp_path, tiny_bundle, ["pump-1"]) is tiny_bundle
    assert bundle_to_start_with(tmp_path, own, ["new"]) is own
    # Who knows another bundle than most does not decide.
    enrolled_with(tmp_path, pump_profile, own, "late")
    enrolled_with(tmp_path, pump_profile, tiny_bundle, "pump-2")
    names = ["late", "pump-1", "pump-2"]
    assert bundle_to_start_with(tmp_path, tiny_bundle, names) is tiny_bundle
    assert bundle_to_start_with(tmp_path, own, names).sha256 == tiny_bundle.sha256
