"""A throw-away copy of this machine's file system, to install packages in.

An overlay over ``/`` whose changes live in memory: what runs in it has its own package database,
no network, and none of the folders where a developer keeps other Pythons. It can be booted, too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from brokers import eventually

HIDDEN = ("home", "mnt", "opt", "root", "srv", "usr/local", "work")
"""Folders that no package may need; empty inside, where they exist."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

CGROUPS = Path("/sys/fs/cgroup")

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
        self._furnished = set()
        self._init = None  # of the booted system, as this machine numbers it
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
        if self._init is not None:
            enter = ["nsenter", "--target", str(self._init), "--all"]
            enter += ["sh", "-c", 'cd / && exec "$@"', "enter"]
        else:
            isolate = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
            script = _ENTER.format(hidden=" ".join(HIDDEN))
            enter = [*isolate, "sh", "-c", script, "enter", self.path]
        done = subprocess.run(
            [*enter, *command],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}"
        return done

    @contextmanager
    def booted(self):
        """Boot its systemd; ``run`` then runs inside. Says whether that is possible here."""
        if shutil.which("systemd-nspawn") is None:
            yield False
            return
        before = set(self.changes())
        self._quieten()
        self._furnished = set(self.changes()) - before
        command = ["systemd-nspawn", "--quiet", "-D", self.path, "--boot", "--register=no"]
        command += ["--keep-unit", "--private-network", "--console=pipe", "--resolv-conf=off"]
        command += ["--timezone=off", *(f"--tmpfs=/{name}" for name in HIDDEN)]
        groups = _own_groups()
        with (self._directory / "boot.log").open("w") as log:
            # In control groups of its own: two machines in one would be at each other's services.
            process = subprocess.Popen(
                ["sh", "-c", _JOIN, "join", *groups, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._init = eventually(lambda: _child(process), what="the booted system")
            eventually(self._is_up, what="the booted system")
            yield True
        finally:
            self._init = None
            process.send_signal(signal.SIGTERM)  # nspawn takes the whole machine down
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()
            # Its last processes are still dying, and hold on to their groups.
            eventually(lambda: all(_removed(group) for group in groups), what="an empty machine")

    def _is_up(self):
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _quieten(self):
        """Let none of this machine's own services start."""
        for folder in ("multi-user.target.wants", "sockets.target.wants", "timers.target.wants"):
            for link in (self.path / "etc/systemd/system" / folder).glob("*"):
                if "edge-asd" not in link.name:
                    link.unlink()
        generators = self.path / "etc/systemd/system-generators"
        generators.mkdir(exist_ok=True)
        (generators / "systemd-sysv-generator").symlink_to("/dev/null")
        (self.path / "etc/machine-id").unlink(missing_ok=True)
        self.write("/etc/machine-id", "")
        # Container images forbid services to start; this machine is booted for just that.
        (self.path / "usr/sbin/policy-rc.d").unlink(missing_ok=True)

    def write(self, path, text, mode=0o644):
        """Write a file inside."""
        target = self.path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read(self, path):
        """Content of a file inside."""
        return (self.path / path.lstrip("/")).read_bytes()

    def changes(self):
        """Paths that are new or other than this machine's, with their content.

        What was furnished for booting is left out, and what was deleted.
        """
        found = {}
        for folder, _, names in os.walk(self._upper):
            for name in names:
                path = Path(folder, name)
                inside = "/" + str(path.relative_to(self._upper))
                if path.is_symlink():
                    found[inside] = str(path.readlink())
                elif not path.is_char_device():  # that is how an overlay remembers a deletion
                    found[inside] = path.read_bytes()
            if folder != str(self._upper):
                found["/" + str(Path(folder).relative_to(self._upper)) + "/"] = "folder"
        changed = {path: what for path, what in found.items() if what != _below(path)}
        return {path: what for path, what in changed.items() if path not in self._furnished}


def _below(inside):
    """The same of the machine itself; None where there is nothing."""
    path = Path(inside)
    if path.is_symlink():
        return str(path.readlink())
    if path.is_dir():
        return "folder"
    return path.read_bytes() if path.is_file() else None


_JOIN = """
while [ "$1" != -- ]; do mkdir -p "$1"; echo $$ >"$1/cgroup.procs"; shift; done
shift; exec "$@"
"""


def _own_groups():
    """One control group in every hierarchy that systemd uses."""
    tops = [CGROUPS, CGROUPS / "systemd", CGROUPS / "unified"]
    return [top / f"edge-asd-test-{os.getpid()}" for top in tops if (top / "cgroup.procs").exists()]


def _removed(group):
    """Remove a control group and those below it, which go as soon as nothing runs in them."""
    for folder in sorted(group.glob("**/"), reverse=True):
        with suppress(OSError):
            folder.rmdir()
    return not group.exists()


def _child(process):
    """The first process of the machine that ``process`` booted, once it runs systemd."""
    assert process.poll() is None, "systemd-nspawn ended"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    with suppress(OSError):
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return None


def _run(*command):
    subprocess.run(command, check=True, capture_output=True)


def needs_root():
    """Skip the test where it cannot mount or lacks the tools."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a throw-away file system")
    for tool in ("unshare", "dpkg-deb", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
