"""What packages are built for: distributions, their Python, architectures."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "deploy/deb/locks"

DISTRIBUTIONS = {
    "ubuntu22.04": (10, 35),  # JetPack 6
    "debian12": (11, 36),
    "ubuntu24.04": (12, 39),  # JetPack 7
    "debian13": (13, 40),
}
"""Minor version of CPython, and of the C library (at most the distribution's own)."""

JETPACK = {
    "ubuntu22.04/arm64": ("cuda-bindings==12.9.10", "cuda-pathfinder==1.8.3"),
    "ubuntu24.04/arm64": ("cuda-bindings==13.5.0", "cuda-pathfinder==1.9.0"),
}
"""What reaches the GPU for the TensorRT that JetPack brings: CUDA 12 with JetPack 6, 13 with 7."""

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""As in ``dpkg --print-architecture``, and as in ``uname -m``."""


@dataclass(frozen=True)
class Target:
    """A distribution on an architecture.

    Attributes:
        distribution: A key of ``DISTRIBUTIONS``.
        architecture: A key of ``MACHINES``.
    """

    distribution: str
    architecture: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``debian12/amd64``.

        Raises:
            ValueError: There is no such target; the message lists those there are.
        """
        distribution, _, architecture = text.partition("/")
        if distribution not in DISTRIBUTIONS or architecture not in MACHINES:
            known = ", ".join(target.text for target in TARGETS)
            raise ValueError(f"no package is built for {text}: choose one of {known}")
        return cls(distribution, architecture)

    @classmethod
    def here(cls) -> Target:
        """Return this computer's target.

        Raises:
            ValueError: It is none of those that packages are built for.
        """
        release = platform.freedesktop_os_release()
        architecture = {machine: name for name, machine in MACHINES.items()}
        name = release.get("ID", "?") + release.get("VERSION_ID", "")
        return cls.parse(f"{name}/{architecture.get(platform.machine(), platform.machine())}")

    @property
    def text(self) -> str:
        """What ``parse`` reads."""
        return f"{self.distribution}/{self.architecture}"

    @property
    def python(self) -> str:
        """Version of its Python, such as ``3.11``."""
        return f"3.{DISTRIBUTIONS[self.distribution][0]}"

    @property
    def glibc(self) -> str:
        """Version of its C library, such as ``2.36``."""
        return f"2.{DISTRIBUTIONS[self.distribution][1]}"

    @property
    def machine(self) -> str:
        """Its architecture as in ``uname -m``."""
        return MACHINES[self.architecture]

    @property
    def lock(self) -> Path:
        """File that names every dependency's wheel."""
        return LOCKS / f"cp{self.python.replace('.', '')}-{self.machine}.txt"

    @property
    def beyond(self) -> tuple[str, ...]:
        """Packages that its devices need and others do not, with their versions."""
        return JETPACK.get(self.text, ())

    def pip_options(self) -> Iterator[str]:
        """Options that make pip choose wheels for the target instead of for this computer."""
        yield from ("--only-binary", ":all:", "--implementation", "cp")
        yield from ("--python-version", self.python)
        for abi in (f"cp{self.python.replace('.', '')}", "abi3", "none"):
            yield from ("--abi", abi)
        for minor in range(DISTRIBUTIONS[self.distribution][1], 16, -1):  # the best one first
            yield from ("--platform", f"manylinux_2_{minor}_{self.machine}")
        yield from ("--platform", f"manylinux2014_{self.machine}")


TARGETS = [
    Target(distribution, architecture)
    for distribution in DISTRIBUTIONS
    for architecture in MACHINES
]
