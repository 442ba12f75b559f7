"""Record the golden messages from a real daemon: ``make golden``.

A pump falls ill and gets well, its microphone dies and comes back, it is learned, and an operator
asks for this and that. The first message of each kind is kept as it came, byte by byte, in
``golden/``, and in ``golden/topics.json`` its topic, quality of service and retention.
"""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from brokers import Mosquitto, Subscriber, eventually
from support.contract import violation
from support.player import RATE
from support.processes import DaemonProcess, cli, enrolled_machine
from support.tiny import write_tiny_bundle
from support.wallclock import WallClock

from edge_asd.publish.contract import Picture, channel_of

logger = logging.getLogger(__name__)
GOLDEN = Path(__file__).resolve().parent / "golden"
BASE = "edge-asd/press-hall-3"
PUMP_TOPIC = f"{BASE}/pump"


def kind_of(topic, payload):
    """Name of the golden message that this one could be; empty for none."""
    channel = channel_of(topic)
    if not payload or channel is None or channel.received or isinstance(channel.payload, Picture):
        return ""
    if not payload.startswith(b"{"):
        return f"{channel.name}-{payload.decode().lower()}"
    said = json.loads(payload)
    return "-".join([channel.name, *_step_of(channel.name, said)])


def _step_of(name, said):
    """What distinguishes messages of one topic."""
    if name == "state":
        yield said["state"]
        yield from (word for word in ("acked", "snoozed") if said[_FIELDS[word]])
        yield from ["off"] * (not said["enabled"])
        yield from ["rehearsal"] * said["rehearsal"]
    elif name in ("event", "microphone"):
        yield said["type"]
        if said["type"] == "update":
            told = "acked" if said["acked_by"] else "evidence" if said["evidence"] else ""
            yield from [told] * bool(told)
        yield from ["rehearsal"] * said["rehearsal"]
    elif name == "health":
        yield said["status"]
    elif name == "reply":
        yield said["verb"]
        yield "ok" if said["ok"] else "refused"


_FIELDS = {"acked": "acked_by", "snoozed": "snoozed_until"}


class Recorder:
    """Everything that was said so far, and the operator's voice."""

    def __init__(self, subscriber) -> None:
        self._subscriber = subscriber
        self.daemon = None

    def kinds(self):
        """The first message of each kind: topic, payload, by name."""
        found = {}
        for topic, payload, _ in list(self._subscriber.messages):
            wrong = violation(topic, payload) if channel_of(topic) else "no topic of the contract"
            assert not wrong or channel_of(topic).received, wrong
            found.setdefault(kind_of(topic, payload), (topic, payload))
        found.pop("", None)
        return found

    def wait(self, *names):
        """Until messages of these kinds came."""
        for name in names:
            self.daemon.until(lambda name=name: name in self.kinds(), 300, name)
            logger.info("heard %s", name)

    def say(self, topic, payload):
        """Ask for something as an operator does."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self._subscriber._client.publish(f"{BASE}/{topic}", text, qos=1)


class Stage:
    """Where the scenes play.

    Args:
        plant: Sounds of a pump, and what was learned from it.
        folder: For what the daemons keep.
        broker: Where they speak.
        recorder: Who listens.
    """

    def __init__(self, plant, folder, broker, recorder) -> None:
        self.plant, self.folder, self.broker, self.recorder = plant, folder, broker, recorder

    @contextmanager
    def daemon(self, name, *, learned=True, **monitor):
        """A daemon with one monitor and a state directory of its own."""
        folder = self.folder / name
        folder.mkdir()
        clock = WallClock(folder / "clock")
        machine = self.plant.player(folder, silent=np.zeros(2 * RATE, np.float32))
        config = self.plant.config(
            folder,
            machine.source,
            monitor=monitor,
            device="press-hall-3",
            bundle=str(self.plant.bundle),
            mqtt={"url": self.broker.url, "commands": ["enabled", "inhibit", "snooze", "ack"]},
            microphone={"notify_after_s": 0.5},
            evidence={"before_s": 2, "after_s": 2},
        )
        state = self.plant.state(folder) if learned else folder / "state"
        arguments = ("--config", config, "--once")
        with DaemonProcess(state, *arguments, **clock.settings) as daemon:
            daemon.machine, daemon.clock = machine, clock
            self.recorder.daemon = daemon
            yield daemon
            daemon.stop()


def alert(stage):
    """The pump falls ill, somebody takes note, it gets well."""
    recorder = stage.recorder
    with stage.daemon("alert") as daemon:
        recorder.wait("status-online", "info", "state-normal", "score")
        daemon.machine.play("faulty")
        recorder.wait("event-new", "alarm-on", "event-update-evidence")
        recorder.say("pump/ack/set", "anna")
        recorder.wait("event-update-acked", "ack-state-on")
        daemon.machine.play("normal")
        recorder.wait("event-end", "alarm-off")
    eventually(lambda: "status-offline" in recorder.kinds())


def commands(stage):
    """An operator asks for this and that, and rehearses an alert."""
    recorder = stage.recorder
    with stage.daemon("commands") as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal", 300)
        recorder.say("pump/snooze/set", "30")
        recorder.wait("snooze-state-30", "state-normal-snoozed")
        recorder.say("pump/snooze/set", "0")
        asked = {"monitor": "pump", "minutes": 5, "by": "anna", "request_id": "7"}
        recorder.say("cmd/inhibit", asked)
        recorder.wait("reply-inhibit-ok", "state-inhibited", "inhibit-state-on")
        recorder.say("cmd/inhibit", {"monitor": "pump", "on": False, "request_id": "8"})
        recorder.say("cmd/snooze", {"monitor": "pump", "request_id": "9"})
        recorder.wait("reply-snooze-refused")
        recorder.say("pump/enabled/set", "OFF")
        recorder.wait("enabled-state-off")
        recorder.say("pump/enabled/set", "ON")
        daemon.until(lambda: daemon.state_of("pump") == "normal", 300)
        result = cli(
            *("simulate", "--fault", "alarm", "--monitor", "pump", "--seconds", "4"),
            *("--by", "anna", "--state-dir", daemon.state),
        )
        assert result.returncode == 0, result.stderr
        recorder.wait("event-new-rehearsal", "event-end-rehearsal")


def microphone(stage):
    """The microphone dies and comes back; a day later the day is reported."""
    recorder = stage.recorder
    with stage.daemon("microphone") as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal", 300)
        daemon.machine.play("silent")
        recorder.wait("microphone-new", "state-unknown", "health-critical")
        daemon.machine.play("normal")
        recorder.wait("microphone-end")
        daemon.clock.set(86_400)
        recorder.wait("report")


def learning(stage):
    """A machine that is not known yet."""
    with stage.daemon("learning", learned=False, enrol_s=60):
        stage.recorder.wait("state-baselining")


def main():
    """Replace the golden messages."""
    with tempfile.TemporaryDirectory() as folder:
        tmp_path = Path(folder)
        for name in ("machine", "broker"):
            (tmp_path / name).mkdir()
        plant = enrolled_machine(
            tmp_path / "machine", write_tiny_bundle(tmp_path / "tiny-1.asd").path
        )
        broker = Mosquitto(tmp_path / "broker")
        broker.start()
        try:
            with Subscriber(broker.port) as subscriber:
                recorder = Recorder(subscriber)
                stage = Stage(plant, tmp_path, broker, recorder)
                for scene in (alert, commands, microphone, learning):
                    scene(stage)
                write(recorder.kinds())
        finally:
            broker.kill()


def write(kinds):
    """One file a message, and where each was heard."""
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    facts = {}
    for name, (topic, payload) in sorted(kinds.items()):
        channel = channel_of(topic)
        file = f"{name}.{'json' if payload.startswith(b'{') else 'txt'}"
        (GOLDEN / file).write_bytes(payload)
        facts[file] = {"topic": topic, "qos": channel.qos, "retain": channel.retain}
    (GOLDEN / "topics.json").write_text(json.dumps(facts, indent=1) + "\n")
    logger.info("%d messages in %s", len(facts), GOLDEN)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
