"""A source says in the log how it is, and does not go on about it."""

from __future__ import annotations

import logging

import pytest

from edge_asd.capture.statelog import StateLog


class Told:
    """A log and its clock."""

    def __init__(self, caplog):
        caplog.set_level(logging.INFO)
        self.now_s = 0.0
        self.log = StateLog("mic", lambda: self.now_s)
        self._caplog = caplog

    @property
    def lines(self):
        return [record.message.removeprefix("source=mic ") for record in self._caplog.records]


@pytest.fixture
def told(caplog):
    return Told(caplog)


def test_every_change_is_told_at_once(told):
    told.log.up("rate=16000")
    told.log.down("unplugged")
    told.log.down("no microphone")
    told.log.up("rate=16000")
    assert told.lines == [
        "state=up rate=16000",
        "state=down reason='unplugged'",
        "state=down reason='no microphone'",
        "state=up rate=16000",
    ]


def test_the_same_again_is_told_every_ten_minutes_with_its_number(told):
    for attempt in range(3000):
        told.now_s = attempt * 5.0
        told.log.down("no microphone")
    assert told.lines[0] == "state=down reason='no microphone'"
    assert told.lines[1] == "state=down reason='no microphone' unlogged=119"
    assert len(told.lines) == 1 + 14_995 // 600


def test_a_loose_contact_does_not_fill_the_log_and_its_last_state_is_told(told):
    for second in range(3600):
        told.now_s = float(second)
        (told.log.down if second % 2 else told.log.up)(f"{second % 7}")
    assert len(told.lines) <= 6 + 3600 // 600
    told.log.up("rate=48000")
    for second in range(3600, 4300):
        told.now_s = float(second)
        told.log.look()
    assert told.lines[-1].startswith("state=up rate=48000 unlogged=")


def test_looking_at_a_state_that_was_told_adds_nothing(told):
    told.log.up("rate=16000")
    for second in range(3600):
        told.now_s = float(second)
        told.log.look()
    assert len(told.lines) == 1


def test_down_is_a_warning_and_up_is_none(told, caplog):
    told.log.up("rate=16000")
    told.log.down("unplugged")
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]
