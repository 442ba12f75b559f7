"""What goes into the archive: each piece by itself, so that one that fails costs no other."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from edge_asd import __version__
from edge_asd.books.ledger_file import FILE_NAME as LEDGER
from edge_asd.books.ledger_view import LedgerReader, summarise
from edge_asd.doctor.diagnosis import diagnose, patient_of
from edge_asd.doctor.findings import record_of
from edge_asd.doctor.reading import Reading
from edge_asd.doctor.running import fetch
from edge_asd.operators.control import ask_daemon
from edge_asd.publish.store import EventStore
from edge_asd.service.host import UNIT
from edge_asd.state_dir import socket_path
from edge_asd.support.redact import Redactor

_DAY_S = 86400.0
_MOST_FILES = 20_000
_MOST_EVENTS = 1_000
_MOST_LINES = 20_000
_ASK_S = 30.0
_EVER_S = 2**40
_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_PACKAGES = (
    *("numpy", "scipy", "onnxruntime", "sounddevice", "soundfile", "soxr", "pillow", "paho-mqtt"),
    *("prometheus-client", "pydantic", "pyyaml", "click", "tensorrt"),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """The installation."""

    reading: Reading
    raw: Mapping[str, Any] | None
    """Keys and values of the operator's file; None if they cannot be read."""
    text: str
    """The file as it is."""
    state_dir: Path
    environ: Mapping[str, str]
    days: float
    """How far back."""
    redactor: Redactor


Source = Callable[[Subject], str]


def _versions(_subject: Subject) -> str:
    packages = {name: _version(name) for name in _PACKAGES}
    release = {
        path: text
        for path in ("/etc/os-release", "/etc/nv_tegra_release", "/proc/driver/nvidia/version")
        if (text := _read(Path(path)))
    }
    return _json(
        {
            "edge_asd": __version__,
            "python": sys.version,
            "executable": sys.executable,
            "kernel": platform.version(),
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "packages": packages,
            "release": release,
        }
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _configuration(subject: Subject) -> str:
    if subject.raw is None:
        return subject.text
    values = subject.redactor.values(subject.raw)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else "{}\n"


def _doctor(subject: Subject) -> str:
    patient = patient_of(subject.reading, subject.state_dir, subject.environ)
    findings = [
        {"group": title, **record_of(finding)}
        for title, group in diagnose(patient)
        for finding in group
    ]
    return _json(findings)


def _status(subject: Subject) -> str:
    path = socket_path(subject.state_dir, subject.environ)
    answer = ask_daemon(path, {"command": "status"}, lambda *_: None)
    return "no daemon runs with this state directory\n" if answer is None else _json(answer)


def _page(path: str) -> Source:
    def fetched(subject: Subject) -> str:
        status, body = fetch(subject.reading.config, path, subject.environ)
        return f"# HTTP {status}\n{body.decode(errors='replace')}"

    return fetched


def _ledger(subject: Subject) -> str:
    if not (subject.state_dir / LEDGER).exists():
        return "nothing recorded\n"
    reader = LedgerReader(subject.state_dir)
    try:
        begin_s = int(time.time() - subject.days * _DAY_S)
        found = {
            name: summarise(reader.passages(name, begin_s, _EVER_S)) for name in reader.monitors()
        }
    finally:
        reader.close()
    return _json({name: asdict(summary) if summary else None for name, summary in found.items()})


def _events(subject: Subject) -> str:
    store = EventStore(subject.state_dir, read_only=True)
    try:
        since_s = time.time() - subject.days * _DAY_S
        messages = store.events(since=since_s, limit=_MOST_EVENTS)
        waiting = asdict(store.outbox.stats())
    finally:
        store.close()
    lines = [json.dumps({"outbox": waiting})]
    return "\n".join([*lines, *(message.to_json().decode() for message in messages)]) + "\n"


def _log(subject: Subject) -> str:
    program = shutil.which("journalctl")
    if program is None:
        return "there is no journalctl here\n"
    since = f"--since=-{subject.days * 24:.0f}h"
    options = ("--no-pager", "--output=short-iso", f"--lines={_MOST_LINES}", since)
    return _run([program, f"--unit={UNIT}", *options])


def _files(subject: Subject) -> str:
    root = subject.state_dir
    lines = [_line(root, root)]
    lines += [_line(path, root) for path in islice(sorted(root.rglob("*")), _MOST_FILES)]
    return "\n".join(lines) + "\n"


def _line(path: Path, root: Path) -> str:
    name = path.relative_to(root)
    try:
        found = path.lstat()
    except OSError as error:
        return f"? {name} ({error.strerror})"
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.st_mtime))
    owner = f"{found.st_uid}:{found.st_gid}"
    return f"{stat.filemode(found.st_mode)} {owner:>11} {found.st_size:>12} {at} {name}"


def _unit(_subject: Subject) -> str:
    paths = [
        path
        for folder in map(Path, _UNITS)
        for path in (folder / UNIT, *sorted((folder / f"{UNIT}.d").glob("*.conf")))
    ]
    texts = [f"# {path}\n{text}" for path in paths if (text := _read(path))]
    program = shutil.which("systemctl")
    if program is not None:
        texts.append(_run([program, "show", UNIT, "--no-pager", "--property=" + _SHOWN]))
    return "\n".join(texts) or "there is no unit\n"


_SHOWN = "ActiveState,SubState,Result,NRestarts,StatusText,WatchdogUSec,MemoryCurrent,TasksCurrent"


def _sound(_subject: Subject) -> str:
    names = ("cards", "pcm", "devices", "version")
    return "".join(f"# {name}\n{_read(Path('/proc/asound') / name)}" for name in names)


def _environment(subject: Subject) -> str:
    """Names tell whether something is set; values only of what says where things lie."""
    shown = {"STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "INVOCATION_ID", "LANG", "TZ"}
    known = sorted(subject.environ.items())
    lines = [f"{name}={value}" if name in shown else name for name, value in known]
    return "\n".join(lines) + "\n"


SOURCES: tuple[tuple[str, Source], ...] = (
    ("versions.json", _versions),
    ("configuration.yaml", _configuration),
    ("doctor.json", _doctor),
    ("status.json", _status),
    ("healthz.json", _page("/healthz")),
    ("metrics.txt", _page("/metrics")),
    ("ledger.json", _ledger),
    ("events.jsonl", _events),
    ("log.txt", _log),
    ("files.txt", _files),
    ("unit.txt", _unit),
    ("sound.txt", _sound),
    ("environment.txt", _environment),
)


def gather(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every piece by name, redacted; what could not be had says why, in its place."""
    for name, source in SOURCES:
        try:
            text = source(subject)
        except Exception as error:  # noqa: BLE001 - a broken installation is what this is for
            text = f"not available: {type(error).__name__}: {error}\n"
        yield name, subject.redactor.text(text)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _run(command: list[str]) -> str:
    answer = subprocess.run(  # noqa: S603 - a program of the system with options of ours
        command, capture_output=True, text=True, errors="replace", timeout=_ASK_S, check=False
    )
    return answer.stdout or answer.stderr
