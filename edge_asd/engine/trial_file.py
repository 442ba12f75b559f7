"""What was tried on this computer, remembered until something changes that it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_asd.bundle import Bundle
from edge_asd.engine.candidates import Candidate
from edge_asd.engine.trial import Trial
from edge_asd.errors import StorageError
from edge_asd.files import replace_file

logger = logging.getLogger(__name__)

_KEPT = 16  # bundles times settings; a computer has one or two
_MAX_BYTES = 2**16
_CPUINFO = Path("/proc/cpuinfo")
_CPU_FIELDS = {
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
}


class Tried(BaseModel):
    """Every engine that was left open, tried, and what that holds for."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    key: Mapping[str, str]
    """What it depends on."""
    trials: tuple[Trial, ...] = Field(min_length=1)
    available_bytes: int = Field(ge=0)
    """Memory that was free before."""


def trial_key(
    bundle: Bundle, threads: int, tried: Sequence[Candidate], cpuinfo: Path = _CPUINFO
) -> dict[str, str]:
    """What a trial depends on: another value of any of these, and it has to be made anew."""
    return {
        "bundle": bundle.sha256,
        "engines": ", ".join(map(str, tried)),
        "threads": str(threads),
        "cpu": _cpu(cpuinfo),
        **{name: _version(name) for name in ("onnxruntime", "openvino")},
    }


def recall(folder: Path | None, key: Mapping[str, str]) -> Tried | None:
    """What was tried with this key; None if nothing was, or if the file cannot be trusted."""
    if folder is None:
        return None
    path = _path(folder, key)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("file=%s cannot be read error=%s", path, error.strerror)
        return None
    tried = parse(data, key)
    if tried is None:
        logger.warning("file=%s is damaged: engines are tried anew", path)
    return tried


def remember(folder: Path | None, tried: Tried) -> None:
    """Keep it for the next start; where that is not possible, engines are tried again then."""
    if folder is None or not _is_ours(folder.parent):
        return
    path = _path(folder, tried.key)
    try:
        replace_file(path, dump(tried))
    except StorageError as error:
        logger.warning("file=%s not kept error=%s", path, error)
        return
    with contextlib.suppress(OSError):
        found = sorted(folder.glob("tried-*.json"), key=lambda one: one.stat().st_mtime)
        for old in found[:-_KEPT]:
            old.unlink(missing_ok=True)


def dump(tried: Tried) -> bytes:
    """As it is written, with a checksum."""
    body = tried.model_dump(mode="json")
    return json.dumps({"sha256": _digest(body), **body}, indent=1).encode() + b"\n"


def parse(data: bytes, key: Mapping[str, str]) -> Tried | None:
    """The reverse; None if it is not what was written, or holds for something else."""
    try:
        body = json.loads(data)
        checksum = body.pop("sha256")
        tried = Tried.model_validate(body)
    except (ValueError, ValidationError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return tried if checksum == _digest(body) and tried.key == key else None


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory that can be had without swapping; 0 if the system does not say."""
    try:
        lines = meminfo.read_text(encoding="ascii", errors="replace").splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kilobytes) * 1024
    except (OSError, ValueError, IndexError):
        return 0


def _is_ours(state_dir: Path) -> bool:
    """Whether files made here are of whom the others are of.

    A command that root runs must not leave what the service cannot replace.
    """
    try:
        return state_dir.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _path(folder: Path, key: Mapping[str, str]) -> Path:
    return folder / f"tried-{_digest(dict(key))[:16]}.json"


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _cpu(cpuinfo: Path) -> str:
    """Model and abilities of the first core, in short."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = text.partition("\n\n")[0].splitlines()
    told = sorted(line for line in lines if line.partition(":")[0].strip() in _CPU_FIELDS)
    return f"{platform.machine()} {hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:16]}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
