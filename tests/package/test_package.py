"""The Debian package, built and installed for real, in a throw-away file system without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import eventually
from support.rootfs import Root, needs_root

ROOT = Path(__file__).resolve().parents[2]

ALLOWED = ("/var/lib/dpkg/", "/var/log/", "/etc/passwd-", "/etc/shadow-", "/etc/group-")
ALLOWED += ("/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock")
ALLOWED += ("/var/lib/systemd/", "/var/lib/private/", "/var/tmp/", "/var/cache/", "/etc/.updated")
ALLOWED += ("/var/.updated", "/etc/ld.so.cache")
"""What may differ after a purge, if it is not called after us: the books of dpkg, adduser's copies
of its files, and what any boot of systemd writes."""

NEVER_IMPORTED = "raise SystemExit('the system library is used instead of the package one')\n"

STATE = "/var/lib/edge-asd"
SYSTEM_LIBRARIES = "/usr/lib/python3/dist-packages"


def build(out, *options):
    """Build a package into ``out``, with the wheels that earlier builds left in dist/."""
    (ROOT / "dist/wheels").mkdir(parents=True, exist_ok=True)
    out.mkdir()
    (out / "wheels").symlink_to(ROOT / "dist/wheels")
    command = [sys.executable, ROOT / "tools/build_deb.py", "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "no package is built for" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = out.glob("*.deb")
    return package


def spoil(package, out):
    """Return the same package with one byte of one of its wheels changed."""
    tree = out / "tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    (wheel,) = tree.glob("usr/lib/edge-asd/wheels/sounddevice-*.whl")
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    spoilt = out / f"spoilt-{package.name}"
    subprocess.run(["dpkg-deb", "-Znone", "-b", tree, spoilt], check=True, capture_output=True)
    shutil.rmtree(tree)
    return spoilt


def install(root, package, *, check=True):
    """``dpkg -i`` inside; says what happened."""
    inside = root.path / "var/cache" / package.name
    shutil.copy(package, inside)
    done = root.run("dpkg", "-i", f"/var/cache/{package.name}", check=check)
    inside.unlink()
    return done


def put_in_the_way(root, name, version):
    """Give the system a library of that name which must not be used."""
    root.write(f"{SYSTEM_LIBRARIES}/{name}/__init__.py", NEVER_IMPORTED)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    root.write(f"{SYSTEM_LIBRARIES}/{name}-{version}.dist-info/METADATA", metadata)
    root.write(f"{SYSTEM_LIBRARIES}/{name}-{version}.dist-info/INSTALLER", "apt\n")


def let_the_loader_not_know_portaudio_yet(root):
    """As where apt has just installed it: the trigger that renews the cache runs at the end."""
    script = "cd $(dirname $(ldconfig -p | sed -n 's|.*libportaudio.so.2 .*=> ||p' | head -n 1))"
    script += " && mkdir /var/tmp/pa && mv libportaudio.so.2* /var/tmp/pa && ldconfig"
    script += " && mv /var/tmp/pa/* . && rmdir /var/tmp/pa"
    root.run("sh", "-ec", script)
    assert "libportaudio" not in root.run("ldconfig", "-p").stdout


def take_away(root, name, version):
    folder = root.path / SYSTEM_LIBRARIES[1:]
    shutil.rmtree(folder / name)
    shutil.rmtree(folder / f"{name}-{version}.dist-info")


def locked(package, name):
    """The version that the package carries of a library."""
    names = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True)
    (version,) = {
        line.split(f"/{name}-")[1].split("-")[0]
        for line in names.stdout.splitlines()
        if f"/wheels/{name}-" in line
    }
    return version


def as_daemon(root, *command, check=True):
    return root.run("runuser", "-u", "edge-asd", "--", *command, check=check)


def is_installed_and_works(root, version):
    """The command runs, the configuration it came with is good, the user may open microphones."""
    assert root.run("edge-asd", "--version").stdout.strip() == f"edge-asd, version {version}"
    # As the daemon's own user: it must be able to read what it is configured with.
    as_daemon(root, "edge-asd", "check", "--config", "/etc/edge-asd/config.yaml")
    assert "audio" in root.run("id", "-nG", "edge-asd").stdout.split()
    modes = root.run("stat", "-c", "%U:%G %a", STATE, "/var/cache/edge-asd", "/etc/edge-asd").stdout
    assert modes.splitlines() == ["edge-asd:edge-asd 750"] * 2 + ["root:edge-asd 750"]


def uses_its_own_libraries(root):
    """Whatever the system has, and in whatever version."""
    said = root.run(
        "/usr/lib/edge-asd/venv/bin/python",
        "-c",
        "import numpy, pydantic, scipy, sys; assert all(\n"
        "    m.__file__.startswith(sys.prefix) for m in (numpy, pydantic, scipy))\n"
        "import system_only; print(system_only.here)",
    ).stdout
    assert said.strip() == "seen"  # as TensorRT of JetPack is


def leave_what_an_operator_leaves(root):
    """A profile, a configuration and a secret; returns what is to survive, by path."""
    learn = ["edge-asd", "enrol", "--monitor", "machine", "--source", "sim:pump?speed=max"]
    as_daemon(root, *learn, "--seconds", "60", "--state-dir", STATE)
    operators = "device: hall-3\nmonitors:\n  - name: machine\n    source: 'alsa:'\n"
    root.write("/etc/edge-asd/config.yaml", operators)
    root.write("/etc/edge-asd/secrets/mqtt-password", "secret\n", 0o600)
    profile = f"{STATE}/profiles/machine/profile.json"
    paths = (profile, "/etc/edge-asd/config.yaml", "/etc/edge-asd/secrets/mqtt-password")
    return {path: root.read(path) for path in paths}


def are_as_they_were(root, kept):
    assert {path: root.read(path) for path in kept} == kept


def environments(root):
    return list((root.path / "usr/lib/edge-asd/venvs").iterdir())


def runs(root):
    """Wait until systemd says that the daemon is ready; returns its process."""

    def ready():
        shown = root.run("systemctl", "show", "-p", "ActiveState,MainPID,User", "edge-asd").stdout
        unit = dict(line.split("=", 1) for line in shown.splitlines())
        journal = ["journalctl", "-u", "edge-asd", "-n", "50", "--no-pager"]
        assert unit["ActiveState"] != "failed", root.run(*journal).stdout
        assert unit["User"] == "edge-asd"
        return unit["ActiveState"] == "active" and unit["MainPID"]

    return eventually(ready, what="the service")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_package_installs_upgrades_and_purges_offline_and_leaves_nothing_behind(tmp_path):
    needs_root()
    old = build(tmp_path / "old")
    new = build(tmp_path / "new", "--version", "99.0")
    version = old.name.split("_")[1].split("~")[0]
    with Root(tmp_path / "root") as root:
        # A library of the system that is too old, one in exactly our version, one that is no
        # concern of ours.
        in_the_way = [("numpy", "1.0"), ("pydantic", locked(new, "pydantic"))]
        for name, held in in_the_way:
            put_in_the_way(root, name, held)
        root.write(f"{SYSTEM_LIBRARIES}/system_only.py", "here = 'seen'\n")
        let_the_loader_not_know_portaudio_yet(root)
        # As an image is made: nothing runs in it.
        install(root, old)
        is_installed_and_works(root, version)
        uses_its_own_libraries(root)
        kept = leave_what_an_operator_leaves(root)

        # A package that arrived damaged is refused, and what was there before still works.
        refused = install(root, spoil(new, tmp_path), check=False)
        assert refused.returncode != 0
        assert "HASH" in refused.stdout.upper()
        is_installed_and_works(root, version)
        assert len(environments(root)) == 1

        with root.booted() as booted:
            before = booted and runs(root)  # installed means enabled
            # The good package repairs it, asks nothing and keeps what is the operator's.
            install(root, new)
            assert not booted or runs(root) != before  # it was restarted
            is_installed_and_works(root, "99.0")
            uses_its_own_libraries(root)
            assert len(environments(root)) == 1
            are_as_they_were(root, kept)
            root.run("dpkg", "-r", "edge-asd")
            left = root.run("systemctl", "is-active", "edge-asd", check=False).stdout.strip()
            assert not booted or left == "inactive"

        # Removal keeps state and configuration; purging leaves nothing, not even the user.
        are_as_they_were(root, kept)
        assert not (root.path / "usr/lib/edge-asd").exists()
        root.run("dpkg", "-P", "edge-asd")
        for name, held in in_the_way:
            take_away(root, name, held)
        (root.path / SYSTEM_LIBRARIES[1:] / "system_only.py").unlink()
        assert [path for path in root.changes() if is_left_behind(path)] == []


def is_left_behind(path):
    return "edge-asd" in path or not (path.startswith(ALLOWED) or "__pycache__" in path)


def test_the_same_sources_give_the_same_package(tmp_path, monkeypatch):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import build_deb
    from targets import Target

    checkout = tmp_path / "checkout"
    for name in (*build_deb.SOURCES, "systemd", "deploy", "CHANGELOG.md", "constraints.txt"):
        source = ROOT / name
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, checkout / name)
    monkeypatch.setattr(build_deb, "ROOT", checkout)
    monkeypatch.setattr(build_deb, "DEB", checkout / "deploy/deb")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    packages = []
    for umask, folder in ((0o022, "one"), (0o077, "another-place")):
        # Stands for the libraries, which are named by hash: only what is built here can differ.
        wheels = tmp_path / folder / "libraries"
        wheels.mkdir(parents=True)
        (wheels / "library-1-py3-none-any.whl").write_bytes(b"wheel")
        monkeypatch.setattr(build_deb, "fetch_wheels", lambda *_, wheels=wheels: wheels)
        target = Target.parse("debian12/amd64")
        packages.append(_built_under(umask, build_deb, target, tmp_path / folder))
    for part in ("-c", "-I"):  # what differs is told first
        told = [subprocess.check_output(["dpkg-deb", part, package]) for package in packages]
        assert told[0] == told[1]
    assert packages[0].read_bytes() == packages[1].read_bytes()


def _built_under(umask, build_deb, target, out):
    before = os.umask(umask)
    try:
        return build_deb.build(target, out, None)
    finally:
        os.umask(before)
