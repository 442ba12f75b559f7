"""Alert rules: each has its remedy, fires and keeps silent as tested, and asks for what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from support.promql import assert_answered, exported, promtool

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
GROUPS = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
TESTS = yaml.safe_load((FOLDER / "rules_test.yaml").read_text())["tests"]


def anchors():
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }


def test_promtool_accepts_the_rules():
    assert f"{len(RULES)} rules found" in promtool("check", "rules", FOLDER / "rules.yaml")


def test_every_rule_does_what_its_tests_say():
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yaml", cwd=FOLDER)


@pytest.mark.parametrize("alert", RULES)
def test_every_rule_is_tested_to_fire_and_not_to_fire(alert):
    expected = [
        bool(question["exp_samples"])
        for test in TESTS
        for question in test.get("promql_expr_test", [])
        if f'alertname="{alert}",alertstate="firing"' in question["expr"]
    ]
    assert set(expected) == {True, False}


@pytest.mark.parametrize("alert", RULES)
def test_every_rule_says_what_is_wrong_and_what_to_do(alert):
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook", "runbook_url"}
    assert all(str(text).strip() for text in notes.values())
    page, _, anchor = notes["runbook_url"].partition("#")
    assert (ROOT / page).is_file()
    assert anchor in anchors()


@pytest.mark.parametrize("alert", RULES)
def test_every_rule_asks_for_what_a_daemon_exports(alert):
    assert_answered(RULES[alert]["expr"], exported())


def test_promtool_accepts_the_configuration(tmp_path):
    text = (FOLDER / "prometheus.yml").read_text()
    token = tmp_path / "edge-asd-token"
    token.write_text("0123456789abcdef")
    text = text.replace("/etc/prometheus/edge-asd-token", str(token))
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "rules.yaml").write_text((FOLDER / "rules.yaml").read_text())
    promtool("check", "config", tmp_path / "prometheus.yml")
    jobs = [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]
    assert jobs == ["edge-asd"]  # the name that the rules ask for
