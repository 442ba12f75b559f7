"""Every command is told of once: who asked for what, and what became of it."""

from __future__ import annotations

import logging
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from edge_asd.errors import BusyError, StorageError, UsageError
from edge_asd.metrics.metrics import Metrics
from edge_asd.operators.audit import MAX_NAME, Audit, name_of

REQUEST = {"command": "inhibit", "monitor": "pump", "by": "anna", "minutes": 30, "via": "mqtt"}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def audit(registry):
    return Audit(Metrics(registry, version="0"))


@given(st.text() | st.none() | st.integers() | st.text().map(lambda text: text + "\n<3>forged"))
def test_a_name_fits_one_line_of_a_log(value):
    name = name_of(value)
    assert 0 < len(name) <= MAX_NAME
    assert name.isprintable()
    assert name == name.strip()


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "accepted"),
        (UsageError("no"), "refused"),
        (BusyError("later"), "refused"),
        (StorageError("full"), "failed"),
        (ValueError("a bug"), "failed"),
    ],
)
def test_what_became_of_a_command_is_logged_and_counted_once(
    audit, registry, caplog, error, result
):
    caplog.set_level(logging.INFO, "edge_asd.operators.audit")
    future = Future()
    audit.follow(REQUEST, future)
    if error is None:
        future.set_result({})
    else:
        future.set_exception(error)
    (record,) = caplog.records
    said = record.getMessage()
    assert record.levelno == (logging.WARNING if error else logging.INFO)
    assert f"command=inhibit monitor=pump by='anna' via=mqtt result={result} minutes=30" in said
    labels = {"verb": "inhibit", "result": result}
    assert registry.get_sample_value("edge_asd_commands_total", labels) == 1


def test_questions_are_not_written_down_and_unknown_verbs_make_no_series(audit, registry, caplog):
    caplog.set_level(logging.INFO, "edge_asd.operators.audit")
    question = Future()
    audit.follow({"command": "status"}, question)
    question.set_result({})
    assert not caplog.records
    audit.refused({"command": "rm -rf /\n"}, "unknown")
    labels = {"verb": "unknown", "result": "refused"}
    assert registry.get_sample_value("edge_asd_commands_total", labels) == 1
