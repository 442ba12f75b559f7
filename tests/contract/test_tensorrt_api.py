"""What the TensorRT engine touches exists in the genuine bindings of three versions.

Three links make that hold. The type checker lets the engine touch nothing that `tensorrt_api` does
not declare; the walk below says so too, by names, where no type checker runs; and every
declaration is looked up in the bindings themselves.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.genuine import TENSORRT, surface, tensorrt_bindings
from support.tensorrt_fake import environment

ENGINE = Path(__file__).resolve().parents[2] / "edge_asd" / "engine"
DECLARED = ENGINE / "tensorrt_api.py"
ADAPTER = sorted({*ENGINE.glob("tensorrt*.py")} - {DECLARED})

# Declarations that stand for something under another name.
GENUINE = {"Api": "", "Severity": "ILogger.Severity", "LoggerClass": "ILogger"}
NO_CLASS = {"Flag"}  # any member of any enumeration

# Gone by 11.4, or not yet there in 10.3.
FORBIDDEN = {
    *("FP16", "BF16", "INT8", "FP8", "OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"),
    *("platform_has_fast_fp16", "platform_has_fast_int8", "int8_calibrator", "algorithm_selector"),
    *("EXPLICIT_BATCH", "supports_model", "device_memory_size", "IStreamReader"),
    *("create_execution_context_without_device_memory", "IStreamReaderV2", "IRuntimeConfig"),
    *("SAME_COMPUTE_CAPABILITY", "EDITABLE_TIMING_CACHE", "create_runtime_config"),
}

# Attributes of other objects that the engine uses; none may be a name of TensorRT's.
PLAIN = {
    *("append", "bit_length", "buffer", "callback", "clear", "get", "items", "join", "pop"),
    *("popleft", "shape", "split", "values", "debug", "info", "array", "all"),
}
BACK_DOORS = {"getattr", "setattr", "hasattr", "vars", "Any", "eval", "exec", "__dict__"}


def declared(source):
    """{class: {member: number of arguments, None for what is no function}}."""
    found = {}
    for one in ast.parse(source).body:
        if isinstance(one, ast.ClassDef) and one.name not in NO_CLASS:
            found[one.name] = {
                **{
                    part.target.id: None
                    for part in one.body
                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
                },
                **{
                    part.name: len(part.args.posonlyargs) + len(part.args.args) - 1
                    for part in one.body
                    if isinstance(part, ast.FunctionDef) and not part.name.endswith("__")
                },
            }
    return found


def missing(declarations, genuine):
    """Declarations that the bindings do not have, or not with so many arguments."""
    found = []
    for name, members in declarations.items():
        theirs = genuine.get(GENUINE.get(name, name), {})
        for member, arguments in members.items():
            if member not in theirs:
                found.append(f"{name}.{member}")
            elif arguments is not None:
                signatures = genuine[member]["__init__"] if name == "Api" else theirs[member]
                if not any(low <= arguments <= high for low, high in signatures):
                    found.append(f"{name}.{member} with {arguments} arguments: {signatures}")
    return found


def own_names(sources):
    """Names that the engine's own classes and functions give themselves."""
    names = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        match node:
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
    return {name for name in names if not name.startswith("__")}


def undeclared(source, known):
    """What a module of the adapter touches without anybody having checked it, by line."""
    tree, found = ast.parse(source), []
    nodes = list(ast.walk(tree))
    libraries = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=base)) if base in libraries:
                pass
            case ast.Attribute(attr=name) if name not in known:
                found.append(f"{node.lineno}: .{name}")
            case ast.Name(id=name) if name in BACK_DOORS:
                found.append(f"{node.lineno}: {name}")
    return found + [f"imports {one}" for one in sorted(libraries) if one in {"tensorrt", "cuda"}]


def by_keyword(source, members):
    """Calls of declared functions with named arguments: names differ between versions."""
    return [
        f"{node.lineno}: {node.func.attr}({node.keywords[0].arg}=…)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in members
        and node.keywords
    ]


DECLARATIONS = declared(DECLARED.read_text())
FUNCTIONS = {
    name
    for members in DECLARATIONS.values()
    for name, count in members.items()
    if count is not None
}
NAMES = {name for members in DECLARATIONS.values() for name in members}
OWN = own_names([one.read_text() for one in [*ADAPTER, ENGINE / "cuda.py"]])


@pytest.fixture(scope="module", params=list(TENSORRT))
def bindings(request, pytestconfig):
    """Environment with the bindings of a version."""
    return tensorrt_bindings(pytestconfig.cache.mkdir("genuine"), request.param)


@pytest.fixture(scope="module")
def genuine(bindings):
    """What they offer."""
    return surface(bindings, "tensorrt_bindings")


def test_every_declaration_is_in_the_genuine_bindings(genuine):
    assert missing(DECLARATIONS, genuine) == []


def test_no_name_of_ours_hides_one_of_tensorrts(genuine):
    classes = {GENUINE.get(name, name) for name in DECLARATIONS}
    theirs = {member for name in classes for member in genuine[name]}
    assert (OWN | PLAIN) & theirs - NAMES == set()


def test_the_engine_touches_nothing_that_is_not_declared():
    known = NAMES | OWN | PLAIN
    assert {one.name: undeclared(one.read_text(), known) for one in ADAPTER} == {
        one.name: [] for one in ADAPTER
    }


def test_nothing_is_allowed_that_nobody_uses():
    nodes = [node for one in ADAPTER for node in ast.walk(ast.parse(one.read_text()))]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    derived = {"log", "phase_start", "step_complete", "phase_finish"}  # TensorRT calls these
    assert (PLAIN | NAMES) - used - derived == set()


def test_arguments_are_given_by_position():
    found = [by_keyword(one.read_text(), FUNCTIONS - OWN) for one in ADAPTER]
    assert found == [[] for _ in ADAPTER]


def test_what_is_gone_or_too_new_is_not_used():
    sources = "\n".join(one.read_text() for one in [*ADAPTER, DECLARED])
    used = {node.attr for node in ast.walk(ast.parse(sources)) if isinstance(node, ast.Attribute)}
    assert (used | NAMES) & FORBIDDEN == set()


def test_tensorrt_is_imported_through_one_door():
    doors = {}
    for path in ENGINE.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case ast.Call(
                    func=ast.Attribute(attr="import_module"), args=[ast.Name(id="MODULE")]
                ):
                    modules = ["tensorrt"]
                case _:
                    continue
            if any(one.split(".")[0] == "tensorrt" for one in modules):
                doors[path.name] = modules
    assert doors == {DECLARED.name: ["tensorrt"]}


def test_the_fake_offers_nothing_that_the_genuine_bindings_lack(genuine):
    eleven = "EXPLICIT_BATCH" not in genuine["NetworkDefinitionCreationFlag"]
    fake = surface(environment("version=11.4.1" if eleven else ""), "tensorrt")
    offered = [
        (name, member, what)
        for name, members in fake.items()
        for member, what in members.items()
        if not name.startswith("_") and not member.startswith("_")
    ]
    assert len(offered) > 60
    for name, member, what in offered:
        assert member in genuine[name], f"{name}.{member}"
        theirs = genuine[name][member]
        if isinstance(what, int):
            assert what == theirs, f"{name}.{member}"
        elif what and name:
            ((_, most),) = what
            assert any(low <= most <= high for low, high in theirs), f"{name}.{member}"


def test_the_subclasses_work_with_the_genuine_bases(bindings):
    program = """
import sys, tensorrt_bindings as trt
sys.modules["tensorrt"] = trt
from edge_asd.engine.tensorrt_api import load
from edge_asd.engine.tensorrt_build import PlanOptions, build_plan
from edge_asd.engine.tensorrt_log import Progress, gathered
from edge_asd.engine.tensorrt_run import Plan
from edge_asd.errors import EngineError

api = load()
said = gathered(api)
assert isinstance(said.listener, trt.ILogger)
said.listener.log(trt.ILogger.Severity.ERROR, "no\\nroom")
said.listener.log(trt.ILogger.Severity.WARNING, "slow")
assert said.take() == "no room", said.take()
told = []
monitor = Progress(api, lambda share, phase: told.append((share, phase)) or len(told) < 2).monitor
assert isinstance(monitor, trt.IProgressMonitor)
monitor.phase_start("outer", None, 2)
assert monitor.step_complete("outer", 0)
assert not monitor.step_complete("outer", 1)
monitor.phase_finish("outer")
assert told == [(0.5, "outer"), (1.0, "outer")]
assert tuple(trt.Dims((-1, 3))) == (-1, 3)
for use in (lambda: build_plan(b"", PlanOptions(), b"", print), lambda: Plan(api, b"")):
    try:
        use()
    except EngineError as error:
        assert "nullptr" in str(error), error
    else:
        raise AssertionError
"""
    child = [sys.executable, "-c", program]
    done = subprocess.run(
        child, env=bindings, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_attribute_is_caught(genuine):
    path = ENGINE / "tensorrt_build.py"
    known, source = NAMES | OWN | PLAIN, path.read_text()
    old = "config.clear_flag("
    assert old in source
    for new in ("config.clear_flags(", "config.set_calibration_profile(", "api.Calibrator("):
        (found,) = undeclared(source.replace(old, new), known)
        assert new.split(".")[1].rstrip("(") in found
    assert undeclared(source + "\ngetattr(1, 'x')\nimport tensorrt\n", known)
    keywords = source.replace("parser.parse(onnx)", "parser.parse(model=onnx)")
    assert by_keyword(keywords, FUNCTIONS - OWN)
    invented = DECLARED.read_text().replace("    TF32: Flag\n", "    TF32: Flag\n    TF16: Flag\n")
    assert missing(declared(invented), genuine) == ["BuilderFlag.TF16"]
    longer = DECLARED.read_text().replace(
        "(self, flags: int, /)", "(self, flags: int, more: int, /)"
    )
    assert any("create_network with 2" in one for one in missing(declared(longer), genuine))
