"""One line for each message, whatever happened to the one before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from publish_samples import message

import edge_asd
from edge_asd.errors import PublishError
from edge_asd.publish.jsonl import JsonlSink


def test_events_are_appended_as_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        sink = JsonlSink(str(path))
        sink.event(message())
        sink.telemetry(message("end"))
        sink.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["new", "end"] * 2


def test_a_line_that_was_cut_short_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"half": ')
    sink = JsonlSink(str(path))
    sink.event(message())
    sink.event(message("end"))
    sink.close()
    assert [line[:9] for line in path.read_text().splitlines()] == ['{"half": ', *['{"schema"'] * 2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_and_counted_every_time():
    sink = JsonlSink("/dev/full")
    for _ in range(2):
        with pytest.raises(PublishError, match="free space"):
            sink.event(message())
    assert sink.failed == 2
    sink.close()


def test_a_short_write_is_finished_and_a_failed_one_starts_a_new_line(tmp_path):
    # The limit on the size of files cuts a write short, as a full disk does.
    path = tmp_path / "events.jsonl"
    script = (
        "import resource, signal, sys\n"
        "from publish_samples import message\n"
        "from edge_asd.errors import PublishError\n"
        "from edge_asd.publish.jsonl import JsonlSink\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sink = JsonlSink(sys.argv[1])\n"
        "sink.event(message())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1))\n"
        "try:\n    sink.event(message())\n"
        "except PublishError:\n    pass\n"
        "else:\n    sys.exit('nothing was told')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "sink.event(message('end'))\n"
    )
    source = [str(Path(edge_asd.__file__).parents[1]), str(Path(__file__).parent)]
    subprocess.run(
        [sys.executable, "-c", script, path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(source)},
        check=True,
    )
    first, half, last = path.read_text().splitlines()
    assert json.loads(first)["type"] == "new"
    assert first.startswith(half)
    assert json.loads(last)["type"] == "end"


def test_standard_output_gets_lines_too(capfd):
    sink = JsonlSink("-")
    sink.event(message())
    sink.close()
    sink.close()
    assert json.loads(capfd.readouterr().out)["type"] == "new"


def test_a_folder_that_is_missing_is_told(tmp_path):
    with pytest.raises(PublishError, match=r"jsonl\.path"):
        JsonlSink(str(tmp_path / "missing" / "events.jsonl"))
