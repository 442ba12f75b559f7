"""docs/subscriber.md: what it shows was said by a device, and what it tells to run runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from brokers import PATIENCE_S, Subscriber, eventually
from contract.golden import golden_messages
from jsonschema import Draft202012Validator

from edge_asd.config import parse_config
from edge_asd.publish.contract import channels
from edge_asd.publish.home_assistant import discovery
from edge_asd.publish.schemas import json_schema

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "subscriber.md").read_text()
GOLDEN = golden_messages()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def blocks(language, word=""):
    return [text for kind, text in BLOCKS if kind == language and word in text]


def block(language, word=""):
    (only,) = blocks(language, word)
    return only


class Program:
    """A running example, and the lines that it printed so far."""

    def __init__(self, command) -> None:
        self.lines = []
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)  # both sides of a pipe
        self.process.wait()
        self._reader.join(PATIENCE_S)
        self.process.stdout.close()

    def _read(self):
        self.lines.extend(line.rstrip("\n") for line in iter(self.process.stdout.readline, ""))


class Air:
    """A broker on which recorded messages are said again."""

    def __init__(self, broker) -> None:
        broker.start()
        self.port = broker.port
        self._voice = Subscriber(broker.port, topics="nothing/at/all")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._voice.__exit__(*exception)

    def say(self, *names, **changes):
        for name in names:
            golden = GOLDEN[name]
            payload = golden.payload
            if changes:
                payload = json.dumps(json.loads(payload) | changes).encode()
            sent = self._voice._client.publish(golden.topic, payload, golden.qos, golden.retain)
            sent.wait_for_publish(PATIENCE_S)


@pytest.fixture
def air(mosquitto):
    with Air(mosquitto) as air:
        yield air


def shown(command, port):
    """A command of the page, with the broker of the test."""
    words = shlex.split(command)
    at = words.index("localhost")
    return [*words[:at], "127.0.0.1", "-p", str(port), *words[at + 1 :]]


def test_every_message_on_the_page_was_said_by_a_device():
    said = [json.loads(g.payload) for g in GOLDEN.values() if g.payload.startswith(b"{")]
    quoted = [json.loads(text) for text in blocks("json") if text.startswith("{")]
    assert len(quoted) == 4
    for message in quoted:
        assert message in said


def test_every_topic_is_on_the_page():
    for channel in channels():
        leaf = channel.address.split("}/")[-1].split("/{")[0]
        assert leaf.split("/")[0] in PAGE, channel.address


@pytest.mark.broker
def test_the_first_command_shows_what_the_page_says(air):
    command, *expected = block("console", "/alarm").removeprefix("$ ").splitlines()
    air.say("alarm-off")
    with Program(shown(command, air.port)) as program:
        eventually(lambda: program.lines, what="the retained alarm")
        air.say("alarm-on")
        eventually(lambda: len(program.lines) == 2, what="the alarm")
    assert program.lines == expected


@pytest.mark.broker
def test_events_can_be_made_a_table(air):
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    line, *expected = block("console", "jq ").removeprefix("$ ").splitlines()
    subscribe, table = line.split(" | ", 1)
    command = f"{shlex.join(shown(subscribe, air.port))} | {table}"
    with Program(["sh", "-c", command]) as program:

        def heard():
            air.say("event-new", source="canary")
            return program.lines

        eventually(heard, what="a subscription")
        air.say("event-new", "event-update-evidence", "event-end")

        def told():
            return [line for line in program.lines if not line.startswith("canary")]

        eventually(lambda: len(told()) == 3, what="three steps")
    assert [line.split("\t") for line in told()] == [line.split("\t") for line in expected]


@pytest.mark.broker
def test_the_python_subscriber_tells_each_step_once_and_misses_none(air, tmp_path):
    script = tmp_path / "subscriber.py"
    script.write_text(block("python"))
    command = [sys.executable, str(script), "127.0.0.1", str(air.port)]
    air.say("status-online")
    with Program(command) as program:
        eventually(lambda: program.lines == ["press-hall-3: online"], what="the status")
        air.say("state-unknown", "event-new", "event-new", "event-new-rehearsal")
        eventually(lambda: len(program.lines) == 4, what="four lines")
    reason = json.loads(GOLDEN["state-unknown"].payload)["reason"]
    score = json.loads(GOLDEN["event-new"].payload)["score"]
    assert program.lines[1] == f"press-hall-3/pump: nobody knows: {reason}"
    assert re.fullmatch(rf"press-hall-3/pump: new (warning|alarm) score {score}", program.lines[2])
    assert program.lines[3].startswith("press-hall-3/pump: REHEARSAL new ")
    air.say("event-end")  # while nobody listens
    with Program(command) as program:
        eventually(lambda: any(" end " in line for line in program.lines), what="the end")


def test_the_python_subscriber_is_short():
    code = [line for line in block("python").splitlines() if line.strip()]
    assert len(code) <= 40


def test_the_flow_for_node_red_is_whole():
    flow = json.loads(block("json", "mqtt-broker"))
    nodes = {node["id"]: node for node in flow}
    assert len(nodes) == len(flow)
    (tab,) = (node["id"] for node in flow if node["type"] == "tab")
    for node in flow:
        assert node["type"] in ("tab", "mqtt-broker", "mqtt in", "function", "debug")
        if node["type"] in ("mqtt in", "function", "debug"):
            assert node["z"] == tab
            for wire in node["wires"]:
                assert set(wire) <= set(nodes)
        if node["type"] == "mqtt in":
            assert nodes[node["broker"]]["type"] == "mqtt-broker"
            address = node["topic"].replace("+", "{device}", 1).replace("+", "{monitor}", 1)
            (channel,) = (c for c in channels() if c.address == address)
            assert node["qos"] == str(channel.qos)


def slug(text):
    """As Home Assistant makes one part of an entity's id of a name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def test_the_automations_name_entities_that_appear():
    section = yaml.safe_load(block("yaml", "home_assistant:"))
    monitors = [{"name": "pump", "source": "alsa:"}]
    config = parse_config({"device": "press-hall-3", "monitors": monitors} | section, "page")
    appear = set()
    for payload in discovery(config).values():
        message = json.loads(payload)
        for entity in message["components"].values():
            name = slug(f"{message['device']['name']} {entity['name']}")
            appear.add(f"{entity['platform']}.{name}")
    automations = block("yaml", "automation:")
    named = set(re.findall(r"(?:binary_sensor|sensor|switch|number)\.\w+", automations))
    assert named
    assert named <= appear
    for automation in yaml.safe_load(automations)["automation"]:
        assert {"alias", "triggers", "actions"} <= set(automation)


def test_the_command_of_the_page_is_one_that_a_device_takes():
    words = shlex.split(block("console", "mosquitto_pub").removeprefix("$ "))
    topic, payload = words[words.index("-t") + 1], words[words.index("-m") + 1]
    (channel,) = (c for c in channels() if c.matches(topic))
    Draft202012Validator(json_schema(channel)).validate(json.loads(payload))
    answer = json.loads(GOLDEN["reply-inhibit-ok"].payload)
    assert answer["request_id"] == json.loads(payload)["request_id"]
    assert answer["verb"] == topic.split("/")[-1]
