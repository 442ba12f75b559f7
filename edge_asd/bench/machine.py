"""What machine it is: whatever a figure depends on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_asd import __version__
from edge_asd.engine import tensorrt

ROOT = Path("/")
_FLAGS = (
    *("fma", "f16c", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"),
)
"""What decides how fast a processor multiplies matrices."""
_PACKAGES = (
    *("numpy", "scipy", "pyfftw", "onnxruntime", "openvino", "tensorrt", "cuda-bindings"),
    *("soxr", "paho-mqtt"),
)
_ASK_S = 5.0


def describe(root: Path = ROOT) -> dict[str, Any]:
    """The machine; what is not known is left out.

    Args:
        root: Where ``/proc``, ``/sys`` and ``/etc`` lie.
    """
    fields = {
        "board": _text(root / "proc/device-tree/model").rstrip("\0"),
        "cpu": _cpu_model(root),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "cpu_flags": _flags(root),
        "cpu_mhz_highest": _highest_mhz(root),
        "governor": _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_mb": _memory_mb(root),
        "kernel": platform.release(),
        "system": _release(root),
        "jetpack": _jetpack(root),
        "power_mode": _first_line_of("nvpmodel", "-q") if _text(_tegra(root)) else "",
        "nvidia_driver": _text(root / "proc/driver/nvidia/version").partition("\n")[0],
        "python": platform.python_version(),
        "edge_asd": __version__,
        "versions": _versions(),
        "load_before": _load(root),
    }
    return {name: value for name, value in fields.items() if value not in ("", None, [], {})}


def describe_gpu() -> dict[str, Any]:
    """The GPU and TensorRT, where that runs.

    Raises:
        EngineError: It does not.
    """
    return asdict(tensorrt.platform())


def summary(machine: Mapping[str, Any]) -> str:
    """One line for people."""
    parts = [
        machine.get("board") or machine.get("cpu") or machine.get("architecture"),
        f"{machine.get('cores_usable', '?')} of {machine.get('cores', '?')} cores",
        f"{machine['memory_mb'] / 1024:.1f} GB" if "memory_mb" in machine else "",
        machine.get("system"),
        machine.get("jetpack"),
        "{gpu}, TensorRT {version}".format_map(machine["gpu"]) if "gpu" in machine else "",
        f"kernel {machine.get('kernel')}",
        f"governor {machine['governor']}" if "governor" in machine else "",
    ]
    return ", ".join(str(part) for part in parts if part)


def _cpu_model(root: Path) -> str:
    """By name on x86; what Arm gives are numbers of maker and part."""
    fields = _cpu_fields(root)
    if "model name" in fields:
        return fields["model name"]
    codes = [fields.get(f"CPU {name}") for name in ("implementer", "part")]
    return f"Arm implementer {codes[0]}, part {codes[1]}" if all(codes) else ""


def _flags(root: Path) -> list[str]:
    fields = _cpu_fields(root)
    there = set((fields.get("flags") or fields.get("Features") or "").split())
    return [flag for flag in _FLAGS if flag in there]


def _cpu_fields(root: Path) -> dict[str, str]:
    """Of the first processor."""
    first = _text(root / "proc/cpuinfo").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _highest_mhz(root: Path) -> int | None:
    khz = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    return int(khz) // 1000 if khz.isdigit() else None


def _memory_mb(root: Path) -> int | None:
    found = re.search(r"^MemTotal: +(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) // 1024 if found else None


def _release(root: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(root / "etc/os-release"), re.MULTILINE)
    return found[1] if found else ""


def _tegra(root: Path) -> Path:
    return root / "etc/nv_tegra_release"


def _jetpack(root: Path) -> str:
    """Release of Jetson Linux, and of JetPack where its package is installed."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text(_tegra(root)))
    if found is None:
        return ""
    version = _first_line_of("dpkg-query", "-W", "-f", "${Version}", "nvidia-jetpack")
    return f"Jetson Linux {found[1]}.{found[2]}" + (f", JetPack {version}" if version else "")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _load(root: Path) -> float | None:
    """Of the last minute: a machine that is busy with something else measures too little."""
    with suppress(ValueError, IndexError):
        return float(_text(root / "proc/loadavg").split()[0])
    return None


def _first_line_of(*command: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            command, capture_output=True, text=True, timeout=_ASK_S, check=True
        )
        return done.stdout.strip().partition("\n")[0]
    return ""


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""
