"""Build the Debian package: everything the device needs, so that installing asks for no network.

    python tools/build_deb.py                             for this computer
    python tools/build_deb.py --target ubuntu22.04/arm64  for JetPack 6, from any computer

The package carries edge-asd's wheel and those of its dependencies, which the target's lock names
by hash (`make lock`). Its postinst makes the virtual environment from them, with
the pip that is among them. The same input and the
same SOURCE_DATE_EPOCH (default: the time of the last commit) give the same bytes.

Exit codes: 0 built, 1 something failed, 2 usage.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

from targets import ROOT, Target

SOURCES = ["pyproject.toml", "README.md", "LICENSE", "NOTICE", "edge_asd", "train/edge_asd_train"]
"""What the wheel is made from."""

DEB = ROOT / "deploy/deb"
LIB = "usr/lib/edge-asd"

DEPENDS = [
    "adduser",
    "libc6 (>= {glibc})",
    "libgcc-s1",
    "libportaudio2",
    "libstdc++6",
    "procps",  # /bin/kill of `systemctl reload`
    "python3 (>= {python}~)",
    "python3 (<< {next_python}~)",
]

CONTROL = """\
Package: edge-asd
Version: {version}
Architecture: {architecture}
Maintainer: edge-asd maintainers <maintainers@edge-asd.invalid>
Installed-Size: {size}
Depends: {depends}
Recommends: ca-certificates
Section: sound
Priority: optional
Description: listens to machines and reports when they sound different
 edge-asd runs on a small computer beside a machine, learns its normal sound
 from a microphone and says over MQTT when it sounds different.
 .
 This package carries every Python library the daemon needs and creates a
 virtual environment from them; nothing is fetched from a network.
"""


def source_date() -> int:
    """Seconds since 1970 that every file of the package is dated with."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return int(found.stdout)
    return int((ROOT / "CHANGELOG.md").stat().st_mtime)


def debian_version(version: str, target: Target) -> str:
    """Return a version that sorts as Python's does, and names the distribution.

    The distribution stands behind a tilde, so what comes before a release needs more of them.

    >>> debian_version("1.2.0rc1", Target("debian12", "amd64"))
    '1.2.0~~rc1~debian12'
    """
    before_release = re.sub(r"(?<=\d)(a|b|rc)(?=\d)", r"~~\1", version)
    return f"{before_release.replace('.dev', '~~~dev')}~{target.distribution}"


def fetch_wheels(target: Target, cache: Path) -> Path:
    """Return a folder with the wheels of the target's lock, fetched unless it is there already."""
    digest = hashlib.sha256(target.lock.read_bytes()).hexdigest()[:16]
    folder = cache / f"{target.lock.stem}-{digest}"
    if folder.exists():
        return folder
    print(f"fetching the wheels of {target.lock.relative_to(ROOT)}", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes"]
        command += [*target.pip_options(), "--dest", scratch, "--requirement", str(target.lock)]
        subprocess.run(command, check=True)
        shutil.copytree(scratch, folder.with_suffix(".part"), dirs_exist_ok=True)
    folder.with_suffix(".part").rename(folder)
    return folder


def build_wheel(version: str | None, epoch: int, scratch: Path) -> Path:
    """Build edge-asd's wheel from a copy of the sources, so that nothing old slips in.

    Args:
        version: Overrides the version of the sources.
        epoch: Date of the files in it.
        scratch: An empty folder.
    """
    tree = scratch / "tree"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, target, **({"ignore": skip} if copy is shutil.copytree else {}))
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if version is not None:
        module = tree / "edge_asd/__init__.py"
        line = re.compile(r'^__version__ = ".*"$', re.MULTILINE)
        module.write_text(line.sub(f'__version__ = "{version}"', module.read_text()))
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-cache-dir"]
    command += ["--wheel-dir", str(scratch), str(tree)]
    pins = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}  # for the build's own setuptools
    environment = {**os.environ, **pins, "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, check=True, env=environment, umask=0o022)  # modes go into the wheel
    (wheel,) = scratch.glob("edge_asd-*.whl")
    return wheel


def requirements(target: Target, wheel: Path) -> str:
    """Everything the virtual environment will hold, each with its hash; not pip, which fills it."""
    lines = target.lock.read_text().splitlines(keepends=True)
    version = wheel.name.split("-")[1]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lines.append(f"edge-asd=={version} --hash=sha256:{digest}\n")
    return "".join(line for line in lines if not line.startswith("pip=="))


def changelog(version: str, epoch: int) -> bytes:
    """Debian's changelog: one entry that leads to the real one."""
    text = (
        f"edge-asd ({version}) unstable; urgency=medium\n\n"
        "  * See CHANGELOG.md.gz in this folder.\n\n"
        " -- edge-asd maintainers <maintainers@edge-asd.invalid>  "
        f"{formatdate(epoch)}\n"
    )
    return text.encode()


def install(source: Path | bytes, path: Path, mode: int = 0o644) -> None:
    """Write a file of the package, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    path.chmod(mode)


def lay_out(tree: Path, wheels: list[Path], lock: str, head: bytes) -> None:
    """Write everything that dpkg will unpack.

    Args:
        tree: Where to.
        wheels: What the virtual environment is made from.
        lock: Their hashes, as pip reads them.
        head: Debian's changelog.
    """
    for path in wheels:
        install(path, tree / LIB / "wheels" / path.name)
    install(lock.encode(), tree / LIB / "requirements.txt")
    install(ROOT / "systemd/edge-asd.service", tree / "usr/lib/systemd/system/edge-asd.service")
    install(DEB / "config.yaml", tree / "etc/edge-asd/config.yaml")
    install(DEB / "lintian-overrides", tree / "usr/share/lintian/overrides/edge-asd")
    documents = tree / "usr/share/doc/edge-asd"
    install(DEB / "copyright", documents / "copyright")
    install(ROOT / "NOTICE", documents / "NOTICE")
    install(ROOT / "deploy/config.example.yaml", documents / "examples/config.yaml")
    packed = {
        "changelog.gz": head,
        "CHANGELOG.md.gz": (ROOT / "CHANGELOG.md").read_bytes(),
    }
    for name, content in packed.items():
        install(gzip.compress(content, mtime=0), documents / name)
    command = tree / "usr/bin/edge-asd"
    command.parent.mkdir(parents=True)
    command.symlink_to("../lib/edge-asd/venv/bin/edge-asd")


def write_control(tree: Path, target: Target, version: str) -> None:
    """Write what tells dpkg about the package, and the scripts it runs."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    following = f"3.{int(target.python.removeprefix('3.')) + 1}"
    depends = ", ".join(DEPENDS).format(
        glibc=target.glibc, python=target.python, next_python=following
    )
    fields = {
        "version": version,
        "architecture": target.architecture,
        "size": sum(-(-path.stat().st_size // 1024) for path in files),
        "depends": depends,
    }
    sums = "".join(
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n"
        for path in files
    )
    control = tree / "DEBIAN"
    install(CONTROL.format(**fields).encode(), control / "control")
    install(sums.encode(), control / "md5sums")
    install(b"/etc/edge-asd/config.yaml\n", control / "conffiles")
    for script in ("postinst", "prerm", "postrm"):
        text = (DEB / script).read_text().replace("@PYTHON@", f"python{target.python}")
        install(text.replace("@VERSION@", version).encode(), control / script, 0o755)


def build(target: Target, out: Path, version: str | None) -> Path:
    """Build the package and return it.

    Args:
        target: What it is for.
        out: Where it goes; wheels are kept in ``wheels`` below it.
        version: Overrides the version of the sources.
    """
    epoch = source_date()
    wheels = fetch_wheels(target, out / "wheels")
    with tempfile.TemporaryDirectory() as folder:
        scratch, tree = Path(folder), Path(folder) / "package"
        tree.mkdir()
        wheel = build_wheel(version, epoch, scratch)
        full = debian_version(wheel.name.split("-")[1], target)
        everything = [wheel, *sorted(wheels.iterdir())]
        lay_out(tree, everything, requirements(target, wheel), changelog(full, epoch))
        write_control(tree, target, full)
        for path in [tree, *tree.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        package = out / f"edge-asd_{full}_{target.architecture}.deb"
        # Wheels are compressed already; and xz with several threads is not reproducible.
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build"]
        command += [str(tree), str(package)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return package


def main() -> int:
    """Build one package."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--target", help="distribution/architecture (default: this computer's)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="default: dist/")
    parser.add_argument("--version", help="of the package (default: that of the sources)")
    options = parser.parse_args()
    try:
        target = Target.parse(options.target) if options.target else Target.here()
    except ValueError as error:
        parser.error(str(error))
    started = time.monotonic()
    try:
        package = build(target, options.out, options.version)
    except subprocess.CalledProcessError as error:
        print(f"{Path(error.cmd[0]).name}: failed, see above", file=sys.stderr)
        return 1
    size_mb = package.stat().st_size / 1e6
    print(f"{package} ({size_mb:.0f} MB, {time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
