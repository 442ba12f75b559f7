"""The genuine bindings of TensorRT and CUDA, fetched when a test asks for them, never kept here.

TensorRT's bindings load where TensorRT is not: three empty libraries satisfy the loader, and then
every class and signature can be read. What is fetched stays in pytest's cache.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TENSORRT = {  # by version: package, and the major version of the libraries it asks for
    "10.3.0": ("tensorrt-cu12-bindings", 10),
    "10.13.3.9": ("tensorrt-cu12-bindings", 10),
    "11.4.*": ("tensorrt-cu13-bindings", 11),
}
CUDA = ("12.9.*", "13.*")
_ROOT = Path(__file__).resolve().parents[2]
_FETCH_S = 900  # CUDA libraries are gigabytes
_LIBRARIES = {
    "libnvinfer": (
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
    ),
    "libnvonnxparser": (
        "createNvOnnxParser_INTERNAL",
        "createNvOnnxParserRefitter_INTERNAL",
        "getNvOnnxParserVersion",
    ),
    "libnvinfer_plugin": ("initLibNvInferPlugins",),
}


def tensorrt_bindings(cache, version):
    """Environment in which the genuine ``tensorrt_bindings`` of a version can be imported."""
    package, major = TENSORRT[version]
    folder = fetched(cache, package, version, "--no-deps")
    libraries = _stubs(cache, major)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(_ROOT)]),
        "LD_LIBRARY_PATH": str(libraries),
    }


def cuda_bindings(cache, version):
    """Environment in which the genuine ``cuda.bindings`` of a version can be imported."""
    folder = fetched(cache, "cuda-bindings", version)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(_ROOT)])}


def fetched(cache, package, version, *options):
    """Folder with a package; skips the test where there is none for this Python or no network."""

    def install(folder):
        wanted = package + (version if version[0] in "<>=" else f"=={version}")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        command += ["--retries", "1", *options, "--target", str(folder), wanted]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_FETCH_S, check=False
        )
        if done.returncode != 0:
            why = done.stderr.strip().splitlines() or ["no reason given"]
            pytest.skip(f"{wanted} cannot be fetched: {why[-1]}")

    tag = re.sub(r"[^a-z0-9.-]+", "-", f"{package}-{version}-{sys.implementation.cache_tag}")
    return _once(Path(cache) / tag, install)


def surface(environment, module):
    """What a module offers, as ``surface_child`` describes it."""
    command = [sys.executable, str(Path(__file__).with_name("surface_child.py")), module]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _stubs(cache, major):
    """Folder with libraries that offer TensorRT's factories, which make nothing."""

    def compile_all(folder):
        if shutil.which("gcc") is None:
            pytest.skip("gcc is not installed: no libraries to load the bindings with")
        for library, functions in _LIBRARIES.items():
            name = f"{library}.so.{major}"
            code = "".join(f"void *{one}(void) {{ return 0; }}\n" for one in functions)
            command = ["gcc", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{name}"]
            command += ["-o", str(folder / name), "-x", "c", "-"]
            subprocess.run(command, input=code, text=True, check=True, timeout=60)

    return _once(Path(cache) / f"stubs-{major}", compile_all)


def _once(folder, fill):
    """Have a folder filled, whole or not at all, by one process for all that want it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(
                dir=folder.parent, ignore_cleanup_errors=True
            ) as unfinished:
                fill(Path(unfinished))
                Path(unfinished).rename(folder)
    return folder
