"""Everything that is known at one moment, and how a view takes it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from edge_asd.demo.plan import Plan
from edge_asd.demo.story import Story
from edge_asd.demo.subscriber import Message

_KEPT_SCORES = 4000
_KEPT_MESSAGES = 60


@dataclass(slots=True)
class Now:
    """Everything that is known at this moment."""

    plan: Plan
    story: Story
    url: str
    """Of the broker."""
    at_s: float = 0.0
    """Stream time."""
    level_dbfs: float = math.nan
    score: float | None = None
    threshold: float | None = None
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_SCORES))
    marks: list[tuple[int, str]] = field(default_factory=list)
    """Number of a score and what happened at it."""
    scored: int = 0
    latest_score: Message | None = None
    messages: deque[tuple[float, Message]] = field(
        default_factory=lambda: deque(maxlen=_KEPT_MESSAGES)
    )
    """Stream time and message; scores are only counted."""
    footer: str = "Ctrl-C ends it"

    _latest: dict[str, bytes] = field(default_factory=dict)

    def take(self, message: Message) -> bool:
        """Take in a message at the stream time of now.

        Returns:
            Whether it is worth a line: no score, and not the same as the one before on its topic.
        """
        self.story.take(message, self.at_s)
        if message.leaf == "score":
            self._score(message)
            return False
        news = self._latest.get(message.topic) != message.payload
        self._latest[message.topic] = message.payload
        if news:
            self.messages.append((self.at_s, message))
        return news

    def _score(self, message: Message) -> None:
        fields = message.fields
        self.score, self.threshold = fields.get("score"), fields.get("threshold")
        if self.score is None:
            return
        self.latest_score = message
        self.scores.append(self.score)
        self.scored += 1
        marked = len(self.marks)
        for text, due_s in (("fault", self.plan.onset_s), ("repair", self.plan.clear_s))[marked:]:
            if self.at_s >= due_s:
                self.marks.append((self.scored - 1, text))


class View(Protocol):
    """Shows what happens."""

    def update(self, now: Now) -> None:
        """Show the present."""

    def message(self, now: Now, message: Message) -> None:
        """Tell of a message that arrived; scores are not told one by one."""

    def close(self) -> None:
        """Leave the screen as it is."""
