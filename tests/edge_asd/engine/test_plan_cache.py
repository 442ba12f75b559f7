"""Plans on disk are whole, of this computer, and within their limits; or they are not there."""

from __future__ import annotations

import dataclasses
import os

import pytest
from support.disks import fill, small_disk

from edge_asd.engine.plan_cache import CachedPlan, Host, PlanCache, PlanKey, Proof
from edge_asd.errors import BusyError, StorageError

HOST = Host(tensorrt="10.3.0", gpu="Orin", compute_capability="8.7")
KEY = PlanKey(HOST, onnx_sha256="ab" * 32, precision="fp16", options="b8")
PLAN = CachedPlan(bytes(range(256)) * 8, Proof(driver="12060", bundle_sha256="cd" * 32))


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


def the_file(cache):
    (path,) = cache.folder.glob("*.plan")
    return path


def other(number):
    return dataclasses.replace(KEY, onnx_sha256=f"{number:064x}")


def used(cache, key, at):
    """Pretend that a plan was last used then."""
    os.utime(cache.beside(key, ".plan"), (at, at))


def test_a_plan_comes_back_as_it_was_with_its_proof(cache):
    assert cache.load(KEY) is None
    cache.store(KEY, PLAN)
    assert dataclasses.astuple(cache.load(KEY)) == dataclasses.astuple(PLAN)
    cache.remove(KEY)
    assert cache.load(KEY) is None


@pytest.mark.parametrize(
    "change",
    [
        {"host": dataclasses.replace(HOST, tensorrt="10.3.1")},
        {"host": dataclasses.replace(HOST, gpu="Thor")},
        {"host": dataclasses.replace(HOST, compute_capability="11.0")},
        {"onnx_sha256": "ef" * 32},
        {"precision": "fp32"},
        {"options": "b4"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_differs_needs_another_plan(cache, change):
    cache.store(KEY, PLAN)
    assert cache.load(dataclasses.replace(KEY, **change)) is None
    assert cache.load(KEY) is not None


@pytest.mark.parametrize("at", range(0, 2500, 61))
def test_a_bit_that_flipped_anywhere_is_noticed_and_the_file_removed(cache, at, caplog):
    cache.store(KEY, PLAN)
    data = bytearray(the_file(cache).read_bytes())
    data[at % len(data)] ^= 4
    the_file(cache).write_bytes(data)
    assert cache.load(KEY) is None
    assert not list(cache.folder.glob("*.plan"))
    assert "reason=damaged" in caplog.text


@pytest.mark.parametrize("length", [0, 1, 64, 65, 300, 2047])
def test_a_truncated_plan_is_not_there(cache, length):
    cache.store(KEY, PLAN)
    the_file(cache).write_bytes(the_file(cache).read_bytes()[:length])
    assert cache.load(KEY) is None
    assert not list(cache.folder.glob("*.plan"))


def test_a_plan_under_the_name_of_another_is_not_taken_for_it(cache):
    cache.store(KEY, PLAN)
    the_file(cache).rename(cache.beside(other(1), ".plan"))
    assert cache.load(other(1)) is None


def test_plans_of_another_gpu_or_version_go_at_the_next_store(cache):
    before = dataclasses.replace(KEY, host=dataclasses.replace(HOST, tensorrt="10.2.0"))
    cache.store(before, PLAN)
    cache.store_timing(before.host, b"timed")
    cache.beside(before, ".strikes").write_text("[]")
    cache.store(KEY, PLAN)
    assert cache.load(before) is None
    assert cache.load_timing(before.host) == b""
    assert [path.suffix for path in cache.folder.iterdir()] == [".plan"]


def test_too_many_plans_cost_the_longest_unused_with_what_is_remembered_of_it(tmp_path):
    cache = PlanCache(tmp_path, max_plans=2)
    for number in range(3):
        cache.store(other(number), PLAN)
        used(cache, other(number), at=1000 + number)
    assert cache.load(other(0)) is None
    cache.load(other(1))  # now the latest
    cache.beside(other(2), ".strikes").write_text("[]")
    cache.store(other(3), PLAN)
    assert [n for n in range(4) if cache.load(other(n))] == [1, 3]
    assert not cache.beside(other(2), ".strikes").exists()


def test_too_many_bytes_cost_the_longest_unused_and_never_the_newest(tmp_path):
    cache = PlanCache(tmp_path, max_bytes=2 * len(PLAN.data))
    cache.store(other(0), PLAN)
    used(cache, other(0), at=1000)
    cache.store(other(1), PLAN)
    assert [n for n in range(2) if cache.load(other(n))] == [1]
    cache.store(other(2), dataclasses.replace(PLAN, data=PLAN.data * 9))
    assert [n for n in range(3) if cache.load(other(n))] == [2]


def test_strangers_in_the_folder_are_left_alone(cache):
    cache.store(KEY, PLAN)
    (cache.folder / "README").write_text("mine")
    cache.store(other(1), PLAN)
    assert (cache.folder / "README").exists()


def test_a_timing_cache_is_of_its_host_whole_and_bounded(cache, monkeypatch):
    cache.store_timing(HOST, b"timed")
    assert cache.load_timing(HOST) == b"timed"
    assert cache.load_timing(dataclasses.replace(HOST, gpu="Thor")) == b""
    monkeypatch.setattr("edge_asd.engine.plan_cache.MAX_TIMING_BYTES", 4)
    cache.store_timing(HOST, b"more of it")
    assert cache.load_timing(HOST) == b"timed"
    (path,) = cache.folder.glob("*.timing")
    path.write_bytes(b"junk")
    assert cache.load_timing(HOST) == b""


def test_one_builds_at_a_time_and_clears_away_what_a_killed_one_left(cache):
    with cache.building():
        (cache.folder / ".half.plan.tmp").write_bytes(b"half")
        with pytest.raises(BusyError, match="another process builds"), cache.building():
            pass
    with cache.building():
        assert not list(cache.folder.glob(".*.tmp"))


def test_a_full_disk_keeps_the_plan_before_whole_and_leaves_nothing_behind(tmp_path):
    with small_disk(tmp_path / "disk", "256k") as disk:
        cache = PlanCache(disk / "plans")
        cache.store(KEY, PLAN)
        fill(disk / "ballast")
        with pytest.raises(StorageError, match="free space"):
            cache.store(KEY, dataclasses.replace(PLAN, data=bytes(100_000)))
        assert cache.load(KEY).data == PLAN.data
        assert not list(cache.folder.glob(".*"))


def test_a_folder_that_is_none_is_survived(tmp_path):
    (tmp_path / "plans").write_text("a file")
    cache = PlanCache(tmp_path / "plans")
    assert cache.load(KEY) is None
    with cache.building(), pytest.raises(StorageError):
        cache.store(KEY, PLAN)
