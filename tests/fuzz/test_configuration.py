"""Whatever stands in the operator's file: it is used, or refused in one line with exit code 78."""

from __future__ import annotations

import contextlib
import copy
import io
import json

import pytest
import yaml
from hypothesis import strategies as st
from support.fuzzing import SHARES, fuzz

from edge_asd.cli import _run
from edge_asd.config import Config, load_config, load_raw
from edge_asd.doctor import listening
from edge_asd.doctor.findings import Status
from edge_asd.doctor.reading import read
from edge_asd.errors import BundleError, ConfigError

KEYS = st.sampled_from(
    [
        *Config.model_fields,
        *("name", "source", "channel", "alert", "above_s", "within_s", "url", "password_file"),
        *("ca_file", "cert_file", "key_file", "listen", "token_file", "path", "quota_mb", "x", ""),
        *("commands", "home_assistant", "prefix", "form", "protocol", "enrol_s", "username"),
    ]
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "alsa:",
                "alsa:usb:",
                "file:",
                "file:/x?speed=",
                "exec:",
                "exec:'",
                "sim:pump?fault=x",
            ),
            *("sim:pump?seed=-1", "sim:fan?seconds=1e309", "exec:a?rate=1&channels=0", "file:\0"),
            *(
                "mqtt://b",
                "mqtts://[::1",
                "mqtt://h:99999",
                "mqtt://u:p@h",
                "127.0.0.1:x",
                "[::]:1",
            ),
            *(
                "credential:",
                "credential:../x",
                "/dev/null",
                "/proc/self/mem",
                "\ud800",
                "5",
                "3.1.1",
            ),
        ]
    ),
)
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    *(st.dates(), st.binary(max_size=8), st.sampled_from([10**400, -(10**400), float("nan")])),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(KEYS | SCALARS, inner, max_size=4)
    ),
    max_leaves=12,
)
VALID = {
    "device": "hall",
    "monitors": [
        {"name": "pump", "source": "sim:pump", "channel": 0, "alert": {"above_s": 14.0}},
        {"name": "fan", "source": "exec:rec -r 16000?rate=16000", "enrol_s": 600},
    ],
    "mqtt": {"url": "mqtts://broker", "username": "u", "protocol": "5", "commands": ["ack"]},
    "http": {"listen": "127.0.0.1:9108"},
    "jsonl": {"path": "-"},
    "evidence": {"before_s": 10, "quota_mb": 512},
    "outbox": {"max_mb": 64},
    "history": {"score_days": 30},
    "microphone": {"notify_after_s": 10},
}


def paths_of(value, path=()):
    """Every place in a configuration."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(inner, (*path, key))


PLACES = [path for path in paths_of(VALID) if path]


def mutated(changes):
    """The valid one with values replaced, keys renamed and parts removed."""
    found = copy.deepcopy(VALID)
    for path, kind, value in changes:
        parent = found
        try:
            for key in path[:-1]:
                parent = parent[key]
            old = parent.pop(path[-1])
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took the place away
        if isinstance(parent, list):
            parent.insert(path[-1], value if kind == "replace" else old)
        elif kind == "replace":
            parent[path[-1]] = value
        elif kind == "rename":
            parent[f"{path[-1]}s"] = old
    return found


CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["replace", "rename", "remove"]), VALUES),
    min_size=1,
    max_size=4,
)


def as_yaml(value):
    """Its text; what YAML cannot hold is left to JSON, or to Python's own spelling."""
    for dump in (lambda: yaml.dump(value, allow_unicode=True), lambda: json.dumps(value)):
        with contextlib.suppress(Exception):
            return dump().encode()
    return repr(value).encode(errors="replace")


def outcome(path):
    """The configuration, or the one line that refuses it."""
    try:
        return load_config(path)
    except ConfigError as error:
        refusal = error
    assert refusal.exit_code == 78
    assert str(refusal).startswith(str(path))
    assert len(str(refusal)) > len(str(path)) + 2
    assert "\n" not in str(refusal)
    return str(refusal)


@SHARES
def test_random_files(share, tmp_path):
    path = tmp_path / "config.yaml"

    @fuzz(share, 2500, st.one_of(st.binary(max_size=200), VALUES.map(as_yaml), TEXTS.map(as_yaml)))
    def check(content):
        path.write_bytes(content)
        assert isinstance(outcome(path), Config | str)


@SHARES
def test_mutations_of_a_valid_file(share, tmp_path):
    path = tmp_path / "config.yaml"

    @fuzz(share, 2500, CHANGES)
    def check(changes):
        path.write_bytes(as_yaml(mutated(changes)))
        found = outcome(path)
        reading = read(lambda: (load_raw(path), str(path)))
        failed = any(finding.status is Status.FAILED for finding in reading.findings)
        assert failed == isinstance(found, str)


@SHARES
def test_the_command_line_ends_in_one_line(share, tmp_path, monkeypatch):
    """``edge-asd check`` as a whole; without the bundle, which takes a third of a second."""

    def no_bundle(*_):
        raise BundleError("none here; put one there")

    monkeypatch.setattr(listening, "choose_bundle", no_bundle)
    path = tmp_path / "config.yaml"

    @fuzz(share, 600, CHANGES)
    def check(changes):
        path.write_bytes(as_yaml(mutated(changes)))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _run(["check", "--config", str(path), "--state-dir", str(tmp_path), "--json"])
        assert code in (65, 78), err.getvalue()
        assert len(err.getvalue().splitlines()) == 1
        assert err.getvalue().startswith("edge-asd: ")
        answer = json.loads(out.getvalue())
        assert answer["ok"] is False
        statuses = {finding["status"] for finding in answer["findings"]}
        assert statuses <= {status.value for status in Status}


@pytest.mark.parametrize("content", ["&a [*a]", "&a {b: *a}", "monitors: &a [*a]", "{? [1] : 2}"])
def test_a_file_that_refers_to_itself(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    assert isinstance(outcome(path), str)
