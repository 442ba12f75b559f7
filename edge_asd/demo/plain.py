"""A line for every message and change, and one now and then: for logs and pipes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TextIO

from edge_asd.demo.now import Now
from edge_asd.demo.story import clock
from edge_asd.demo.subscriber import Message

_HEARTBEAT_S = 5.0
_LONGEST = 240


class PlainView:
    """See the module.

    Args:
        out: Where lines go.
        monotonic: Seconds.
    """

    def __init__(self, out: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._out, self._monotonic = out, monotonic
        self._step = ""
        self._said_at_s = -math.inf

    def update(self, now: Now) -> None:
        """Print a new step of the story, else a sign of life now and then."""
        told = now.story.describe(now.at_s)
        step = now.story.step(now.at_s).value
        if step != self._step:
            self._step = step
            self._say(now, f"== {told}")
        elif self._monotonic() - self._said_at_s >= _HEARTBEAT_S:
            score = "-" if now.score is None else f"{now.score:.2f}"
            threshold = "-" if now.threshold is None else f"{now.threshold:.2f}"
            self._say(
                now,
                f"-- {told}; state {now.story.state}, score {score} of {threshold}, "
                f"level {now.level_dbfs:.1f} dBFS",
            )

    def message(self, now: Now, message: Message) -> None:
        """Print a message."""
        text = f"{message.topic} {message.shortened}"
        whole = message.leaf == "event" or len(text) <= _LONGEST
        self._say(now, text if whole else text[: _LONGEST - 3] + "...")

    def close(self) -> None:
        """Nothing to leave."""

    def _say(self, now: Now, text: str) -> None:
        self._said_at_s = self._monotonic()
        self._out.write(f"[{clock(now.at_s):>5}] {text}\n")
        self._out.flush()
