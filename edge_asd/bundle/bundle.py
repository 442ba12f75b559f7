"""The bundle ``name-version.asd``: a deterministic ZIP holding networks and all they need.

Rules of the loader:

1. Nothing is used before everything is verified: sizes, names, hashes, schema, contents.
2. Only the members this page names may be there; no path leaves the archive, no member repeats.
3. Arrays are read without pickle, networks without external data or custom operators.
4. What the manifest does not describe does not belong there.

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
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from edge_asd import __version__
from edge_asd.bundle.kept import Archive, KeptMembers
from edge_asd.bundle.manifest import SCHEMA, Manifest, Network, Precision
from edge_asd.bundle.members import (
    GOLDEN,
    MAX_MEMBER_BYTES,
    REFERENCES,
    Golden,
    golden_bytes,
    read_golden,
    read_references,
    references_bytes,
    zip_bytes,
)
from edge_asd.bundle.onnx_guard import check_onnx
from edge_asd.errors import BundleError
from edge_asd.files import replace_file
from edge_asd.records import FloatArray

MAX_ARCHIVE_BYTES = 512 * 2**20
MAX_MANIFEST_BYTES = 2**20

_MEMBER = re.compile(r"^(manifest\.json|golden\.npz|references\.npz|networks/[a-z0-9._-]+\.onnx)$")


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle; the networks of one that was loaded are read again when asked for."""

    manifest: Manifest
    networks: Mapping[str, bytes]
    """ONNX file of every network in fp32, by id."""
    golden: Golden
    references: Mapping[str, FloatArray]
    """Centres of the machines it was trained on, (K, D) by name; may be empty."""
    sha256: str
    """Of the archive."""
    path: Path | None = None
    networks_fp16: Mapping[str, bytes] = field(default_factory=dict)
    """ONNX file of the networks that it holds in fp16 too, by id."""

    def network(self, network_id: str, precision: Precision) -> bytes:
        """ONNX file of a network in a precision.

        Raises:
            BundleError: The bundle does not hold it.
        """
        found = self.networks if precision == "fp32" else self.networks_fp16
        if network_id not in found:
            raise BundleError(
                f"{self.label}: holds no {precision} network {network_id}; use fp32, or export it"
                f" with --precision {precision}"
            )
        return found[network_id]

    @property
    def label(self) -> str:
        """Name and version, as shown to people: ``general-2``."""
        return f"{self.manifest.name}-{self.manifest.version}"


def builtin_bundle() -> Path:
    """The bundle that ships with the package."""
    return Path(__file__).parents[1] / "bundles" / "general-2.asd"


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
        file = path.open("rb")
    except OSError as error:
        raise BundleError(f"{path}: cannot read the bundle: {error.strerror}") from error
    try:
        bundle = _parse(file.read(), path)
    except BundleError as error:
        file.close()
        raise BundleError(f"{path}: {error}") from error
    except OSError as error:
        file.close()
        raise BundleError(f"{path}: cannot read the bundle: {error.strerror}") from error
    return _kept(bundle, file)


def write_bundle(
    path: Path | str,
    fields: Mapping[str, Any],
    networks: Mapping[str, bytes],
    golden: Golden,
    references: Mapping[str, FloatArray] | None = None,
    *,
    networks_fp16: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle, verify it as a device would, and move it into place.

    Args:
        path: Where to; replaced only by a complete, verified file.
        fields: The manifest without ``schema`` and ``files``.
        networks: ONNX file of every network in fp32, by id.
        golden: At least eight waveforms and their embeddings.
        references: Optional centres of the training machines, in the manifest's order.
        networks_fp16: ONNX files in fp16, of networks whose ``precisions`` say so.

    Raises:
        BundleError: The parts do not make a valid bundle.
        StorageError: It cannot be written.
    """
    path = Path(path)
    members = {f"networks/{name}.onnx": data for name, data in networks.items()}
    members |= {f"networks/{name}.fp16.onnx": d for name, d in (networks_fp16 or {}).items()}
    members[GOLDEN] = golden_bytes(golden)
    if references:
        members[REFERENCES] = references_bytes(references)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(members.items())}
    manifest = {"schema": SCHEMA, **fields, "files": hashes}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    members["manifest.json"] = text.encode()
    data = zip_bytes(members)
    bundle = _parse(data, path)
    replace_file(path, data)
    return bundle


def _parse(data: bytes, path: Path) -> Bundle:
    members = _unpack(data)
    manifest = _read_manifest(members.pop("manifest.json", None))
    _check_hashes(manifest, members)
    networks = {one.id: _read_network(one, "fp32", members) for one in manifest.networks}
    halves = {
        one.id: _read_network(one, "fp16", members) for one in manifest.networks if one.has("fp16")
    }
    golden = read_golden(manifest, members.pop(GOLDEN, None))
    references = read_references(manifest, members.pop(REFERENCES, None))
    if members:
        raise BundleError(f"{min(members)}: belongs to no network of the manifest")
    digest = hashlib.sha256(data).hexdigest()
    return Bundle(manifest, networks, golden, references, digest, path, halves)


def _kept(bundle: Bundle, file: BinaryIO) -> Bundle:
    """The bundle with its networks left in the file."""
    archive = Archive(file, bundle.manifest.files)
    named = {network.id: network for network in bundle.manifest.networks}
    return replace(
        bundle,
        networks=KeptMembers(
            archive, {id_: named[id_].member_of("fp32") for id_ in bundle.networks}
        ),
        networks_fp16=KeptMembers(
            archive, {id_: named[id_].member_of("fp16") for id_ in bundle.networks_fp16}
        ),
    )


def _read_network(network: Network, precision: Precision, members: dict[str, bytes]) -> bytes:
    member = network.member_of(precision)
    if member not in members:
        raise BundleError(f"{member}: missing; the bundle is incomplete")
    data = members.pop(member)
    check_onnx(data, member)
    return data


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
