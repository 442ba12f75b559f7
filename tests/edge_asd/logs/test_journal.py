"""The journal gets fields; whatever a line says arrives as it was said."""

from __future__ import annotations

import array
import ast
import logging
import os
import socket
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_asd
from edge_asd.logs.journal import JournalHandler, encode, fields_of, values_of, writes_to_journal
from edge_asd.logs.journal_classes import CLASSES, catalogue

PACKAGE = Path(edge_asd.__file__).parent


def line(message, *args, level=logging.WARNING, name="edge_asd.report.report"):
    return logging.LogRecord(name, level, "/opt/report.py", 7, message, args, None, "event")


def parse(entry):
    """Fields of an entry, as the journal reads them."""
    fields = {}
    while entry:
        name, _, rest = entry.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            entry = rest
        else:
            (size,) = struct.unpack("<Q", rest[:8])
            key, value, end, entry = name, rest[8 : 8 + size], rest[8 + size], rest[9 + size :]
            assert end == ord("\n")
        fields[key.decode()] = value.decode()
    return fields


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text()))
def test_every_value_arrives_as_it_was(fields):
    expected = {k: v.encode(errors="replace").decode() for k, v in fields.items()}
    assert parse(encode(fields)) == expected


def test_an_alert_has_its_id_its_monitor_and_its_kind():
    template = "monitor=%s event=%s type=%s severity=%s score=%.2f threshold=%.2f nearest=%s"
    record = line(template, "pump-1", "0192", "new", "alarm", 5.25, 3.0, "log mel: 7")
    fields = fields_of(record, record.getMessage())
    assert fields["EDGE_ASD_MONITOR"] == "pump-1"
    assert fields["EDGE_ASD_EVENT_ID"] == "0192"
    assert fields["EDGE_ASD_NEAREST"] == "log mel: 7"
    assert fields["EDGE_ASD_KIND"] == "alert-new"
    assert fields["PRIORITY"] == "4"
    assert (fields["CODE_FILE"], fields["CODE_LINE"]) == ("/opt/report.py", "7")


@pytest.mark.parametrize(("level", "kind"), [(30, "broker-lost"), (20, "broker-connected")])
def test_a_broker_that_is_lost_differs_from_one_that_is_found(level, kind):
    record = line("mqtt %s", "text", level=level, name="edge_asd.publish.mqtt")
    assert fields_of(record, "")["EDGE_ASD_KIND"] == kind


@pytest.mark.parametrize(
    ("template", "args", "values"),
    [
        ("source=%s event=left_hanging", ("a b",), {"source": "a b", "event": "left_hanging"}),
        ("free=%d%% path=%s", (3, "/x=y z"), {"free": "3", "path": "/x=y z"}),
        ("plain words", (), {}),
        ("a=%s b=%s", ("only one",), {"a": "only one"}),
        ("class=%s %s reason=%r", ("event", "then", "it's"), {"class": "event", "reason": "it's"}),
    ],
)
def test_values_come_from_the_template_whatever_they_hold(template, args, values):
    assert values_of(line(template, *args)) == values


def templates():
    """Templates of every line of the package, by logger."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add((".".join(parts), node.value))
    return found


def test_every_kind_has_a_line_that_really_is_written():
    written = templates()
    for kind in CLASSES:
        lines = (text for module, text in written if f"{module}.".startswith(f"{kind.logger}."))
        assert any(text.startswith(kind.template) for text in lines), kind.name


def test_ids_are_unique_and_well_formed():
    ids = [kind.message_id for kind in CLASSES]
    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(i)) == 16 and i == i.lower() for i in ids)
    assert all(f"-- {i}\n" in catalogue() for i in ids)


def test_the_page_about_the_service_lists_every_kind():
    page = (PACKAGE.parent / "docs/service.md").read_text()
    for kind in CLASSES:
        assert f"| `{kind.name}` | `{kind.message_id}` |" in page


@pytest.fixture
def journal(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        yield sock


def test_a_line_that_is_too_large_for_a_datagram_is_handed_over_as_a_file(journal):
    handler = JournalHandler(logging.NullHandler(), Path(journal.getsockname()))
    # More fields than fit, each within its limit.
    template = " ".join(f"k{n}=%s" for n in range(10))
    handler.handle(line(template, *["x" * 60_000] * 10))
    data, ancillary, _, _ = journal.recvmsg(64, socket.CMSG_SPACE(4))
    assert data == b""
    ((_, _, raw),) = ancillary
    (descriptor,) = array.array("i", raw)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        fields = parse(file.read())
    assert fields["EDGE_ASD_K9"] == "x" * 60_000
    handler.close()


def test_without_a_journal_the_line_is_written_elsewhere(tmp_path):
    caught = []

    class Other(logging.Handler):
        def emit(self, record):
            caught.append(record.getMessage())

    handler = JournalHandler(Other(), tmp_path / "nobody")
    handler.handle(line("monitor=%s lost", "pump"))
    handler.close()
    assert caught == ["monitor=pump lost"]


def test_only_a_stream_of_the_journal_is_taken_for_one(tmp_path):
    with (tmp_path / "log").open("w") as log:
        found = os.fstat(log.fileno())
        assert writes_to_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}, log)
        assert not writes_to_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}, log)
        assert not writes_to_journal({"JOURNAL_STREAM": "?"}, log)
        assert not writes_to_journal({}, sys.__stderr__)
