"""Queries held against what a daemon exports, and parsed by Prometheus itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from edge_asd.metrics.metrics import Metrics
from edge_asd.metrics.reload import ReloadMetrics
from edge_asd.publish.payload import ModelRef

PROMTOOL = shutil.which("promtool")
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""
_VALUES = {"$__rate_interval": "1m", "$__range": "1h", "$job": "edge-asd", "$monitor": "pump"}
_NAME = re.compile(r"\b(?:edge_asd|process|python)_\w+\b")
_SELECTOR = re.compile(r"\b((?:edge_asd|process|python)_\w+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def filled(query):
    """A query as Grafana sends it."""
    for name, value in _VALUES.items():
        query = query.replace(name, value)
    return query


def exported():
    """Labels of every series that a daemon with one monitor has, by name."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, version="0")
    metrics.init_monitor("pump", queue_capacity=20)
    metrics.init_backend("onnxruntime")
    ReloadMetrics(registry, 0.0)
    metrics.set_model(ModelRef(name="n", version="1", sha256="ab" * 32, backend="onnxruntime"))
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def assert_answered(query, series):
    """Every name and every fixed label value in a query is one that a daemon exports."""
    for name in _NAME.findall(query):
        assert name in series, f"{name} is not exported: {query}"
    for name, matchers in _SELECTOR.findall(query):
        for label, operator, value in _MATCHER.findall(matchers):
            if label in SCRAPED:
                continue
            values = {labels.get(label) for labels in series[name]}
            assert values != {None}, f"{name} has no label {label}: {query}"
            if "$" in value:
                continue
            wanted = value.split("|") if "~" in operator else [value]
            for each in wanted:
                assert each in values, f"{name} never has {label}={each}: {query}"


def assert_parsed(queries, folder: Path):
    """Prometheus understands the queries."""
    rules = [{"record": f"q:{index}", "expr": filled(query)} for index, query in enumerate(queries)]
    path = folder / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", path)


def promtool(*arguments, cwd=None):
    """Run promtool, which must succeed; its output."""
    if PROMTOOL is None:
        pytest.skip("promtool (package prometheus) is not installed")
    done = subprocess.run(
        [PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
