"""The demo from the command line: its story, its end, and what it leaves behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import PATIENCE_S, eventually
from support.processes import environment

from edge_asd.config import load_config
from edge_asd.demo.subscriber import Subscriber

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

FAST = 25
SLOWEST = 3


def gone(pid, within_s=PATIENCE_S):
    deadline = time.monotonic() + within_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def number(lines, pattern):
    (found,) = [match for line in lines if (match := re.search(pattern, line))]
    return found


def overwhelmed(run, folder):
    """Whether sound came faster than this computer could listen to it."""
    dropped = "reason=worker_late" in (folder / "daemon.log").read_text()
    return dropped or any("too long for this computer" in line for line in run.lines)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_subscriber_hears_the_alert_and_the_all_clear_of_a_pump_that_breaks(
    demo, tiny_bundle, tmp_path
):
    speed = FAST
    while True:
        run = demo("--bundle", tiny_bundle.path, "--speed", speed)
        code = run.rest()
        (folder,) = tmp_path.glob("edge-asd-demo-*")
        # A busy computer is told to try again at half the speed, and so do we.
        if code == 0 or speed <= SLOWEST or not overwhelmed(run, folder):
            break
        shutil.rmtree(folder)
        speed //= 2
    text = "\n".join(run.lines)
    assert code == 0, text
    events = [line for line in run.lines if "edge-asd/demo/pump/event " in line]
    kinds = [re.search(r'"type":"(\w+)"', line).group(1) for line in events]
    assert kinds[0] == "new"
    assert kinds[-1] == "end"
    assert set(kinds[1:-1]) <= {"update"}
    story = ["== enrolling", "== normal", "== fault creeping in", "== repaired"]
    heard = ['"progress":1.0', '"type":"new"', '"type":"end"']
    # Each comes in its own order; a starved daemon may tell of the fault while it is repaired.
    for order in (story, heard, [story[2], heard[1]], [story[3], heard[2]]):
        places = [text.find(part) for part in [*order, "The daemon heard the fault"]]
        assert -1 not in places
        assert places == sorted(places)
    assert "0 before the fault" in text
    # above_s and within_s of the default alert settings, in the time of the stream
    assert 14 <= float(re.search(r'"duration_s":([\d.]+)', events[0]).group(1)) <= 20
    assert int(number(run.lines, r"alert +\d+:\d\d, (\d+) s later").group(1)) >= 14
    assert load_config(folder / "config.yaml").monitors[0].name == "pump"
    assert (folder / "state" / "profiles" / "pump" / "profile.json").exists()


@pytest.mark.slow
def test_a_kept_demo_serves_other_subscribers_and_ends_well_with_ctrl_c(demo, tiny_bundle):
    run = demo("--bundle", tiny_bundle.path, "--keep", "--speed", FAST)
    run.until("It is left running")
    port = int(re.search(r"-p (\d+)", run.until("mosquitto_sub")).group(1))
    with Subscriber("127.0.0.1", port) as other:

        def normal():  # retained: nothing changes any more, unless the daemon is late
            message = other.get(0.5)
            return message and message.leaf == "state" and message.fields["state"] == "normal"

        eventually(normal, what="the state")
    (daemon,) = run.children()
    run.interrupt()
    assert run.rest() == 0
    assert gone(daemon, 0.0)


def test_ctrl_c_leaves_neither_a_process_nor_a_folder(demo, tiny_bundle, tmp_path):
    run = demo("--bundle", tiny_bundle.path, "--speed", "4")
    run.until("== enrolling")
    (daemon,) = run.children()
    run.interrupt()
    assert run.rest() == 130
    assert gone(daemon, 0.0)
    assert list(tmp_path.glob("edge-asd-demo-*")) == []
    assert "Traceback" not in "\n".join(run.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_demo_ends_its_daemon(demo, tiny_bundle, tmp_path, number):
    run = demo("--bundle", tiny_bundle.path, "--speed", "4")
    run.until("== the daemon starts")
    (daemon,) = run.children()
    run.process.send_signal(number)
    assert run.rest() == 128 + number
    assert gone(daemon, 0.0)
    assert list(tmp_path.glob("edge-asd-demo-*")) == []


def test_a_killed_demo_takes_its_daemon_along(demo, tiny_bundle):
    run = demo("--bundle", tiny_bundle.path, "--speed", "4")
    run.until("== enrolling")
    (daemon,) = run.children()
    run.process.kill()
    assert gone(daemon)


def test_a_daemon_that_dies_is_told_in_one_line(demo, tiny_bundle, tmp_path):
    run = demo("--bundle", tiny_bundle.path, "--speed", "4")
    run.until("== enrolling")
    (daemon,) = run.children()
    os.kill(daemon, signal.SIGKILL)
    assert run.rest() == 69
    assert run.lines[-1].startswith("edge-asd: the daemon stopped with exit code -9: ")
    assert list(tmp_path.glob("edge-asd-demo-*")) == []


def test_without_amqtt_it_says_what_to_install(demo):
    # What Python does with a module that is None: it cannot be found.
    hidden = "import sys; sys.modules['amqtt'] = None; from edge_asd.cli import main; main()"
    run = demo(code=hidden)
    assert run.rest() == 69
    (line,) = run.lines
    assert line.startswith("edge-asd: the demo brings its own MQTT broker, which is not installed")
    assert line.endswith("pip install 'edge-asd[demo]'")


def test_a_bundle_that_is_none_is_refused_in_one_line(demo, tmp_path):
    wrong = tmp_path / "wrong.asd"
    wrong.write_bytes(b"not a bundle")
    run = demo("--bundle", wrong)
    assert run.rest() == 65
    assert len(run.lines) == 1
    assert str(wrong) in run.lines[0]


def test_a_reader_that_leaves_ends_the_demo(tiny_bundle, tmp_path):
    demo = f"{sys.executable} -m edge_asd demo --speed 4 --bundle {tiny_bundle.path}"
    result = subprocess.run(
        ["sh", "-c", f"{demo} | head -1"],
        env=environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert result.stdout.startswith("$ cat ")
    assert result.stderr == ""
    assert list(tmp_path.glob("edge-asd-demo-*")) == []
