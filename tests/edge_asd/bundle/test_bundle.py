"""A bundle is whole or refused: alterations are named, and only BundleError is ever raised."""

import hashlib
import io
import json
import struct
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from support.tiny import (
    INPUTS,
    SIZE,
    WINDOW,
    full_parts,
    golden_vectors,
    tiny_fields,
    tiny_network,
    write_tiny_bundle,
)

from edge_asd import __version__
from edge_asd.bundle import Golden, load_bundle, npz_bytes, read_npz, write_bundle
from edge_asd.engine import EngineRequest, open_networks
from edge_asd.errors import BundleError, EngineError, StorageError
from edge_asd.features import compute

NETWORK = "networks/tiny.onnx"
HALF = "networks/tiny.fp16.onnx"
MEMBERS = ("golden.npz", "manifest.json", NETWORK, HALF, "references.npz")


@lru_cache(maxsize=1)
def archive():
    """Bytes of a good bundle with every kind of member, and its members."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny-1.asd"
        write_bundle(path, **full_parts())
        data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return data, {name: file.read(name) for name in file.namelist()}


def zipped(members, **options):
    """An archive of (name, bytes) pairs or a mapping."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, data in pairs:
            file.writestr(name, data)
    return buffer.getvalue()


def rehashed(changes, manifest_changes=None):
    """The good bundle with other members, and a manifest that vouches for them."""
    members = dict(archive()[1]) | changes
    manifest = json.loads(members.pop("manifest.json"))
    manifest["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in members.items()}
    manifest |= manifest_changes or {}
    return zipped(members | {"manifest.json": json.dumps(manifest)})


def load(tmp_path, data):
    path = tmp_path / "b.asd"
    path.write_bytes(data)
    return load_bundle(path)


def refusal(tmp_path, data):
    with pytest.raises(BundleError) as caught:
        load(tmp_path, data)
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "b.asd"))
    assert "\n" not in text
    return text


def golden_arrays():
    return dict(read_npz(archive()[1]["golden.npz"], "golden.npz"))


# What is good


def test_a_bundle_comes_back_as_it_was_written(tmp_path):
    parts, path = full_parts(), tmp_path / "tiny-1.asd"
    golden = parts["golden"]
    written = write_bundle(path, **parts)
    found = load_bundle(path)
    assert found.label == "tiny-1"
    assert found.sha256 == written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.manifest == written.manifest
    assert found.networks == parts["networks"]
    assert found.networks_fp16 == parts["networks_fp16"]
    assert_array_equal(found.golden.waveforms, golden.waveforms)
    assert_array_equal(found.golden.embeddings["tiny"], golden.embeddings["tiny"])
    assert list(found.references) == ["pump", "fan/00"]
    for name, centres in parts["references"].items():
        assert_array_equal(found.references[name], centres)
    assert found.path == path


def test_the_same_parts_give_the_same_bytes(tmp_path):
    first, second = (write_tiny_bundle(tmp_path / name) for name in ("a.asd", "b.asd"))
    assert (tmp_path / "a.asd").read_bytes() == (tmp_path / "b.asd").read_bytes()
    assert first.sha256 == second.sha256
    assert write_tiny_bundle(tmp_path / "c.asd", seed=1).sha256 != first.sha256


def test_the_manifest_may_name_the_version_that_reads_it(tmp_path):
    data = rehashed({}, {"requires": __version__})
    assert load(tmp_path, data).manifest.requires == __version__


def test_the_builder_of_altered_bundles_builds_good_ones(tmp_path):
    assert load(tmp_path, rehashed({})).label == "tiny-1"
    assert load(tmp_path, zipped(archive()[1])).label == "tiny-1"


def test_a_bundle_without_fp16_and_references_is_as_good(tmp_path):
    network, path = tiny_network(), tmp_path / "tiny-1.asd"
    write_bundle(path, tiny_fields(), {"tiny": network}, golden_vectors(network))
    found = load_bundle(path)
    assert (found.networks_fp16, found.references) == ({}, {})
    assert (found.manifest.networks[0].precisions, found.manifest.references) == ((), None)
    assert found.network("tiny", "fp32") == network
    with pytest.raises(BundleError, match="tiny-1: holds no fp16 network tiny"):
        found.network("tiny", "fp16")


def test_references_come_back_of_unit_length_but_for_half_precision(tmp_path):
    parts = full_parts()
    z = np.random.default_rng(3).normal(size=(5, SIZE)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    parts["references"] = {"pump": z, "fan/00": z[:2]}
    found = write_bundle(tmp_path / "tiny-1.asd", **parts).references["pump"]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found, z, atol=5e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_precision_is_opened_and_proven_by_name(tmp_path, precision):
    bundle = write_bundle(tmp_path / "tiny-1.asd", **full_parts())
    networks = open_networks(bundle, EngineRequest(precision=precision))
    rng = np.random.default_rng(5)
    samples = rng.normal(size=(2, WINDOW)).astype(np.float32) / 10
    features = {f"tiny/{name}": compute(spec, samples, 16_000) for name, spec in INPUTS.items()}
    z = networks.embed(features)["tiny"]
    networks.close()
    exact = open_networks(bundle).embed(features)["tiny"]
    error = float(np.abs(z - exact).max() / np.abs(exact).max())
    assert error == 0.0 if precision == "fp32" else 0.0 < error < 5e-3


def test_the_tolerance_is_that_of_the_precision(tmp_path):
    parts = full_parts()
    for told in parts["fields"]["networks"][0]["precisions"]:
        told["parity_tolerance"] = 1e-12 if told["precision"] == "fp16" else 1e-3
    bundle = write_bundle(tmp_path / "tiny-1.asd", **parts)
    open_networks(bundle).close()
    with pytest.raises(EngineError, match=r"tolerance 1e-12"):
        open_networks(bundle, EngineRequest(precision="fp16"))


# What is not


def fields_with(**changes):
    """A change of the one network's description."""
    fields = json.loads(archive()[1]["manifest.json"])
    fields["networks"][0] |= changes
    return {"networks": fields["networks"]}


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x00" * 1000])
def test_an_fp16_network_that_is_none_is_refused(tmp_path, junk):
    assert HALF in refusal(tmp_path, rehashed({HALF: junk}))


def test_an_fp16_network_that_names_other_files_is_refused(tmp_path):
    model = onnx.load_model_from_string(archive()[1][HALF])
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")
    text = refusal(tmp_path, rehashed({HALF: model.SerializeToString()}))
    assert f"{HALF}: keeps weights in another file" in text


def test_an_fp16_network_that_the_manifest_does_not_name_is_refused(tmp_path):
    text = refusal(tmp_path, rehashed({}, fields_with(precisions=[])))
    assert f"{HALF}: belongs to no network" in text


def without(member):
    """The good bundle without a member, and a manifest that does not list it."""
    members = dict(archive()[1])
    del members[member]
    manifest = json.loads(members["manifest.json"])
    del manifest["files"][member]
    return zipped(members | {"manifest.json": json.dumps(manifest)})


@pytest.mark.parametrize("member", [NETWORK, HALF, "references.npz"])
def test_what_the_manifest_describes_has_to_be_there(tmp_path, member):
    assert f"{member}: missing" in refusal(tmp_path, without(member))


def of_precisions(*named):
    rest = {"bytes": 1, "parity_tolerance": 1e-3, "cosine_distance": 0}
    return [{"precision": name, **rest} for name in named]


@pytest.mark.parametrize(
    ("precisions", "says"),
    [
        (of_precisions("fp16"), "fp32 is missing"),
        (of_precisions("fp32", "fp16", "fp16"), "named twice"),
        (of_precisions("fp32", "int8"), "precision"),
    ],
)
def test_precisions_that_do_not_fit_are_refused(tmp_path, precisions, says):
    assert says in refusal(tmp_path, rehashed({}, fields_with(precisions=precisions)))


def test_networks_whose_files_would_have_one_name_are_refused(tmp_path):
    networks = fields_with()["networks"]
    clash = rehashed({}, {"networks": [*networks, networks[0] | {"id": "tiny.fp16"}]})
    assert "a file is used twice" in refusal(tmp_path, clash)


def references_of(**changes):
    rows = np.eye(5, SIZE, dtype=np.float16)
    arrays = {"centres": rows, "counts": np.array([4, 1])} | changes
    return npz_bytes({name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"centres": None}, "holds counts instead of"),
        ({"counts": None}, "holds centres instead of"),
        ({"pump": np.eye(3)}, "holds centres, counts, pump instead of"),
        ({"counts": np.array([4, 1, 1])}, "not those of 2 machines"),
        ({"counts": np.array([5, 0])}, "not those of 2 machines"),
        ({"counts": np.array([4.0, 1.0])}, "not those of 2 machines"),
        ({"counts": np.array([2**62, 2**62])}, f"not ({2**63}, {SIZE})"),
        ({"counts": np.array([4, 2])}, f"not (6, {SIZE})"),
        ({"centres": np.eye(5, SIZE - 1, dtype=np.float16)}, f"not (5, {SIZE})"),
        ({"centres": np.eye(5, SIZE)}, "float16"),
        ({"centres": np.full((5, SIZE), np.nan, np.float16)}, "unit length"),
        ({"centres": 2 * np.eye(5, SIZE, dtype=np.float16)}, "unit length"),
    ],
)
def test_references_that_are_not_as_described_are_refused(tmp_path, changes, says):
    assert load(tmp_path, rehashed({"references.npz": references_of()})).label == "tiny-1"
    text = refusal(tmp_path, rehashed({"references.npz": references_of(**changes)}))
    assert "references.npz" in text
    assert says in text


@pytest.mark.parametrize(
    ("described", "says"),
    [
        (None, "names no machines"),
        ({"network": "other"}, "unknown network other"),
        ({"machines": ["pump", "pump"]}, "machine twice"),
        ({"machines": []}, "machines"),
        ({"clusters": 0}, "clusters"),
    ],
)
def test_a_description_of_references_that_does_not_fit_is_refused(tmp_path, described, says):
    good = json.loads(archive()[1]["manifest.json"])["references"]
    changed = described if described is None else good | described
    assert says in refusal(tmp_path, rehashed({}, {"references": changed}))


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 1.0])
def test_one_altered_byte_in_a_member_is_refused_and_the_member_named(tmp_path, member, where):
    members = dict(archive()[1])
    data = bytearray(members[member])
    # in the manifest every digit matters; in white space a change is none
    at = round(where * (len(data) - 1))
    if member == "manifest.json":
        at = data.find(b'"files"') + 30 if where else 0
    data[at] ^= 0x01
    text = refusal(tmp_path, zipped(members | {member: bytes(data)}))
    assert any(name in text for name in ((member,) if member != "manifest.json" else MEMBERS))


def test_every_digit_of_a_hash_matters(tmp_path):
    members = dict(archive()[1])
    manifest = json.loads(members["manifest.json"])
    for name, digest in manifest["files"].items():
        for at in (0, 31, 63):
            digit = "0" if digest[at] != "0" else "1"
            files = manifest["files"] | {name: digest[:at] + digit + digest[at + 1 :]}
            text = json.dumps(manifest | {"files": files})
            found = refusal(tmp_path, zipped(members | {"manifest.json": text}))
            assert f"{name}: altered" in found


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path):
    data = archive()[0]
    cuts = {*range(64), *np.linspace(0, len(data) - 1, 60, dtype=int).tolist()}
    for cut in cuts | {len(data) - n for n in range(1, 40)}:
        assert refusal(tmp_path, data[:cut])


@pytest.mark.parametrize("member", MEMBERS)
def test_a_missing_member_is_named(tmp_path, member):
    members = {name: data for name, data in archive()[1].items() if name != member}
    assert f"{member}: missing" in refusal(tmp_path, zipped(members))


def test_a_golden_that_the_manifest_does_not_ask_for_is_missed_all_the_same(tmp_path):
    members = {name: data for name, data in archive()[1].items() if name != "golden.npz"}
    manifest = json.loads(members["manifest.json"])
    del manifest["files"]["golden.npz"]
    data = zipped(members | {"manifest.json": json.dumps(manifest)})
    assert "golden.npz: missing" in refusal(tmp_path, data)


@pytest.mark.parametrize(
    "name",
    [
        "extra.txt",
        "../x",
        "networks/../../x.onnx",
        "networks/..onnx",
        "/etc/passwd",
        "networks/sub/x.onnx",
        "networks\\x.onnx",
        "golden.npz/",
        "Manifest.json",
        "networks/",
    ],
)
def test_a_member_that_does_not_belong_is_refused(tmp_path, name):
    text = refusal(tmp_path, zipped([*archive()[1].items(), (name, b"x")]))
    assert "no such member belongs in a bundle" in text


def test_a_network_that_is_not_listed_is_refused(tmp_path):
    text = refusal(tmp_path, zipped(archive()[1] | {"networks/more.onnx": tiny_network()}))
    assert "networks/more.onnx: not listed" in text


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_appears_twice_is_refused(tmp_path, member):
    pairs = list(archive()[1].items())
    text = refusal(tmp_path, zipped([*pairs, (member, archive()[1][member])]))
    assert f"{member}: appears twice" in text


def directory_of(data):
    """Where the central directory of an archive without a comment begins."""
    return struct.unpack_from("<I", data, len(data) - 6)[0]


def with_size(data, size):
    """The archive, its first member claiming another uncompressed size in both headers."""
    patched = bytearray(data)
    struct.pack_into("<I", patched, 22, size)  # local header
    struct.pack_into("<I", patched, directory_of(data) + 24, size)
    return bytes(patched)


@pytest.mark.parametrize("size", [600 * 2**20, 2**32 - 2])
def test_a_member_that_claims_to_be_huge_is_refused_before_it_is_unpacked(tmp_path, size):
    assert "oversized" in refusal(tmp_path, with_size(zipped(archive()[1]), size))


def test_a_manifest_that_is_too_large_is_refused(tmp_path):
    members = dict(archive()[1])
    members["manifest.json"] += b" " * 2**20
    assert "manifest.json: oversized" in refusal(tmp_path, zipped(members))


def test_a_member_longer_than_it_says_is_refused(tmp_path):
    data = zipped(archive()[1])
    size = len(next(iter(archive()[1].values())))
    assert refusal(tmp_path, with_size(data, size - 10))
    assert refusal(tmp_path, with_size(data, size + 10))


def test_a_bomb_inside_an_array_file_is_refused(tmp_path):
    # 600 MiB of zeros are 600 kB when packed: neither array nor archive may unfold
    bomb = with_size(npz_bytes({"a": np.zeros(9)}), 600 * 2**20)
    text = refusal(tmp_path, rehashed({"references.npz": bomb}))
    assert "references.npz" in text


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_ordinary_compression_is_read(tmp_path, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in archive()[1].items():
            file.writestr(name, data)
    assert "compressed in a way" in refusal(tmp_path, buffer.getvalue())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "newer than 1; update edge-asd"),
        ({"schema": 0}, "schema"),
        ({"schema": "x"}, "schema"),
        ({"requires": "99.0.0"}, "requires edge-asd 99.0.0"),
        ({"requires": "9" * 5000}, "requires"),
        ({"unknown_key": 1}, "unknown_key"),
        ({"window_samples": WINDOW * 2}, "golden.npz"),
        ({"hop_samples": 100}, "no multiple of hop_length"),
        ({"hop_samples": WINDOW * 2}, "hop_samples exceeds"),
        ({"reference_dbfs": float("nan")}, "reference_dbfs"),
        ({"networks": []}, "networks"),
        ({"scorers": []}, "scorers"),
        ({"name": "../x"}, "name"),
        ({"fusion": "product"}, "fusion"),
        ({"files": {}}, "not listed"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, changes, says):
    assert says in refusal(tmp_path, rehashed({}, changes))


@pytest.mark.parametrize(
    "manifest", [b"", b"[]", b"null", b'{"schema": 1}', b"\xff\xfe", b"[" * 100_000, b"{]"]
)
def test_a_manifest_that_is_none_is_refused(tmp_path, manifest):
    text = refusal(tmp_path, zipped(archive()[1] | {"manifest.json": manifest}))
    assert "manifest.json" in text


def altered_golden(change):
    arrays = golden_arrays()
    change(arrays)
    return npz_bytes(arrays)


def drop_waveforms(arrays):
    del arrays["waveforms"]


def few_waveforms(arrays):
    arrays["waveforms"] = arrays["waveforms"][:7]
    arrays["embedding/tiny"] = arrays["embedding/tiny"][:7]


def short_waveforms(arrays):
    arrays["waveforms"] = arrays["waveforms"][:, :-1]


def float_waveforms(arrays):
    arrays["waveforms"] = arrays["waveforms"].astype(np.float32)


def drop_embeddings(arrays):
    del arrays["embedding/tiny"]


def narrow_embeddings(arrays):
    arrays["embedding/tiny"] = arrays["embedding/tiny"][..., : SIZE - 1]


def not_a_number(arrays):
    arrays["embedding/tiny"][3, 0, 2] = np.nan


def double_embeddings(arrays):
    arrays["embedding/tiny"] = arrays["embedding/tiny"].astype(np.float64)


@pytest.mark.parametrize(
    "change",
    [
        drop_waveforms,
        few_waveforms,
        short_waveforms,
        float_waveforms,
        drop_embeddings,
        narrow_embeddings,
        not_a_number,
        double_embeddings,
    ],
)
def test_golden_vectors_that_do_not_fit_are_refused(tmp_path, change):
    text = refusal(tmp_path, rehashed({"golden.npz": altered_golden(change)}))
    assert "golden.npz" in text


class Exploding:
    """Unpickling it would fail the test."""

    def __reduce__(self):
        return pytest.fail, ("a bundle was unpickled",)


def pickled_npz():
    buffer = io.BytesIO()
    np.savez(buffer, waveforms=np.asarray([Exploding()], dtype=object))
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def claiming(shape):
    """An array file whose header promises far more than there is."""
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header = header.ljust(118 - 1) + b"\n"
    return zipped({"waveforms.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header})


@pytest.mark.parametrize("member", ["golden.npz", "references.npz"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        pickled_npz(),
        npy(np.zeros(3)),
        zipped({"waveforms.txt": b"hello"}),
        zipped({"waveforms.npy": b"hello"}),
        zipped({"waveforms.npy": npy(np.asarray(["text"]))}),
        claiming((2**50,)),
        claiming((10, 10)),
        claiming((-5,)),
    ],
    ids=["empty", "bytes", "pickle", "npy", "txt", "nonpy", "text", "vast", "short", "negative"],
)
def test_array_files_that_hold_anything_but_numbers_are_refused(tmp_path, member, data):
    assert f"{member}: damaged" in refusal(tmp_path, rehashed({member: data}))


def test_a_network_that_reaches_outside_is_refused(tmp_path):
    text = refusal(tmp_path, rehashed({NETWORK: b"not a network"}))
    assert f"{NETWORK}: not an ONNX network" in text


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x05\x06" + bytes(18), b"\x00" * 5000])
def test_what_is_no_archive_is_refused(tmp_path, data):
    assert "bundle" in refusal(tmp_path, data)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.asd"):
        with pytest.raises(BundleError, match="cannot read the bundle"):
            load_bundle(path)


def test_a_password_is_refused(tmp_path):
    data = bytearray(zipped(archive()[1]))
    data[directory_of(data) + 8] |= 1
    data[6] |= 1
    assert refusal(tmp_path, bytes(data))


def parse(data, folder=None):
    """Load bytes; the only way to fail is BundleError."""
    path = folder / "f.asd"
    path.write_bytes(data)
    try:
        return load_bundle(path)
    except BundleError:
        return None


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), front=st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06"]))
def test_random_bytes_never_raise_anything_but_a_bundle_error(tmp_path_factory, data, front):
    assert parse(front + data, tmp_path_factory.getbasetemp()) is None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_altered_archives_never_raise_anything_but_a_bundle_error(tmp_path_factory, data):
    good, members = archive()
    altered = bytearray(good)
    directory = directory_of(good)
    for _ in range(data.draw(st.integers(1, 3))):
        # headers and directory matter most; what is packed is one in three
        low, high = data.draw(st.sampled_from([(0, 60), (directory, len(good)), (0, len(good))]))
        altered[data.draw(st.integers(low, high - 1))] = data.draw(st.integers(0, 255))
    found = parse(bytes(altered), tmp_path_factory.getbasetemp())
    if found is not None:  # a time stamp or a flag was hit: what is inside is what it was
        assert found.networks["tiny"] == members[NETWORK]


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2**20), value=st.integers(0, 255))
def test_altered_array_files_never_raise_anything_but_a_bundle_error(at, value):
    data = bytearray(npz_bytes({"waveforms": np.arange(50, dtype=np.int16), "b": np.ones(3)}))
    data[at % len(data)] = value
    try:
        arrays = read_npz(bytes(data), "golden.npz")
    except BundleError as error:
        assert str(error).startswith("golden.npz")  # noqa: PT017 - either outcome is right
    else:
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


# Writing


def test_parts_that_make_no_bundle_never_replace_a_good_one(tmp_path):
    path = tmp_path / "tiny-1.asd"
    good = write_tiny_bundle(path)
    network = tiny_network()
    golden = golden_vectors(network)
    few = Golden(golden.waveforms[:2], {"tiny": golden.embeddings["tiny"][:2]})
    with pytest.raises(BundleError, match=r"golden\.npz"):
        write_bundle(path, tiny_fields(), {"tiny": network}, few)
    with pytest.raises(BundleError, match=r"networks/tiny\.onnx"):
        write_bundle(path, tiny_fields(), {"other": network}, golden)
    assert load_bundle(path).sha256 == good.sha256
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_bundle_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        write_tiny_bundle(tmp_path / "file" / "tiny.asd")
