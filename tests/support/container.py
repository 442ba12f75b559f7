"""A machine of its own that boots a real systemd, over the files of this one.

systemd-nspawn on an overlay of ``/``: what is written is in memory and gone afterwards. Root and
the package systemd-container are needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

import edge_asd

NSPAWN = shutil.which("systemd-nspawn")
CGROUPS = Path("/sys/fs/cgroup")
HOME = "/opt/edge-asd"
"""Where edge-asd is installed in the container: a virtual environment as an operator makes one."""

PYTHON = f"{HOME}/bin/python"
JOIN = """
while [ "$1" != -- ]; do mkdir -p "$1"; echo $$ >"$1/cgroup.procs"; shift; done
shift; exec "$@"
"""
"""Runs a command in control groups."""

_SERIES = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def why_not():
    """What keeps containers from working here; nothing if they do."""
    if os.geteuid() != 0:
        return "root is needed to boot a container"
    if NSPAWN is None:
        return "systemd-nspawn is not installed (Debian: systemd-container)"
    if not Path("/lib/systemd/systemd").exists():
        return "there is no systemd to boot"
    return ""


class CannotBoot(Exception):  # noqa: N818 - a reason to skip
    """This machine does not let us mount what a container needs."""


class Container:
    """Files of a machine that is booted once; a context manager that leaves nothing behind.

    Args:
        folder: For its mount points; made here.
    """

    def __init__(self, folder) -> None:
        self._top = Path(folder)
        self.root = self._top / "root"
        self.log = ""
        self.left_behind = []
        """What could not be taken away in the end."""
        self._binds = []
        self._mounted = []
        # Of its own: two machines in one would be at each other's services.
        tops = [CGROUPS, CGROUPS / "systemd", CGROUPS / "unified"]
        name = f"edge-asd-boot-{os.getpid()}"
        self._groups = [top / name for top in tops if (top / "cgroup.procs").exists()]

    def __enter__(self):
        self._top.mkdir(parents=True)
        try:
            self._mount()
            self._install()
        except BaseException as error:
            self.close()
            if isinstance(error, subprocess.CalledProcessError):
                said = error.stderr.decode(errors="replace").strip()
                raise CannotBoot(f"{error.cmd[0]} does not work here: {said}") from error
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def bind(self, outside, inside, *, writable=False):
        """Show a folder of this machine in the container."""
        self._binds.append(f"--bind{'' if writable else '-ro'}={outside}:{inside}")

    def write(self, path, text, mode=0o644):
        """Write a file of the container."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def path(self, path):
        """A path of the container as it is seen from outside."""
        return self.root / path.lstrip("/")

    def boot(self, target, timeout_s):
        """Boot into a target and wait until it powers off; seconds that took."""
        command = ["sh", "-c", JOIN, "join", *self._groups, "--"]
        command += [NSPAWN, "--quiet", "-D", self.root, "--boot", "--register=no", "--keep-unit"]
        command += ["--private-network", "--console=pipe", *self._binds, f"systemd.unit={target}"]
        began = time.monotonic()
        # A session of its own, so that nothing of it outlives the test.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                self.log, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                # Asked to end, nspawn takes the container down with it.
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
                process.kill()
                self.log = "did not power off in time"
        return time.monotonic() - began

    def close(self):
        """Unmount, and remove what nspawn left among the control groups."""
        for path in reversed(self._mounted):
            subprocess.run(["umount", "--lazy", path], check=False)
        self._mounted.clear()
        deadline = time.monotonic() + 10.0  # the last processes may still be on their way out
        while time.monotonic() < deadline and [g for g in self._groups if _remove_group(g)]:
            time.sleep(0.05)
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        self.left_behind = [str(group) for group in self._groups if group.exists()]
        self.left_behind += [line for line in mounts if str(self._top) in line]

    def _mount(self):
        # In memory: an overlay cannot lie on another one, which is what / may be.
        scratch = self._top / "scratch"
        scratch.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", "size=1g,mode=755", "edge-asd-test", scratch)
        self._mounted.append(scratch)
        for name in ("upper", "work"):
            (scratch / name).mkdir()
        self.root.mkdir()
        layers = f"lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work"
        self._run("mount", "-t", "overlay", "overlay", "-o", layers, self.root)
        self._mounted.append(self.root)

    def _install(self):
        """A virtual environment with this edge-asd, at a place that hardening does not hide."""
        base = Path(sys.base_prefix)
        interpreter = Path(sys._base_executable).resolve()
        if str(base) != "/usr":
            self.bind(base, "/opt/python")
            interpreter = Path("/opt/python") / interpreter.relative_to(base.resolve())
            self._install_library()
        packages = f"{HOME}/lib/{_SERIES}/site-packages"
        self.write(f"{HOME}/pyvenv.cfg", f"home = {interpreter.parent}\n")
        self.path(PYTHON).parent.mkdir(parents=True)
        self.path(PYTHON).symlink_to(interpreter)
        # Named in a .pth, so that the .pth files in it, one of which finds this checkout, are not
        # read.
        self.bind(sysconfig.get_paths()["purelib"], "/opt/packages")
        self.write(f"{packages}/packages.pth", "/opt/packages\n")
        # With what was compiled already: the service may not write it.
        shutil.copytree(Path(edge_asd.__file__).parent, self.path(f"{packages}/edge_asd"))
        script = f"#!{PYTHON}\nfrom edge_asd.__main__ import main\n\nmain()\n"
        self.write(f"{HOME}/bin/edge-asd", script, 0o755)

    def _install_library(self):
        """Python's own library, for an interpreter that is no longer beside it."""
        name = sysconfig.get_config_var("INSTSONAME")
        library = Path(sysconfig.get_config_var("LIBDIR")) / name
        if not library.exists():  # it is part of the interpreter
            return
        for other in self.path("/usr/lib").glob(f"*/{name}*"):
            other.unlink()
        shutil.copy(library, self.path(f"/usr/local/lib/{name}"))
        self._run("ldconfig", "-r", self.root)

    @staticmethod
    def _run(*command):
        subprocess.run([*map(str, command)], check=True, capture_output=True)


def _remove_group(group):
    """Remove a group with all that are in it; whether it is still there."""
    for path in sorted(group.glob("**"), reverse=True):
        with suppress(OSError):
            path.rmdir()
    return group.exists()
