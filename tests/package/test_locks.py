"""Locks name what the device needs, as constraints.txt pins it; versions sort as Debian sorts."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"([a-z0-9.-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import build_deb
    import targets

    return build_deb, targets


def locked(target):
    """Versions by name; every line is one wheel with one hash."""
    lines = [line for line in target.lock.read_text().splitlines() if line[:1] != "#"]
    found = [LOCKED.fullmatch(line) for line in lines]
    assert all(found)
    return {match[1]: match[2] for match in found}


def device_needs():
    """Names of the dependencies in pyproject.toml, without the extras."""
    text = (ROOT / "pyproject.toml").read_text().split("\ndependencies = [", 1)[1].split("]", 1)[0]
    return {canonicalize_name(Requirement(line).name) for line in re.findall(r'"(.+)"', text)}


def pins(python):
    """Versions of constraints.txt by name, for a Python."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and line[0] != "#"]
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in requirements
        if r.marker is None or r.marker.evaluate({"python_version": python})
    }


def test_every_target_has_what_the_device_needs_in_the_pinned_versions(tools):
    _, targets = tools
    for target in targets.TARGETS:
        found = locked(target)
        beyond = dict(one.split("==") for one in target.beyond)
        assert device_needs() | {"pip"} | set(beyond) <= set(found), target.text
        assert "torch" not in found
        pinned = pins(target.python) | beyond
        assert found == {name: pinned[name] for name in found}, f"make lock: {target.text}"


def test_the_packages_for_jetpack_bring_what_reaches_its_gpu(tools):
    _, targets = tools
    versions = {
        target.text: locked(target).get("cuda-bindings", "").split(".")[0]
        for target in targets.TARGETS
    }
    assert {text: one for text, one in versions.items() if one} == {
        "ubuntu22.04/arm64": "12",
        "ubuntu24.04/arm64": "13",
    }


def test_the_environment_is_filled_by_pip_and_does_not_hold_it(tools, tmp_path):
    build_deb, targets = tools
    wheel = tmp_path / "edge_asd-1.2-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    text = build_deb.requirements(targets.TARGETS[0], wheel)
    assert "\npip==" not in text
    assert "\nedge-asd==1.2 --hash=sha256:" in text


def test_a_target_that_is_not_built_for_is_refused_with_those_that_are(tools):
    _, targets = tools
    for target in targets.TARGETS:
        assert targets.Target.parse(target.text) == target
    for text in ("debian11/amd64", "debian12/riscv64", "debian12", ""):
        with pytest.raises(ValueError, match=r"choose one of .*ubuntu22.04/arm64"):
            targets.Target.parse(text)


def test_an_upgrade_is_newer_than_what_it_replaces(tools):
    if shutil.which("dpkg") is None:
        pytest.skip("dpkg is not installed")
    build_deb, targets = tools
    target = targets.Target.parse("debian12/amd64")
    order = ["0.9", "1.0.dev3", "1.0a1.dev1", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0.1", "1.10"]
    versions = [build_deb.debian_version(version, target) for version in order]
    for older, newer in itertools.pairwise(versions):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True)
