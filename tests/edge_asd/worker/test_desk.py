"""Whatever others ask of the worker, it goes on working."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry

from edge_asd.errors import EdgeAsdError, StorageError, UsageError
from edge_asd.metrics.metrics import Metrics
from edge_asd.operators.audit import Audit
from edge_asd.worker.desk import Desk


@pytest.fixture
def desk():
    return Desk(Audit(Metrics(CollectorRegistry(), version="0")))


def nobody(_done, _text):
    """Nobody watches."""


def raising(error, *, answered=False):
    def verb(_request, _progress, result):
        if answered:
            result.set_result({})
        raise error

    return verb


def test_nothing_is_done_before_the_worker_comes_to_it(desk):
    desk.learn("where", lambda _r, _p, result: result.set_result({"in": threading.get_ident()}))
    found = []
    asker = threading.Thread(target=lambda: found.append(desk.submit({"command": "where"}, nobody)))
    asker.start()
    asker.join()
    assert not found[0].done()
    desk.carry_out()
    assert found[0].result() == {"in": threading.get_ident()}


@pytest.mark.parametrize("request_", [{}, {"command": "fly"}, {"command": ["fly"]}])
def test_what_it_was_not_taught_is_refused_with_what_it_knows(desk, request_):
    desk.learn("status", raising(UsageError("never called")))
    result = desk.submit(request_, nobody)
    desk.carry_out()
    with pytest.raises(UsageError, match="this daemon knows: status"):
        result.result()


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("error", [StorageError("full"), OverflowError("a bug")])
def test_a_command_that_fails_harms_nobody_else(desk, error, answered):
    desk.learn("bad", raising(error, answered=answered))
    desk.learn("good", lambda _r, _p, result: result.set_result({}))
    bad, good = desk.submit({"command": "bad"}, nobody), desk.submit({"command": "good"}, nobody)
    desk.carry_out()
    assert good.result() == {}
    if not answered:
        with pytest.raises(EdgeAsdError):
            bad.result()


def test_a_task_that_fails_tells_who_asked(desk):
    def refuse():
        raise UsageError("no")

    refused, done = desk.have_done(refuse), desk.have_done(lambda: 7)
    desk.carry_out()
    assert done.result() == 7
    with pytest.raises(UsageError, match="no"):
        refused.result()
