"""What this device says over MQTT, as data: every topic, its payload, its quality of service.

Topics come from `topics`, payloads from the models that serialise: what is written here for
subscribers cannot say anything else than what is sent.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from edge_asd.publish.messages import EventMessage, MicrophoneMessage
from edge_asd.publish.payload import Payload
from edge_asd.publish.replies import ReplyMessage
from edge_asd.publish.requests import REQUESTS
from edge_asd.publish.standing import (
    HealthMessage,
    InfoMessage,
    ReportMessage,
    ScoreMessage,
    StateMessage,
)
from edge_asd.publish.topics import THINGS, Topics

_DEVICE, _MONITOR, _VERB = "the-device", "the-monitor", "the-verb"
_SEGMENT = "[a-z0-9_-]{1,64}"


@dataclass(frozen=True, slots=True)
class Words:
    """A payload of plain text that is one of a few words."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A payload of plain text."""

    pattern: str
    """Of the whole text."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A payload that is a picture."""

    content_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic, seen from the device."""

    name: str
    address: str
    """With ``{device}`` and ``{monitor}``."""
    summary: str
    payload: type[Payload] | Words | Text | Picture
    qos: int = 1
    retain: bool = False
    received: bool = False
    """The device hears it instead of sending it."""
    reply: str = ""
    """Name of the channel that answers it."""

    def matches(self, topic: str) -> bool:
        """Whether ``topic`` is this one, of any device and monitor."""
        pattern = re.sub(r"\\\{\w+\\\}", _SEGMENT, re.escape(self.address))
        return re.fullmatch(pattern, topic) is not None


@functools.cache
def channels() -> tuple[Channel, ...]:
    """Every topic that the device publishes or hears."""
    topics = Topics(_DEVICE)
    return (
        *_of_device(topics),
        *_of_monitor(topics),
        *_of_switches(topics),
        *_sets(topics),
        *_commands(topics),
        _reply(topics),
    )


def _address(topic: str) -> str:
    for name in ("device", "monitor", "verb"):
        topic = topic.replace(f"the-{name}", f"{{{name}}}")
    return topic


def _of_device(topics: Topics) -> tuple[Channel, ...]:
    return (
        Channel(
            "status",
            _address(topics.status),
            "Whether the daemon is connected. The broker says `offline` in its place when it "
            "vanishes (last will).",
            Words(("online", "offline")),
            retain=True,
        ),
        Channel(
            "info",
            _address(topics.info),
            "Who the device is; sent at every connection.",
            InfoMessage,
            retain=True,
        ),
        Channel(
            "health",
            _address(topics.health),
            "Every check of the daemon and the worst of them; sent when one changes.",
            HealthMessage,
            retain=True,
        ),
    )


def _of_monitor(topics: Topics) -> tuple[Channel, ...]:
    return (
        Channel(
            "state",
            _address(topics.state(_MONITOR)),
            "What is known about the machine right now; sent at every change, and every 30 s.",
            StateMessage,
            retain=True,
        ),
        Channel(
            "alarm",
            _address(topics.alarm(_MONITOR)),
            "Whether an alert is going on, for the simplest subscriber.",
            Words(("ON", "OFF")),
            retain=True,
        ),
        Channel(
            "event",
            _address(topics.event(_MONITOR)),
            "The life of an alert: new, update, end. At least once, in order; `id` and `seq` tell "
            "a repetition.",
            EventMessage,
        ),
        Channel(
            "microphone",
            _address(topics.microphone(_MONITOR)),
            "The microphone does not work (new), or works again (end). At least once, in order.",
            MicrophoneMessage,
        ),
        Channel(
            "score",
            _address(topics.score(_MONITOR)),
            "Every score; best effort, dropped while there is no connection.",
            ScoreMessage,
            qos=0,
        ),
        Channel(
            "report",
            _address(topics.report(_MONITOR)),
            "How well the monitor listened on the last whole day, UTC; sent when a day ends.",
            ReportMessage,
            retain=True,
        ),
        Channel(
            "picture",
            _address(topics.picture(_MONITOR)),
            "Spectrogram of the last alert; only with `evidence.publish_picture`.",
            Picture(),
            retain=True,
        ),
    )


def _of_switches(topics: Topics) -> tuple[Channel, ...]:
    """How what an operator may set stands."""
    told = {
        "enabled": "`OFF` once an operator has switched the monitor off.",
        "inhibit": "`ON` during maintenance: nothing is scored.",
        "snooze": "Minutes that the snooze was asked for; `0` while the monitor is not snoozed.",
        "ack": "`ON` once somebody has taken note of the alert that is going on.",
    }
    return tuple(
        Channel(
            f"{thing}-state",
            _address(topics.thing_state(_MONITOR, thing)),
            told[thing],
            Text(r"^[0-9]+(\.[0-9]+)?$") if thing == "snooze" else Words(("ON", "OFF")),
            retain=True,
        )
        for thing in THINGS
    )


def _sets(topics: Topics) -> tuple[Channel, ...]:
    """Where an operator sets it; words in any case."""
    minutes = r"[0-9]+(\.[0-9]+)?"
    heard: dict[str, tuple[str, Words | Text]] = {
        "enabled": ("Switch the monitor on or off, over restarts.", Words(("ON", "OFF"))),
        "inhibit": (
            "Maintenance until `OFF`, or for so many minutes.",
            Text(rf"^(ON|OFF|{minutes})$"),
        ),
        "snooze": ("Raise no alert for so many minutes; `0` ends it.", Text(rf"^(OFF|{minutes})$")),
        "ack": ("Take note of the open alert: `ON`, or who does.", Text(r"^(?!(OFF|0)$)[^{]*$")),
    }
    return tuple(
        Channel(
            f"{thing}-set",
            _address(topics.thing_set(_MONITOR, thing)),
            f"{heard[thing][0]} Only if `mqtt.commands` allows it; never retained. A JSON object "
            f"as for cmd/{thing} is understood, too.",
            heard[thing][1],
            received=True,
        )
        for thing in THINGS
    )


def _commands(topics: Topics) -> tuple[Channel, ...]:
    return tuple(
        Channel(
            f"cmd-{verb}",
            _address(topics.command(verb)),
            f"{request.__doc__} Only if `mqtt.commands` allows it; never retained. The answer goes "
            "to the response topic with the correlation data (MQTT 5), or to cmd/"
            f"{verb}/reply.",
            request,
            received=True,
            reply="reply",
        )
        for verb, request in REQUESTS.items()
    )


def _reply(topics: Topics) -> Channel:
    return Channel(
        "reply",
        _address(topics.reply(_VERB)),
        "What became of a command, for those who named no response topic (MQTT 5).",
        ReplyMessage,
    )


def channel_of(topic: str) -> Channel | None:
    """The channel that ``topic`` belongs to; None for a topic that is not in the contract."""
    return next((channel for channel in channels() if channel.matches(topic)), None)
