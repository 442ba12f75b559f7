"""Networks are read from the file when they are asked for, and are those that were verified."""

from __future__ import annotations

import gc
import shutil
import threading

import pytest

from edge_asd.bundle import load_bundle
from edge_asd.errors import BundleError


@pytest.fixture
def path(tiny_bundle, tmp_path):
    return shutil.copy(tiny_bundle.path, tmp_path / "tiny-1.asd")


def test_a_network_is_what_was_written_whenever_it_is_asked_for(path, tiny_bundle):
    bundle = load_bundle(path)
    assert bundle.networks == dict(tiny_bundle.networks)
    assert bundle.network("tiny", "fp32") == bundle.networks["tiny"]
    assert "tiny" in bundle.networks
    assert "other" not in bundle.networks
    with pytest.raises(BundleError, match="holds no fp16 network"):
        bundle.network("tiny", "fp16")


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_an_update_takes_nothing_away_from_who_has_the_bundle_open(path, tiny_bundle, how):
    bundle = load_bundle(path)
    if how == "replaced":
        other = path.with_name("other")
        other.write_bytes(b"another bundle")
        other.replace(path)
    else:
        path.unlink()
    assert bundle.networks["tiny"] == tiny_bundle.networks["tiny"]


@pytest.mark.parametrize("damage", [b"", b"no archive at all", "a byte"])
def test_a_file_that_was_written_to_gives_an_error_instead_of_another_network(path, damage):
    bundle = load_bundle(path)
    if damage == "a byte":
        data = bytearray(path.read_bytes())
        at = data.index(b"networks/tiny.onnx") + 200
        data[at] ^= 0x55
        damage = bytes(data)
    with path.open("r+b") as file:  # in place, as nobody should
        file.truncate(0)
        file.write(damage)
    with pytest.raises(BundleError, match=r"tiny-1\.asd: networks/tiny\.onnx"):
        bundle.networks["tiny"]


def test_threads_may_ask_at_once(path, tiny_bundle):
    bundle, found = load_bundle(path), []
    threads = [
        threading.Thread(target=lambda: found.extend(bundle.networks["tiny"] for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tiny_bundle.networks["tiny"]] * 80


def test_the_file_is_closed_with_the_bundle(path):
    bundle = load_bundle(path)
    file = bundle.networks._archive._file
    assert not file.closed
    del bundle
    gc.collect()
    assert file.closed
