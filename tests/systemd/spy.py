"""A source of sound that first tries what a service must not be able to do, and writes down how it
went: a child of the daemon is under all of its hardening."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import runpy
import socket
import sys
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, SCHED_FIFO = 0x10000000, 1


def attempt(action):
    """``ok``, or the name of the error that came of it."""
    try:
        result = action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok" if result is None else result


def call(name, *arguments):
    """A function of the C library that returns -1 where it fails."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def write(path):
    file = Path(path) / f"spy-{os.getpid()}"
    file.write_text("x")
    file.unlink()


def open_socket(family, kind):
    socket.socket(family, kind).close()


def map_executable():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def processes():
    """Numbers of the processes that can be seen, of whatever user."""
    return sorted({path.stat().st_uid for path in Path("/proc").iterdir() if path.name.isdigit()})


def status(*names):
    lines = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().split("\n")
        if ":\t" in line
    )
    return {name: lines[name] for name in names}


def main():
    found = {
        "write": {
            path: attempt(lambda path=path: write(path))
            for path in (
                "/etc",
                "/usr",
                "/opt",
                "/var/lib",
                "/var/log",
                "/run",
                "/home",
                "/root",
                "/etc/edge-asd",
                os.environ["STATE_DIRECTORY"],
                os.environ["CACHE_DIRECTORY"],
                os.environ["RUNTIME_DIRECTORY"],
                "/tmp",
            )
        },
        "homes": attempt(lambda: list(Path("/home").iterdir())),
        "tmp": attempt(lambda: [path.name for path in Path("/tmp").iterdir()]),
        "kernel setting": attempt(lambda: Path("/proc/sys/kernel/hostname").write_text("x")),
        "executable memory": attempt(map_executable),
        "packet socket": attempt(lambda: open_socket(socket.AF_PACKET, socket.SOCK_RAW)),
        "netlink socket": attempt(lambda: open_socket(socket.AF_NETLINK, socket.SOCK_RAW)),
        "inet socket": attempt(lambda: open_socket(socket.AF_INET, socket.SOCK_STREAM)),
        "user namespace": attempt(lambda: call("unshare", CLONE_NEWUSER)),
        "mount": attempt(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
        "clock": attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "real time": attempt(lambda: os.sched_setscheduler(0, SCHED_FIFO, os.sched_param(1))),
        "become root": attempt(lambda: os.setuid(0)),
        "set-user-id": attempt(
            lambda: os.close(
                os.open(os.environ["STATE_DIRECTORY"] + "/suid", os.O_CREAT | os.O_WRONLY, 0o4755)
            )
        ),
        "kernel log": attempt(lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY))),
        "seen users": attempt(processes),
        "self": status("NoNewPrivs", "Seccomp", "CapEff", "CapBnd"),
        "user": [os.getuid(), os.getgid(), os.getgroups()],
        "umask": os.umask(0o027),
    }
    target = Path(os.environ["STATE_DIRECTORY"]) / "spy.json"
    target.with_suffix(".tmp").write_text(json.dumps(found))
    target.with_suffix(".tmp").replace(target)
    program = Path(sys.argv[1]) / "play.py"
    sys.argv = [str(program), *sys.argv[1:]]
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
