"""Kill a process at every step at which it touches the disk, and look at what it leaves.

One process is started, which forks for every step: the child copies a prepared folder, acts on it
and is killed with SIGKILL just before its k-th step. Steps are either the calls that Python makes
of the operating system and of SQLite, or, where a C compiler is there, the system calls themselves,
those of SQLite included.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

STEPS = frozenset(
    ("mkdir", "open", "write", "fsync", "close", "rename", "replace", "unlink", "remove", "rmdir")
) | {"execute"}

# Takes the place of what changes a disk in the C library; SQLite comes through here too.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/types.h>
#include <unistd.h>
static long left = -1, steps = 0;
void crash_at(long k) { left = k; steps = 0; }
long crash_steps(void) { return steps; }
static void step(void) {
  if (left < 0) return;
  steps++;
  if (--left == 0) kill(getpid(), SIGKILL);
}
#define WRAP(type, name, declared, given) \
  type name declared { \
    static type (*real) declared; \
    if (!real) real = (type (*) declared)dlsym(RTLD_NEXT, #name); \
    step(); \
    return real given; \
  }
WRAP(ssize_t, write, (int f, const void *b, size_t n), (f, b, n))
WRAP(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
WRAP(ssize_t, pwrite64, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
WRAP(int, fsync, (int f), (f))
WRAP(int, fdatasync, (int f), (f))
WRAP(int, ftruncate, (int f, off_t n), (f, n))
WRAP(int, ftruncate64, (int f, off_t n), (f, n))
WRAP(int, rename, (const char *a, const char *b), (a, b))
WRAP(int, unlink, (const char *a), (a))
WRAP(int, rmdir, (const char *a), (a))
WRAP(int, mkdir, (const char *a, mode_t m), (a, m))
WRAP(int, close, (int f), (f))
"""


def build_shim(folder):
    """The shim as a library; None where it cannot be built."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM)
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"]
    built = subprocess.run(command, check=False, capture_output=True)
    return library if built.returncode == 0 else None


def run_crashes(script, scenario, folder, *, shim=None):
    """Run a script that calls ``crash_everywhere``; returns its lines: one per step."""
    tests = Path(__file__).parents[1]
    environ = {**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}"}
    if shim is not None:
        environ["LD_PRELOAD"] = str(shim)
    result = subprocess.run(
        [sys.executable, script, scenario, folder],
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise AssertionError(result.stdout[-2000:] + result.stderr[-4000:])
    return result.stdout.splitlines()


def crash_everywhere(prepared, act, check, *, first=1, stride=1):
    """Act on copies of ``prepared``, killed at each step, and check what is left of each.

    Args:
        prepared: A folder, which stays as it is.
        act: Given a copy; returns what is to be run under fire.
        check: Given the copy after the kill; its result is one line of output.
        first: Step to begin with.
        stride: Steps to go on by.
    """
    step = first
    while True:
        copy = prepared.with_name(f"{prepared.name}-{step}")
        shutil.copytree(prepared, copy, symlinks=True)
        child = os.fork()
        if child == 0:
            _die_at(step, act, copy)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and status != 0:
            raise AssertionError(f"step {step}: the child failed with status {status}")
        sys.stdout.write(f"{step} {'killed' if killed else 'done'} {check(copy)}\n")
        shutil.rmtree(copy)
        if not killed:
            return
        step += stride


def _die_at(step, act, copy):
    code = 1
    try:
        work = act(copy)
        arm, disarm = _by_shim(step) if "LD_PRELOAD" in os.environ else _by_profile(step)
        arm()
        work()
        disarm()
        code = 0
    except BaseException as error:
        sys.stderr.write(f"step {step}: {error!r}\n")
        raise
    finally:
        os._exit(code)


def _by_shim(step):
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    return (lambda: shim.crash_at(ctypes.c_long(step))), (lambda: shim.crash_at(ctypes.c_long(-1)))


def _by_profile(step):
    left = step

    def hook(_frame, event, function):
        nonlocal left
        if event == "c_call" and getattr(function, "__name__", "") in STEPS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return (lambda: sys.setprofile(hook)), (lambda: sys.setprofile(None))
