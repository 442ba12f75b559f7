"""TensorRT plans on disk: whole, of this computer, and proven, or not there.

A plan runs on the version of TensorRT and the GPU it was built on, and may kill the process
anywhere else: so all it depends on is its key, its checksum is looked at before every use, and it
is stored only once a process of its own has run it. What cannot be read is not there, and built
again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import BusyError
from edge_asd.files import replace_file

logger = logging.getLogger(__name__)

MAX_PLANS = 32
"""Both precisions of the largest ensemble that a bundle may hold."""
MAX_BYTES = 512 * 2**20
MAX_TIMING_BYTES = 64 * 2**20
"""A timing cache only ever grows; one larger than this is begun anew."""

_FORMAT = 1
"""Of the files; what was written in another one is not found."""
_BESIDE = (".inside", ".strikes")
"""Of what is remembered beside a plan."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a plan is bound to beside its network."""

    tensorrt: str
    """Exact version."""
    gpu: str
    compute_capability: str

    @property
    def digest(self) -> str:
        """Short name of it."""
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True)
class PlanKey:
    """All that a plan depends on: where one of it differs, another plan is needed."""

    host: Host
    onnx_sha256: str
    precision: str
    options: str
    """How it was built."""

    @property
    def digest(self) -> str:
        """Name of its file."""
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True)
class Proof:
    """With what a plan gave the right embeddings; with anything else it is tried again."""

    driver: str
    bundle_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class CachedPlan:
    """A plan that is whole."""

    data: bytes
    proof: Proof


class PlanCache:
    """The folder of plans; safe to use from several processes.

    Args:
        folder: Where they lie; made when something is stored.
        max_plans: As many are kept.
        max_bytes: All together.
    """

    def __init__(
        self, folder: Path, *, max_plans: int = MAX_PLANS, max_bytes: int = MAX_BYTES
    ) -> None:
        self.folder = folder
        self._max_plans, self._max_bytes = max_plans, max_bytes

    def load(self, key: PlanKey) -> CachedPlan | None:
        """The plan, if it is there and whole; one that is damaged is removed."""
        path = self._plan(key)
        found = _read(path, asdict(key))
        if found is None:
            return None
        header, data = found
        with contextlib.suppress(OSError):
            os.utime(path)  # who was used last is pruned last
        return CachedPlan(data, Proof(**header["proof"]))

    def store(self, key: PlanKey, plan: CachedPlan) -> None:
        """Keep a plan that was proven, and make room.

        Raises:
            StorageError: It cannot be written.
        """
        header = {"key": asdict(key), "proof": asdict(plan.proof)}
        replace_file(self._plan(key), _sealed(header, plan.data))
        with contextlib.suppress(OSError):
            self.prune(key)

    def remove(self, key: PlanKey) -> None:
        """Forget a plan."""
        with contextlib.suppress(OSError):
            self._plan(key).unlink()

    def load_timing(self, host: Host) -> bytes:
        """What builds before have measured; empty at first."""
        found = _read(self._timing(host), asdict(host))
        return found[1] if found else b""

    def store_timing(self, host: Host, data: bytes) -> None:
        """Keep what a build has measured.

        Raises:
            StorageError: It cannot be written.
        """
        if len(data) <= MAX_TIMING_BYTES:
            replace_file(self._timing(host), _sealed({"key": asdict(host)}, data))

    def beside(self, key: PlanKey, suffix: str) -> Path:
        """A file for what is remembered of a plan, whether it is there or not."""
        return self._plan(key).with_suffix(suffix)

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Be the only one who builds; what a killed one left behind is cleared away.

        Raises:
            BusyError: Another process builds.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("wb")
        except OSError:
            yield  # where nothing can be written there is nothing to be kept from
            return
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError(
                    f"{self.folder}: another process builds TensorRT plans; wait for its end"
                ) from error
            for left in self.folder.glob(".*.tmp"):
                _remove(left, "left by a write that was cut off")
            yield

    def prune(self, newest: PlanKey) -> None:
        """Keep within the limits: plans of another computer go first, then those long unused.

        Args:
            newest: Which stays, whatever its size.
        """
        kept, plans = self._plan(newest), []
        for path in self.folder.iterdir():
            if path.suffix not in (".plan", ".timing", *_BESIDE):
                continue
            if not path.name.startswith(newest.host.digest):
                _remove(path, "of another GPU or version")
            elif path.suffix == ".plan":
                with contextlib.suppress(OSError):
                    status = path.stat()
                    plans.append((path != kept, -status.st_mtime, status.st_size, path))
        count = total = 0
        for _, _, size, path in sorted(plans):
            count, total = count + 1, total + size
            if path != kept and (count > self._max_plans or total > self._max_bytes):
                for each in (path, *(path.with_suffix(suffix) for suffix in _BESIDE)):
                    _remove(each, "long unused")

    def _plan(self, key: PlanKey) -> Path:
        return self.folder / f"{key.host.digest}-{key.digest}.plan"

    def _timing(self, host: Host) -> Path:
        return self.folder / f"{host.digest}.timing"


def _digest(fields: dict[str, Any]) -> str:
    text = json.dumps(fields | {"format": _FORMAT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _sealed(header: dict[str, Any], data: bytes) -> bytes:
    """Checksum of all that follows, a line that says what it is, and the contents."""
    body = json.dumps(header, sort_keys=True).encode() + b"\n" + data
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _read(path: Path, key: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
    """Header and contents, if the file is whole and what it says it is; else it is removed."""
    try:
        checksum, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("engine cache unreadable=%s reason=%s", path, error.strerror)
        return None
    if checksum != hashlib.sha256(body).hexdigest().encode():
        _remove(path, "damaged", logging.WARNING)
        return None
    line, _, data = body.partition(b"\n")
    header = json.loads(line)
    if header["key"] != key:
        _remove(path, "of something else", logging.WARNING)
        return None
    return header, data


def _remove(path: Path, reason: str, level: int = logging.INFO) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
        logger.log(level, "engine cache removed=%s reason=%s", path, reason)
