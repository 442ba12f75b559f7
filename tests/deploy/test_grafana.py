"""Dashboards: current, of Grafana's form, tiled without overlaps, asking for what exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.promql import assert_answered, assert_parsed, exported

from edge_asd.records import State

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "grafana"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}

# As grafana-schema's Dashboard, Panel, FieldConfig and VariableModel have them.
DASHBOARD_KEYS = {
    "uid", "title", "description", "tags", "schemaVersion", "version", "editable", "graphTooltip",
    "timezone", "time", "refresh", "annotations", "links", "templating", "panels",
}  # fmt: skip
PANEL_KEYS = {
    "id", "type", "title", "description", "datasource", "gridPos", "targets", "fieldConfig",
    "options", "transformations",
}  # fmt: skip
FIELD_KEYS = {
    "unit", "color", "thresholds", "mappings", "custom", "min", "max", "decimals", "noValue",
}  # fmt: skip
VARIABLE_KEYS = {
    "name", "label", "type", "datasource", "query", "refresh", "sort", "multi", "includeAll",
    "current",
}  # fmt: skip
UNITS = {"none", "short", "s", "bytes", "dB", "percentunit", "ops"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

each = pytest.mark.parametrize("name", DASHBOARDS)


def panels_of(name):
    return DASHBOARDS[name]["panels"]


def queries_of(name):
    return [target["expr"] for panel in panels_of(name) for target in panel["targets"]]


def test_both_dashboards_are_there_and_current():
    assert set(DASHBOARDS) == {"fleet", "device"}
    tool = ROOT / "tools" / "dashboards.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@each
def test_a_dashboard_is_of_the_form_that_grafana_imports(name):
    dashboard = DASHBOARDS[name]
    assert set(dashboard) <= DASHBOARD_KEYS
    assert 36 <= dashboard["schemaVersion"] <= 42
    assert re.fullmatch(r"[a-z0-9-]{8,40}", dashboard["uid"])
    assert "id" not in dashboard  # Grafana's own number; another's would overwrite something
    assert set(dashboard["time"]) == {"from", "to"}
    for panel in dashboard["panels"]:
        assert set(panel) <= PANEL_KEYS
        assert panel["type"] in ("stat", "timeseries", "state-timeline", "table")
        assert panel["title"]
        assert panel["description"]
        assert set(panel["fieldConfig"]) == {"defaults", "overrides"}
        assert set(panel["fieldConfig"]["defaults"]) <= FIELD_KEYS
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None  # minus infinity
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(values)
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))


@each
def test_panels_tile_the_grid_without_overlaps(name):
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels_of(name))
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))
    assert {y for _, y in cells} == set(range(max(y for _, y in cells) + 1))


@each
def test_the_datasource_is_the_users_choice_everywhere(name):
    first, *others = DASHBOARDS[name]["templating"]["list"]
    assert (first["type"], first["name"], first["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    for variable in others:
        assert set(variable) <= VARIABLE_KEYS
        assert variable["datasource"] == SOURCE
    for panel in panels_of(name):
        assert panel["datasource"] == SOURCE
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
    text = json.dumps(DASHBOARDS[name])
    known = {"datasource", *(variable["name"] for variable in others)}
    for used in re.findall(r"\$\{?(\w+)", text):
        assert used in known or used.startswith("__"), used


@each
def test_prometheus_understands_every_query(name, tmp_path):
    assert_parsed(queries_of(name), tmp_path)


@each
def test_every_query_asks_for_what_a_daemon_exports(name):
    series = exported()
    for query in queries_of(name):
        assert_answered(query, series)
    for variable in DASHBOARDS[name]["templating"]["list"][1:]:
        assert_answered(variable["query"]["query"], series)


@each
def test_states_have_the_numbers_and_names_that_the_queries_give_them(name):
    for panel in panels_of(name):
        query = panel["targets"][0]["expr"]
        if "edge_asd_monitor_state" not in query or panel["type"] != "state-timeline":
            continue
        options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
        shown = {texts["text"]: int(value) for value, texts in options.items()}
        asked = {
            state: int(value) for value, state in re.findall(r'(\d) \* .*state="(\w+)"', query)
        }
        assert shown == {state.value: asked.get(state.value, 0) for state in State}
        assert sorted(shown.values()) == list(range(len(State)))
        return
    raise AssertionError("no panel shows the states")


def test_provisioning_files_are_as_grafana_reads_them():
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yaml").read_text())
    assert sources["apiVersion"] == 1
    assert [source["type"] for source in sources["datasources"]] == ["prometheus"]
    boards = yaml.safe_load((FOLDER / "provisioning/dashboards/edge-asd.yaml").read_text())
    assert boards["apiVersion"] == 1
    assert [one["type"] for one in boards["providers"]] == ["file"]
    assert boards["providers"][0]["options"]["path"]
