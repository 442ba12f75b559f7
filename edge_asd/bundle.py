"""The bundle ``name-version.asd``: a deterministic ZIP holding networks and all they need.

Rules of the loader:

1. Nothing is used before everything is verified: sizes, names, hashes, schema, contents.
2. Only the members this page names may be there; no path leaves the archive, no member repeats.
3. Arrays are read without pickle, networks without external data or custom operators.

Hashes give integrity. Authenticity is the update client's signature check, or the operator's
explicit path on the command line.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_asd import __version__
from edge_asd.errors import BundleError
from edge_asd.files import replace_file
from edge_asd.manifest import SCHEMA, Manifest
from edge_asd.onnx_guard import check_onnx
from edge_asd.records import FloatArray

MAX_ARCHIVE_BYTES = 512 * 2**20
MAX_MEMBER_BYTES = 512 * 2**20
MAX_MANIFEST_BYTES = 2**20
MIN_GOLDEN = 8

_MEMBER = re.compile(r"^(manifest\.json|golden\.npz|references\.npz|networks/[a-z0-9._-]+\.onnx)$")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can hold: bundles do not depend on the clock


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Waveforms and the embeddings that every engine must reproduce from them."""

    waveforms: NDArray[np.int16]
    """(N, L) int16, full scale 32768, at the bundle's rate, after gain."""
    embeddings: Mapping[str, FloatArray]
    """(N, S, D) float32 of every network, by id."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle in memory."""

    manifest: Manifest
    networks: Mapping[str, bytes]
    """ONNX file of every network, by id."""
    golden: Golden
    references: Mapping[str, FloatArray]
    """Centres of the machines it was trained on, (K, D) by name; may be empty."""
    sha256: str
    """Of the archive."""
    path: Path | None = None

    @property
    def label(self) -> str:
        """Name and version, as shown to people: ``general-1``."""
        return f"{self.manifest.name}-{self.manifest.version}"


def builtin_bundle() -> Path:
    """The bundle that ships with the package."""
    return Path(__file__).parent / "bundles" / "general-1.asd"


def load_bundle(path: Path | str) -> Bundle:
    """Read and verify a bundle.

    Raises:
        BundleError: It is missing, altered, truncated, oversized, of a newer schema, or names a
            path outside the archive; the message names the member.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_ARCHIVE_BYTES:
            raise BundleError(f"{path}: {size} bytes; a bundle has at most {MAX_ARCHIVE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot read the bundle: {error.strerror}") from error
    try:
        return _parse(data, path)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def write_bundle(
    path: Path | str,
    fields: Mapping[str, Any],
    networks: Mapping[str, bytes],
    golden: Golden,
    references: Mapping[str, FloatArray] | None = None,
) -> Bundle:
    """Write a bundle, verify it as a device would, and move it into place.

    Args:
        path: Where to; replaced only by a complete, verified file.
        fields: The manifest without ``schema`` and ``files``.
        networks: ONNX file of every network, by id.
        golden: At least eight waveforms and their embeddings.
        references: Optional centres of the training machines.

    Raises:
        BundleError: The parts do not make a valid bundle.
        StorageError: It cannot be written.
    """
    path = Path(path)
    members = {f"networks/{name}.onnx": data for name, data in networks.items()}
    arrays = {f"embedding/{name}": z for name, z in golden.embeddings.items()}
    members["golden.npz"] = npz_bytes({"waveforms": golden.waveforms, **arrays})
    if references:
        members["references.npz"] = npz_bytes(references)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(members.items())}
    manifest = {"schema": SCHEMA, **fields, "files": hashes}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    members["manifest.json"] = text.encode()
    data = _zip_bytes(members)
    bundle = _parse(data, path)
    replace_file(path, data)
    return bundle


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as an ``.npz`` file whose bytes depend on the arrays alone."""
    members = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    return _zip_bytes(members)


def _zip_bytes(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name], compresslevel=6)
    return buffer.getvalue()


def _parse(data: bytes, path: Path) -> Bundle:
    members = _unpack(data)
    manifest = _read_manifest(members.pop("manifest.json", None))
    _check_hashes(manifest, members)
    networks = {}
    for network in manifest.networks:
        if network.member not in members:
            raise BundleError(f"{network.member}: missing; the bundle is incomplete")
        check_onnx(members[network.member], network.member)
        networks[network.id] = members[network.member]
    golden = _read_golden(manifest, members.get("golden.npz"))
    references = read_npz(members.get("references.npz"), "references.npz")
    digest = hashlib.sha256(data).hexdigest()
    return Bundle(manifest, networks, golden, references, digest, path)


def _unpack(data: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if not _MEMBER.match(info.filename) or ".." in info.filename:
                    raise BundleError(f"{info.filename!r}: no such member belongs in a bundle")
                if info.filename in members:
                    raise BundleError(f"{info.filename}: appears twice")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise BundleError(f"{info.filename}: compressed in a way no bundle is")
                limit = MAX_MANIFEST_BYTES if info.filename == "manifest.json" else MAX_MEMBER_BYTES
                total += info.file_size
                if info.file_size > limit or total > MAX_MEMBER_BYTES:
                    raise BundleError(f"{info.filename}: oversized ({info.file_size} bytes)")
                with archive.open(info) as member:
                    members[info.filename] = member.read(info.file_size + 1)
                if len(members[info.filename]) != info.file_size:
                    raise BundleError(f"{info.filename}: truncated or longer than it says")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as error:
        raise BundleError(f"not a complete bundle ({error}); copy it again") from error
    except (OSError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error) as error:
        raise BundleError(f"damaged archive ({error}); copy it again") from error
    return members


def _read_manifest(data: bytes | None) -> Manifest:
    if data is None:
        raise BundleError("manifest.json: missing; this is no bundle")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"manifest.json: not JSON ({error})") from error
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(
            f"manifest.json: schema {schema} is newer than {SCHEMA}; update edge-asd first"
        )
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"manifest.json: {where}: {first['msg']}") from error
    if _version(manifest.requires) > _version(__version__):
        raise BundleError(
            f"manifest.json: requires edge-asd {manifest.requires}, this is {__version__}; "
            "update edge-asd first"
        )
    return manifest


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _check_hashes(manifest: Manifest, members: Mapping[str, bytes]) -> None:
    unlisted = sorted(set(members) - set(manifest.files))
    if unlisted:
        raise BundleError(f"{unlisted[0]}: not listed in the manifest")
    for name, expected in manifest.files.items():
        if name not in members:
            raise BundleError(f"{name}: missing; the bundle is incomplete")
        if hashlib.sha256(members[name]).hexdigest() != expected:
            raise BundleError(f"{name}: altered, its SHA-256 differs from the manifest")


def read_npz(data: bytes | None, member: str) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz`` file, never unpickled; empty when there is none.

    Raises:
        BundleError: It is damaged or holds anything but numbers.
    """
    if data is None:
        return {}
    try:
        return dict(_arrays(data))
    except Exception as error:  # NumPy's and zipfile's errors on damaged files have no common base
        raise BundleError(f"{member}: damaged ({error})") from error


def _arrays(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    total = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            total += info.file_size
            if total > MAX_MEMBER_BYTES or not info.filename.endswith(".npy"):
                raise ValueError(f"{info.filename} of {info.file_size} bytes is not expected")
            array = np.load(io.BytesIO(archive.read(info)), allow_pickle=False)
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{info.filename} holds no numbers")
            yield info.filename.removesuffix(".npy"), array


def _read_golden(manifest: Manifest, data: bytes | None) -> Golden:
    if data is None:
        raise BundleError("golden.npz: missing; the bundle is incomplete")
    arrays = read_npz(data, "golden.npz")
    waveforms = arrays.get("waveforms", np.empty(0))
    if waveforms.dtype != np.int16 or waveforms.ndim != 2:
        raise BundleError("golden.npz: waveforms are not (N, L) int16")
    if len(waveforms) < MIN_GOLDEN or waveforms.shape[1] != manifest.window_samples:
        raise BundleError(
            f"golden.npz: {waveforms.shape} waveforms; at least {MIN_GOLDEN} of "
            f"{manifest.window_samples} samples are needed"
        )
    embeddings = {}
    for network in manifest.networks:
        z = arrays.get(f"embedding/{network.id}", np.empty(0))
        expected = (len(waveforms), network.segments, network.embedding_size)
        if z.shape != expected or z.dtype != np.float32 or not np.isfinite(z).all():
            raise BundleError(f"golden.npz: embeddings of {network.id} are not finite {expected}")
        embeddings[network.id] = z
    return Golden(waveforms, embeddings)
