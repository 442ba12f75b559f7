"""What the broker keeps of us: Home Assistant's discovery, and nothing of monitors that are gone.

Retained messages outlive the daemon, so the topics are remembered on disk. Those that the present
configuration does not use are cleared: a monitor that was removed, a switch that is no longer
allowed, the other form of discovery. A device that was renamed clears nothing: its disk may be a
copy, and the original go on.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

from edge_asd.config import Config
from edge_asd.errors import StorageError
from edge_asd.files import replace_file
from edge_asd.publish.contract import channel_of
from edge_asd.publish.home_assistant import birth_topics, discovery
from edge_asd.publish.incoming import Incoming
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.topics import THINGS, Topics

logger = logging.getLogger(__name__)

FILE = "mqtt-topics.json"
BIRTH_WAIT_S = 10.0
"""All devices hear Home Assistant start at once; each answers at its own moment within this."""

_LOOK_EVERY_S = 0.4
_RETRY_S = 60.0


class Presence:
    """See the module. ``update`` may be called by any thread, ``look`` is for the pump's.

    Args:
        sink: The broker's sink, not yet started.
        config: The operator's file.
        state_dir: Where topics are remembered.
        rng: For the wait after Home Assistant's birth.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        sink: MqttSink,
        config: Config,
        state_dir: Path,
        *,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._rng, self._clock = sink, rng, clock
        self._device = config.device
        self._base = Topics(config.device).base
        self._path = state_dir / FILE
        self._remembered = self._stored = self._read()
        self._clearing: frozenset[str] = frozenset()  # asked for, and not confirmed so far
        self._resend_at_s: float | None = None
        self._look_at_s = self._write_at_s = -float("inf")
        self._expected: frozenset[str] = frozenset()  # replaced, never changed
        self.update(config)
        wanted = config.mqtt.home_assistant if config.mqtt else None
        for topic in birth_topics(wanted) if wanted else ():
            sink.subscribe(topic, self._hear_birth)
        sink.attend(self._look)

    def update(self, config: Config) -> None:
        """Go by another configuration of the same device."""
        messages = discovery(config)
        self._expected = _topics_of(config) | messages.keys()
        for topic, payload in messages.items():
            self._sink.set_retained(topic, payload)

    # Pump thread

    def _look(self) -> None:
        """Clear what is not wanted any more, remember what is there, answer a birth."""
        now_s = self._clock()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        kept, expected = self._sink.retained_topics(), self._expected
        self._clear(frozenset(filter(self._is_known, (self._remembered | kept) - expected)), kept)
        self._remember(((self._remembered | kept) & expected) | self._clearing, now_s)
        if self._resend_at_s is not None and now_s >= self._resend_at_s:
            self._resend_at_s = None
            # Discovery first: a state that nobody is waiting for yet is lost.
            self._sink.resend(sorted(kept & expected, key=self._is_state))

    def _is_known(self, topic: str) -> bool:
        """Whether it is one of those that this module decides about."""
        known = channel_of(topic) is not None
        return self._is_state(topic) if known else not topic.startswith("edge-asd/")

    def _is_state(self, topic: str) -> bool:
        return topic.startswith(f"{self._base}/")

    def _clear(self, stale: frozenset[str], kept: frozenset[str]) -> None:
        asked = self._clearing - kept
        for topic in stale - asked:
            self._sink.forget_retained(topic)
        self._clearing = (stale - asked) | (asked & self._sink.forgetting())

    def _hear_birth(self, message: Incoming) -> None:
        if message.payload == b"online" and not message.retain and self._resend_at_s is None:
            self._resend_at_s = self._clock() + self._rng.uniform(0, BIRTH_WAIT_S)

    # Memory

    def _read(self) -> frozenset[str]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            if known["device"] == self._device:
                return frozenset(map(str, known["topics"]))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            # What it named may stay with the broker; nothing else depends on it.
            logger.warning(
                "retained topics of earlier runs are not known path=%s error=%s", self._path, error
            )
        return frozenset()

    def _remember(self, topics: frozenset[str], now_s: float) -> None:
        self._remembered = topics
        if topics == self._stored or now_s < self._write_at_s:
            return
        content = {"device": self._device, "topics": sorted(topics)}
        try:
            replace_file(self._path, json.dumps(content, indent=1).encode() + b"\n")
        except StorageError as error:
            self._write_at_s = now_s + _RETRY_S
            logger.warning("retained topics are not remembered error=%s", error)
        else:
            self._stored = topics


def _topics_of(config: Config) -> frozenset[str]:
    """Everything that this configuration may have retained, discovery aside."""
    topics = Topics(config.device)
    kept = {topics.status, topics.info, topics.health}
    things = [thing for thing in THINGS if config.mqtt and thing in config.mqtt.commands]
    for monitor in config.monitors:
        name = monitor.name
        kept |= {topics.state(name), topics.alarm(name), topics.report(name)}
        if config.evidence.enabled and config.evidence.publish_picture:
            kept.add(topics.picture(name))
        kept |= {topics.thing_state(name, thing) for thing in things}
    return frozenset(kept)
