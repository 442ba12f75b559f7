"""Lock what the Debian packages carry: one wheel and one hash a dependency.

For every Python and architecture that a package is built for, `make lock` writes
`deploy/deb/locks/cp311-x86_64.txt` and its like. The versions are those of constraints.txt, the
dependencies those of pyproject.toml without extras. uv resolves, because it judges environment
markers as the *other* Python would; pip names the wheel, because pip is what installs it.

    python tools/lock.py            write the files anew
    python tools/lock.py --check    only tell whether they are what would be written (exit code 1)
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from targets import ROOT, TARGETS, Target

UV = "uv==0.13.9"
"""What resolves. Its version decides nothing but whether it runs: the result is pinned."""

PIP = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps"]


def _versions(target: Target, uv: Path) -> str:
    """Every dependency with its version, one a line; pip, which installs them; what is beyond."""
    command = [uv, "pip", "compile", "--quiet", "--only-binary", ":all:", "--no-header"]
    command += ["--no-annotate", "--python-version", target.python, "--python-platform"]
    command += [f"{target.machine}-manylinux_{target.glibc.replace('.', '_')}"]
    command += ["--constraint", "constraints.txt", "pyproject.toml"]
    found = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pip = (pin for pin in pins if pin.startswith("pip=="))
    return "\n".join([found, *pip, *target.beyond])


def _wheels(target: Target, versions: str, scratch: Path) -> list[str]:
    """One line a dependency: name, version and the hash of the wheel that pip would take."""
    wanted, report = scratch / "wanted.txt", scratch / "report.json"
    wanted.write_text(versions)
    command = [*PIP, "--dry-run", "--ignore-installed", "--target", str(scratch / "none")]
    command += [*target.pip_options(), "--report", str(report), "--requirement", str(wanted)]
    subprocess.run(command, check=True, cwd=ROOT)
    found = json.loads(report.read_text())["install"]
    return sorted(
        f"{item['metadata']['name'].lower().replace('_', '-')}=={item['metadata']['version']}"
        f" --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}"
        for item in found
    )


def lock(target: Target, uv: Path, scratch: Path) -> str:
    """Text of the lock of ``target``."""
    head = (
        f"# What edge-asd needs on CPython {target.python}, {target.machine}:"
        " one wheel a line, with its hash.\n"
        "# `make lock` writes this file from pyproject.toml and constraints.txt.\n"
    )
    wheels = _wheels(target, _versions(target, uv), scratch)
    return head + "".join(f"{line}\n" for line in wheels)


def main() -> int:
    """Write the locks, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    check = parser.parse_args().check
    stale = False
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        subprocess.run([*PIP, "--target", str(scratch / "uv"), UV], check=True)
        for target in TARGETS:
            text = lock(target, scratch / "uv/bin/uv", scratch)
            if target.lock.exists() and target.lock.read_text() == text:
                continue
            stale = True
            print(f"{target.lock.relative_to(ROOT)}: {'not up to date' if check else 'written'}")
            if not check:
                target.lock.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
