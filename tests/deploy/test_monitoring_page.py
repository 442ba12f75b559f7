"""The page for whoever scrapes: its table is what a daemon exports, its files are there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry
from support.moved import NAMES

from edge_asd.metrics.metrics import Metrics
from edge_asd.metrics.reload import ReloadMetrics

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
ROWS = re.findall(
    r"^\| `(\w+)` \| (gauge|counter|histogram) \| ([\w, ]*) \| (.+) \|$", PAGE, re.MULTILINE
)


def test_every_metric_is_in_the_table_with_its_type_and_labels():
    registry = CollectorRegistry()
    Metrics(registry, version="0")
    ReloadMetrics(registry, 0.0)
    expected = {}
    for metric in set(registry._collector_to_names):
        name = getattr(metric, "_name", "")
        if name.startswith("edge_asd_"):
            kind = metric._type
            whole = name.removeprefix("edge_asd_") + ("_total" if kind == "counter" else "")
            expected[whole] = (kind, metric._labelnames)
    listed = {
        name: (kind, tuple(label for label in labels.split(", ") if label))
        for name, kind, labels, _ in ROWS
    }
    assert listed == expected
    assert len(ROWS) == len(listed)
    assert set(listed) == set(NAMES)


def test_names_that_come_later_are_said_to_and_are_not_exported():
    _, _, later = PAGE.partition("### Not there yet")
    later = later.partition("## Alert rules")[0]
    promised = set(re.findall(r"`edge_asd_(\w+)`", later))
    assert len(promised) > 3
    assert not promised & set(NAMES)


def test_what_the_page_leads_to_is_there():
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    assert len(links) > 5
    for link in links:
        assert (ROOT / "docs" / link).exists(), link


def test_every_alert_has_its_section_with_the_remedy_that_it_carries():
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())["groups"]
    rules = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    sections = dict(re.findall(r"^#### (\w+)\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(rules)
    for name, rule in rules.items():
        text = " ".join(sections[name].split()).lower()
        remedy = " ".join(rule["annotations"]["runbook"].split()).lower()
        assert remedy.replace("{{ $labels.monitor }}", "<monitor>") in text, name
        assert f"*{rule['labels']['severity']}," in text, name
