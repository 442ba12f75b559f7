"""What the CUDA layer calls exists in the genuine `cuda-bindings`; its stand-in is like them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.genuine import CUDA, cuda_bindings, surface
from support.tensorrt_fake import environment

LAYER = Path(__file__).resolve().parents[2] / "edge_asd" / "engine" / "cuda.py"
TESTS = Path(__file__).resolve().parents[1]
FUNCTION = re.compile(r"cu[A-Z]\w+")
MODULE = "cuda.bindings.driver"


def calls(source):
    """{function: numbers of arguments} of all calls by name: ``cuda("cuMemFree", address)``."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(args=[ast.Constant(value=str(name)), *arguments]) if FUNCTION.fullmatch(
                name
            ):
                assert not any(isinstance(one, ast.Starred) for one in arguments), node.lineno
                found.setdefault(name, set()).add(len(arguments))
    return found


def constants(source):
    """Names such as CUresult and CUDA_SUCCESS."""
    nodes = ast.walk(ast.parse(source))
    return {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr[:2] == "CU"
    }


def missing(source, genuine):
    """What a source uses and the bindings do not have."""
    found = []
    for name, counts in calls(source).items():
        if not genuine[""].get(name):
            found.append(name)
        elif any((count, count) not in map(tuple, genuine[""][name]) for count in counts):
            found.append(f"{name} with {sorted(counts)} arguments: {genuine[''][name]}")
    known = {name for members in genuine.values() for name in members}
    return found + sorted(constants(source) - known)


@pytest.fixture(scope="module", params=CUDA)
def genuine(request, pytestconfig):
    """What the bindings of a version offer."""
    return surface(cuda_bindings(pytestconfig.cache.mkdir("genuine"), request.param), MODULE)


def test_every_call_and_constant_is_in_the_genuine_bindings(genuine):
    source = LAYER.read_text()
    assert len(calls(source)) > 25
    assert missing(source, genuine) == []


def test_what_the_gpu_tests_call_is_in_the_genuine_bindings_too(genuine):
    sources = [path.read_text() for path in [*TESTS.glob("gpu/*.py"), TESTS / "support/gpu.py"]]
    assert any(map(calls, sources))
    assert [missing(source, genuine) for source in sources] == [[] for _ in sources]


def test_the_stand_in_is_like_the_genuine_bindings(genuine):
    for name, members in surface(environment(), MODULE).items():
        for member, what in members.items():
            if member.startswith("_") or name.startswith("_"):
                continue
            assert member in genuine[name], f"{name}.{member}"
            if what is not None:
                assert what == genuine[name][member], f"{name}.{member}"


def test_an_unknown_call_is_caught(genuine):
    source = LAYER.read_text()
    typo = source.replace('"cuMemFree"', '"cuMemFrei"')
    assert missing(typo, genuine) == ["cuMemFrei"]
    more = source.replace('("cuMemFree", self._place)', '("cuMemFree", self._place, 0)')
    assert [one.split()[0] for one in missing(more, genuine)] == ["cuMemFree"]
    constant = source.replace("CUDA_ERROR_NOT_READY", "CUDA_ERROR_NOT_RIPE")
    assert missing(constant, genuine) == ["CUDA_ERROR_NOT_RIPE"]
