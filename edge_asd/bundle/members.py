"""The arrays of a bundle: ``.npz`` files whose bytes depend on their contents alone.

Nothing is ever unpickled, nothing but numbers is accepted, and what is read is compared with what
the manifest says of it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import BundleError
from edge_asd.records import FloatArray

MAX_MEMBER_BYTES = 512 * 2**20
MIN_GOLDEN = 8

GOLDEN, REFERENCES = "golden.npz", "references.npz"
_UNIT_LENGTH = 2e-3  # how far half precision takes a vector of unit length from it, generously
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can hold: bundles do not depend on the clock


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Waveforms and the embeddings that every engine must reproduce from them."""

    waveforms: NDArray[np.int16]
    """(N, L) int16, full scale 32768, at the bundle's rate, after gain."""
    embeddings: Mapping[str, FloatArray]
    """(N, S, D) float32 of every network, by id."""


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as an ``.npz`` file whose bytes depend on the arrays alone."""
    members = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    return zip_bytes(members)


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """A ZIP archive whose bytes depend on its members alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name], compresslevel=6)
    return buffer.getvalue()


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


def read_golden(manifest: Manifest, data: bytes | None) -> Golden:
    """Golden vectors that fit the manifest.

    Raises:
        BundleError: They are missing, damaged or of other sizes.
    """
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


def golden_bytes(golden: Golden) -> bytes:
    """``golden.npz``."""
    embeddings = {f"embedding/{name}": z for name, z in golden.embeddings.items()}
    return npz_bytes({"waveforms": golden.waveforms, **embeddings})


def references_bytes(references: Mapping[str, FloatArray]) -> bytes:
    """``references.npz``: centres (K, D) of unit length by machine, in half precision.

    The machines' names are not in it but, in this order, in the manifest: they may be any text.
    """
    counts = np.asarray([len(centres) for centres in references.values()], np.int64)
    centres = np.concatenate(list(references.values())).astype(np.float16)
    return npz_bytes({"centres": centres, "counts": counts})


def read_references(manifest: Manifest, data: bytes | None) -> dict[str, FloatArray]:
    """Centres (K, D) float32 of unit length by machine; empty where the manifest names none.

    Raises:
        BundleError: They are damaged or not those that the manifest describes.
    """
    described = manifest.references
    if described is None:
        if data is not None:
            raise BundleError(f"{REFERENCES}: the manifest names no machines for it")
        return {}
    if data is None:
        raise BundleError(f"{REFERENCES}: missing; the bundle is incomplete")
    arrays = read_npz(data, REFERENCES)
    if set(arrays) != {"centres", "counts"}:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise BundleError(f"{REFERENCES}: holds {found} instead of centres and counts")
    centres, counts = arrays["centres"], arrays["counts"]
    if counts.dtype != np.int64 or counts.shape != (len(described.machines),) or counts.min() < 1:
        raise BundleError(
            f"{REFERENCES}: counts are not those of {len(described.machines)} machines"
        )
    size = next(one.embedding_size for one in manifest.networks if one.id == described.network)
    if centres.dtype != np.float16 or centres.shape != (sum(counts.tolist()), size):
        raise BundleError(f"{REFERENCES}: centres are not ({sum(counts.tolist())}, {size}) float16")
    exact = centres.astype(np.float32)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    if not (np.abs(length - 1.0) <= _UNIT_LENGTH).all():
        raise BundleError(f"{REFERENCES}: centres are not of unit length")
    parts = np.split(exact / length, np.cumsum(counts)[:-1])
    return dict(zip(described.machines, parts, strict=True))
