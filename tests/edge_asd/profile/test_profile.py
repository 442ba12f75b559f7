"""A profile comes back exactly, is replaced whole, and damage is named."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.sound import RATE, enrolled, machine
from support.tiny import write_tiny_bundle

from edge_asd.embed import WindowEmbedder
from edge_asd.engine import open_networks
from edge_asd.errors import ProfileError, StorageError
from edge_asd.hearing.signal_rule import SignalRule
from edge_asd.profile import Blocks, has_profile, load_profile, profile_dir, save_profile
from edge_asd.score import SCORERS, named_scorers
from edge_asd.score.calibrate import MAX_BLOCKS, Persistence


@pytest.fixture
def saved(tmp_path, pump_profile):
    save_profile(tmp_path, pump_profile)
    return profile_dir(tmp_path, "pump-1")


def same(a, b):
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if field.name == "detector":
            assert one.standards == other.standards
            assert one.state().keys() == other.state().keys()
            for name, array in one.state().items():
                assert_array_equal(array, other.state()[name])
        elif field.name in ("idle_rule", "held_out", "blocks"):
            for inner in fields(one):
                assert_array_equal(getattr(one, inner.name), getattr(other, inner.name))
        else:
            assert one == other, field.name


def edit(folder, **changes):
    path = folder / "profile.json"
    raw = json.loads(path.read_text())
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            raw[section][key] = value
        else:
            raw[section] = value
    path.write_text(json.dumps(raw))


def refusal(tmp_path, bundle):
    with pytest.raises(ProfileError) as caught:
        load_profile(tmp_path, "pump-1", bundle)
    text = str(caught.value)
    assert str(profile_dir(tmp_path, "pump-1")) in text
    assert "\n" not in text
    return text


def test_a_profile_comes_back_exactly(tmp_path, saved, tiny_bundle, pump_profile):
    same(load_profile(tmp_path, "pump-1", tiny_bundle), pump_profile)
    assert sorted(path.suffix for path in saved.iterdir()) == [".json", ".npz"]


def test_a_profile_from_before_microphones_were_learned_has_a_cautious_rule(
    tmp_path, saved, tiny_bundle, pump_profile
):
    path = saved / "profile.json"
    raw = json.loads(path.read_text())
    del raw["signal"], raw["microphone"]
    path.write_text(json.dumps(raw))
    loaded = load_profile(tmp_path, "pump-1", tiny_bundle)
    assert loaded.signal == SignalRule.from_idle_rule(pump_profile.idle_rule)
    assert loaded.microphone == ""
    save_profile(tmp_path, loaded)
    same(load_profile(tmp_path, "pump-1", tiny_bundle), loaded)


def test_the_microphone_it_was_enrolled_with_comes_back(tmp_path, tiny_bundle, pump_profile):
    save_profile(tmp_path, replace(pump_profile, microphone="usb:046d:0825 #A1B2"))
    assert load_profile(tmp_path, "pump-1", tiny_bundle).microphone == "usb:046d:0825 #A1B2"


def test_a_profile_with_an_idle_spectrum_comes_back_exactly(tmp_path, tiny_bundle, tiny_networks):
    profile = enrolled(tiny_networks, machine("pump", 150.0, off=((60.0, 100.0),)))
    assert profile.idle_rule.quiet_shape_db is not None
    save_profile(tmp_path, profile)
    same(load_profile(tmp_path, "pump-1", tiny_bundle), profile)


def test_a_restored_profile_gives_the_same_scores(
    tmp_path, saved, tiny_bundle, tiny_networks, pump_profile
):
    assert saved.exists()
    restored = load_profile(tmp_path, "pump-1", tiny_bundle)
    _, views, _ = WindowEmbedder(tiny_networks).embed_clip(machine("pump", 90.0)[: 5 * RATE])
    assert_array_equal(
        restored.detector.score(views).scores, pump_profile.detector.score(views).scores
    )


@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_every_named_scorer_is_enrolled_from_a_bundle_and_restored(tmp_path, fusion):
    scorers = [spec.model_dump() for spec in named_scorers("+".join(SCORERS), "tiny")]
    bundle = write_tiny_bundle(tmp_path / "all-1.asd", scorers=scorers, fusion=fusion)
    networks = open_networks(bundle)
    embedder = WindowEmbedder(networks)
    profile = enrolled(networks, machine("pump", 90.0))
    save_profile(tmp_path, profile)
    restored = load_profile(tmp_path, "pump-1", bundle)
    same(restored, profile)
    _, views, _ = embedder.embed_clip(machine("fan", 5.0))
    networks.close()
    fused = restored.detector.score(views)
    assert_array_equal(fused.scores, profile.detector.score(views).scores)
    assert list(fused.parts) == list(SCORERS)
    assert fused.scores.min() > profile.calibration.usual


def test_whether_there_is_a_profile(tmp_path, pump_profile):
    assert not has_profile(tmp_path, "pump-1")
    save_profile(tmp_path, pump_profile)
    assert has_profile(tmp_path, "pump-1")
    assert not has_profile(tmp_path, "pump-2")


def test_saving_again_leaves_nothing_of_the_old_one(tmp_path, saved, tiny_bundle, pump_profile):
    newer = pump_profile.recalibrated(np.asarray([1.0, 2.0], np.float32))
    save_profile(tmp_path, newer)
    same(load_profile(tmp_path, "pump-1", tiny_bundle), newer)
    assert len(list(saved.iterdir())) == 2


def test_a_crash_between_arrays_and_text_leaves_the_old_profile(
    tmp_path, saved, tiny_bundle, pump_profile
):
    newer = pump_profile.recalibrated(np.asarray([9.0] * 7, np.float32))
    (saved / ".profile.json.tmp").mkdir()  # what is written last cannot be written
    with pytest.raises(StorageError, match=r"profile\.json: cannot be written"):
        save_profile(tmp_path, newer)
    assert len(list(saved.glob("references-*.npz"))) == 2  # the new arrays are there already
    same(load_profile(tmp_path, "pump-1", tiny_bundle), pump_profile)
    (saved / ".profile.json.tmp").rmdir()
    save_profile(tmp_path, newer)
    same(load_profile(tmp_path, "pump-1", tiny_bundle), newer)
    assert len(list(saved.glob("references-*.npz"))) == 1


def test_a_crash_while_arrays_are_written_leaves_the_old_profile(
    tmp_path, saved, tiny_bundle, pump_profile
):
    (saved / ".references-0123456789abcdef.npz.tmp").write_bytes(b"half of")
    (saved / ".profile.json.tmp").write_bytes(b"{")
    loaded = load_profile(tmp_path, "pump-1", tiny_bundle)
    assert loaded.created_at == pump_profile.created_at
    same(loaded, pump_profile)


def test_a_profile_of_another_bundle_is_refused_and_both_are_named(tmp_path, saved, tiny_bundle):
    assert saved.exists()
    other = write_tiny_bundle(tmp_path / "other.asd", seed=3, version="2")
    text = refusal(tmp_path, other)
    assert f"tiny-1 ({tiny_bundle.sha256[:12]})" in text
    assert f"tiny-2 ({other.sha256[:12]})" in text
    assert "enrol pump-1 again" in text


def test_a_missing_profile_says_how_to_make_one(tmp_path, tiny_bundle):
    assert "edge-asd enrol --monitor pump-1" in refusal(tmp_path, tiny_bundle)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b"[" * 100_000])
def test_damaged_text_is_refused(tmp_path, saved, tiny_bundle, data):
    (saved / "profile.json").write_bytes(data)
    assert "profile.json" in refusal(tmp_path, tiny_bundle)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_text_is_refused(tmp_path, saved, tiny_bundle, share):
    path = saved / "profile.json"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "profile.json" in refusal(tmp_path, tiny_bundle)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 3}, "newer than this version; update edge-asd"),
        ({"schema": "one"}, "schema"),
        ({"extra": 1}, "extra"),
        ({"gain_db": "loud"}, "gain_db"),
        ({"gain_db": float("nan")}, "gain_db"),
        ({"calibration__threshold": float("nan")}, "calibration.threshold"),
        ({"calibration__alarm_threshold": float("inf")}, "calibration.alarm_threshold"),
        ({"calibration__method": "guess"}, "calibration.method"),
        ({"persistence__k": 0}, "persistence.k"),
        ({"block_s": 0.0}, "block_s"),
        ({"idle__longest_pause_slots": -1}, "idle.longest_pause_slots"),
        ({"signal__floor_dbfs": float("nan")}, "signal.floor_dbfs"),
        ({"signal__hold_s": 0.0}, "signal.hold_s"),
        ({"signal__clipped_ratio": 1.5}, "signal.clipped_ratio"),
        ({"signal__octaves_dbfs": [None]}, "signal.octaves_dbfs.0"),
        ({"microphone": 7}, "microphone"),
        ({"standards": {}}, "not standardised"),
        ({"standards": {"level": {"shift": 0, "scale": 0}}}, "standards.level.scale"),
        ({"references": "../../etc/passwd"}, "references"),
        ({"references": "references-0000000000000000.npz"}, "No such file"),
        ({"references_sha256": "0" * 64}, "altered or truncated"),
    ],
)
def test_text_that_does_not_fit_is_refused(tmp_path, saved, tiny_bundle, changes, says):
    edit(saved, **changes)
    assert says in refusal(tmp_path, tiny_bundle)


@pytest.mark.parametrize("at", [0, 100, -1, -100])
def test_one_altered_byte_of_the_arrays_is_refused(tmp_path, saved, tiny_bundle, at):
    (path,) = saved.glob("*.npz")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert "altered or truncated; enrol pump-1 again" in refusal(tmp_path, tiny_bundle)


def test_missing_arrays_are_refused(tmp_path, saved, tiny_bundle):
    (path,) = saved.glob("*.npz")
    path.unlink()
    assert path.name in refusal(tmp_path, tiny_bundle)


def test_arrays_that_lack_a_part_are_refused(tmp_path, saved, tiny_bundle):
    import hashlib

    from edge_asd.bundle import npz_bytes, read_npz

    (path,) = saved.glob("*.npz")
    arrays = read_npz(path.read_bytes(), path.name)
    for name in arrays:
        if name == "idle/quiet_shape_db" or name.startswith("few/"):  # may be absent
            continue
        data = npz_bytes({key: array for key, array in arrays.items() if key != name})
        path.write_bytes(data)
        edit(saved, references_sha256=hashlib.sha256(data).hexdigest())
        assert path.name in refusal(tmp_path, tiny_bundle)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path, pump_profile):
    (tmp_path / "profiles").write_bytes(b"")
    with pytest.raises(StorageError):
        save_profile(tmp_path, pump_profile)


# Calibration of a profile


def test_quiet_live_blocks_make_the_calibration_firmer(pump_profile):
    quiet = np.full(40, pump_profile.calibration.usual, np.float32)
    firmer = pump_profile.recalibrated(quiet)
    assert firmer.calibration.supported_per_week < pump_profile.calibration.supported_per_week
    assert firmer.calibration.method == "block_maxima"
    assert len(firmer.blocks.maxima) == len(pump_profile.blocks.maxima) + 40
    assert_array_equal(firmer.held_out.scores, pump_profile.held_out.scores)


def test_what_was_heard_to_be_normal_is_below_the_threshold_afterwards(pump_profile):
    maxima = np.linspace(0, 8, 20, dtype=np.float32)
    assert pump_profile.recalibrated(maxima).calibration.threshold >= 8.0


def test_listening_for_ever_takes_bounded_memory(pump_profile):
    blocks = Blocks(np.zeros(MAX_BLOCKS, np.float32), 30.0)
    heard_s = len(blocks.maxima) * blocks.block_s
    for _ in range(200):
        new = np.ones(51, np.float32)
        heard_s += 51 * blocks.block_s
        blocks = blocks.joined(new)
        assert len(blocks.maxima) <= MAX_BLOCKS
    assert len(blocks.maxima) * blocks.block_s == pytest.approx(heard_s, rel=0.02)
    assert pump_profile.blocks.block_s < blocks.block_s


def test_another_rate_keeps_the_blocks_and_moves_the_threshold(tiny_bundle, pump_profile):
    heard = pump_profile.recalibrated(np.linspace(0, 2, 60, dtype=np.float32))
    stricter = heard.retuned(heard.persistence, 0.01, tiny_bundle.manifest)
    assert stricter.calibration.asked_per_week == 0.01
    assert stricter.calibration.threshold > heard.calibration.threshold
    assert_array_equal(stricter.blocks.maxima, heard.blocks.maxima)


def test_another_persistence_makes_the_blocks_anew(tiny_bundle, pump_profile):
    heard = pump_profile.recalibrated(np.linspace(0, 2, 60, dtype=np.float32))
    persistence = Persistence(10, 12)
    found = heard.retuned(persistence, 100.0, tiny_bundle.manifest)
    assert found.persistence == persistence
    fresh = heard.held_out.blocks(persistence, tiny_bundle.manifest)
    assert_array_equal(found.blocks.maxima, fresh.maxima)
    assert len(found.blocks.maxima) == len(pump_profile.blocks.maxima)


def test_a_percentile_is_that_of_the_held_out_scores(pump_profile):
    scores = pump_profile.held_out.scores
    assert pump_profile.percentile(float(np.median(scores))) == pytest.approx(50.0, abs=1.0)
    assert replace(pump_profile).percentile(1e9) == 100.0
