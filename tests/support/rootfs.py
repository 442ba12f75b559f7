"""A throw-away copy of this machine's file system, to install packages in.

An overlay over ``/`` whose changes live in memory: what runs in it has its own package database,
no network, and none of the folders where a developer keeps other Pythons.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HIDDEN = ("home", "mnt", "opt", "root", "srv", "usr/local", "work")
"""Folders that no package may need; empty inside, where they exist."""

_ENTER = """
set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for folder in run tmp {hidden}; do
    [ ! -d "$root/$folder" ] || mount -t tmpfs tmpfs "$root/$folder"
done
exec chroot "$root" "$@"
"""


class Root:
    """One such file system.

    Attributes:
        path: Where it is seen from outside.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._upper = directory / "upper"
        self.path = directory / "root"

    def __enter__(self):
        self._directory.mkdir()
        _run("mount", "-t", "tmpfs", "-o", "size=4g,mode=755", "tmpfs", self._directory)
        for path in (self._upper, self._directory / "work", self.path):
            path.mkdir(mode=0o755)
        layers = f"lowerdir=/,upperdir={self._upper},workdir={self._directory / 'work'}"
        try:
            _run("mount", "-t", "overlay", "overlay", "-o", layers, self.path)
        except subprocess.CalledProcessError:
            _run("umount", self._directory)
            pytest.skip("this kernel mounts no overlay over /")
        return self

    def __exit__(self, *_):
        _run("umount", "--recursive", "--lazy", self._directory)

    def run(self, *command, check=True):
        """Run a command inside, without network, and return what it said."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        isolate = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        enter = ["sh", "-c", _ENTER.format(hidden=" ".join(HIDDEN)), "enter", self.path]
        done = subprocess.run(
            [*isolate, *enter, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}"
        return done

    def write(self, path, text, mode=0o644):
        """Write a file inside."""
        target = self.path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def changes(self):
        """Paths that differ from this machine's: content by path, None where one was deleted."""
        found = {}
        for folder, _, names in os.walk(self._upper):
            for name in names:
                path = Path(folder, name)
                inside = "/" + str(path.relative_to(self._upper))
                if path.is_symlink():
                    found[inside] = str(path.readlink())
                elif path.is_char_device():
                    found[inside] = None  # how an overlay remembers a deletion
                else:
                    found[inside] = path.read_bytes()
            if folder != str(self._upper):
                found["/" + str(Path(folder).relative_to(self._upper)) + "/"] = "folder"
        return {path: what for path, what in found.items() if what != _below(path)}


def _below(inside):
    """The same of the machine itself; None where there is nothing."""
    path = Path(inside)
    if path.is_symlink():
        return str(path.readlink())
    if path.is_dir():
        return "folder"
    return path.read_bytes() if path.is_file() else None


def _run(*command):
    subprocess.run(command, check=True, capture_output=True)


def needs_root():
    """Skip the test where it cannot mount or lacks the tools."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a throw-away file system")
    for tool in ("unshare", "dpkg-deb", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
