"""What scores: the runtime, the GPU's driver as far as it can be seen, and the golden vectors."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator
from pathlib import Path

from edge_asd.bundle import Bundle
from edge_asd.doctor.findings import Finding, failed, of_error, ok, skipped
from edge_asd.engine import EngineRequest, open_networks
from edge_asd.errors import EdgeAsdError
from edge_asd.features import fft_backend

_DRIVER = Path("/proc/driver/nvidia/version")
_JETSON = Path("/etc/nv_tegra_release")


def examine_runtime() -> Iterator[Finding]:
    """Versions; TensorRT is looked for and never imported, since that may take a broken driver."""
    name = "runtime: onnxruntime"
    try:
        import onnxruntime  # noqa: PLC0415 - whether it can be imported is the question
    except Exception as error:  # noqa: BLE001 - a broken library raises what it likes
        yield failed(name, f"{type(error).__name__}: {error}", "install edge-asd again")
    else:
        providers = ", ".join(onnxruntime.get_available_providers())
        yield ok(name, f"{onnxruntime.__version__}: {providers}")
    name = "runtime: OpenVINO"
    version = _version("openvino")
    yield ok(name, version) if version else skipped(name, "not installed")
    fft = fft_backend()
    version = _version("pyfftw") if fft == "fftw" else _version("scipy")
    yield ok("runtime: Fourier transforms", f"{fft} {version}")
    driver = _first_line(_DRIVER) or _first_line(_JETSON)
    name = "runtime: GPU driver"
    yield ok(name, driver) if driver else skipped(name, "no NVIDIA driver is loaded")
    from edge_asd.engine import tensorrt  # noqa: PLC0415 - a daemon checks what it reloads without

    name = "runtime: TensorRT"
    if lacks := tensorrt.lacking():
        yield skipped(name, lacks.removeprefix("TensorRT is "))
        return
    version = _version("tensorrt") or "of the system"
    yield ok(name, f"{version}, driver {'seen' if driver else 'not seen'}")


def examine_golden(bundle: Bundle | None, request: EngineRequest) -> Iterator[Finding]:
    """Which engine scores here and why, and whether it computes what the bundle's author did."""
    name = "runtime: golden vectors"
    if bundle is None:
        yield skipped(name, "there is no usable bundle")
        return
    began_s = time.monotonic()
    try:
        networks = open_networks(bundle, request)
    except EdgeAsdError as error:
        yield of_error(name, error)
        return
    count = len(bundle.golden.waveforms)
    spent_s = time.monotonic() - began_s
    engine = f"{networks.backend} {networks.precision}"
    networks.close()
    yield ok(name, f"{bundle.label}: {count} reproduced by {engine} in {spent_s:.1f} s")
    yield ok("runtime: engine", f"{engine}: {networks.reason}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().partition("\n")[0]
    except OSError:
        return ""
