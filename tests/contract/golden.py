"""The recorded messages: read them, and say them to a broker as the device did."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge_asd.publish.contract import Channel, channel_of

FOLDER = Path(__file__).resolve().parent / "golden"


@dataclass(frozen=True)
class Golden:
    """A message as a real daemon sent it."""

    name: str
    topic: str
    qos: int
    retain: bool
    payload: bytes

    @property
    def channel(self) -> Channel:
        """Where it belongs today."""
        return channel_of(self.topic)


def golden_messages():
    """All of them by name."""
    facts = json.loads((FOLDER / "topics.json").read_text())
    return {
        Path(file).stem: Golden(
            Path(file).stem,
            fact["topic"],
            fact["qos"],
            fact["retain"],
            (FOLDER / file).read_bytes(),
        )
        for file, fact in facts.items()
    }
