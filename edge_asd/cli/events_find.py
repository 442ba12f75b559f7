"""Alerts and microphone faults with everything that is known of them, and finding one by its id."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_asd.clock import parse_rfc3339, rfc3339
from edge_asd.errors import UsageError
from edge_asd.evidence.reader import EvidenceReader
from edge_asd.evidence.records import Kept
from edge_asd.publish.messages import EventMessage, MicrophoneMessage
from edge_asd.publish.store import FILE_NAME, EventStore
from edge_asd.records import EventType

LAST = "last"
_NEAR = 3
_MANY = 5
_YOUNG_S = 120.0

Step = EventMessage | MicrophoneMessage


@dataclass(frozen=True, slots=True)
class Given:
    """Options given before the name of a sub-command."""

    state_dir: str | None
    as_json: bool


@dataclass(slots=True)
class Story:
    """One alert, or one fault of a microphone, from beginning to end."""

    id: str
    steps: list[Step] = field(default_factory=list)
    """In order; empty where only the evidence is left."""
    kept: Kept | None = None

    @property
    def alerts(self) -> list[EventMessage]:
        """Its steps if it is an alert."""
        return [step for step in self.steps if isinstance(step, EventMessage)]

    @property
    def monitor(self) -> str:
        """Which machine."""
        if self.steps:
            return self.steps[-1].source
        return self.kept.record.monitor if self.kept else ""

    @property
    def began_at(self) -> str:
        """RFC 3339."""
        if self.steps:
            return self.steps[0].started_at
        return rfc3339(self.kept.record.started_at) if self.kept else ""

    @property
    def last_at(self) -> str:
        """When it was last heard of, RFC 3339."""
        return self.steps[-1].updated_at if self.steps else self.began_at


def read_steps(state_dir: Path, since: float | None = None, limit: int | None = None) -> list[Step]:
    """Steps of alerts and faults in the order they were recorded.

    Raises:
        StorageError: They cannot be read.
    """
    if not (state_dir / FILE_NAME).exists():
        return []
    store = EventStore(state_dir, read_only=True)
    try:
        return store.events(since, limit)
    finally:
        store.close()


def read_stories(state_dir: Path) -> dict[str, Story]:
    """Everything there is, by id, in the order of its beginning.

    Raises:
        StorageError: It cannot be read.
    """
    stories: dict[str, Story] = {}
    for step in read_steps(state_dir):
        stories.setdefault(step.id, Story(step.id)).steps.append(step)
    for event_id, kept in EvidenceReader(state_dir).kept().items():
        stories.setdefault(event_id, Story(event_id)).kept = kept
    return dict(sorted(stories.items(), key=lambda item: item[1].began_at))


def find_story(stories: Mapping[str, Story], text: str) -> Story:
    """The one that ``text`` means: an id, its beginning or its end, or ``last``.

    Raises:
        UsageError: There is none, or more than one; the text says which there are.
    """
    wanted = text.strip().lower()
    if wanted == LAST:
        alerts = [story for story in stories.values() if story.alerts or story.kept]
        if not alerts:
            raise UsageError("there has been no alert yet")
        return alerts[-1]
    found = [
        story
        for story in stories.values()
        if wanted and (story.id.startswith(wanted) or story.id.endswith(wanted))
    ]
    exact = [story for story in found if story.id == wanted]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        shown = _listed(story.id for story in found[-_MANY:])
        raise UsageError(f"{text!r} fits {len(found)} events, give more of the id: {shown}")
    if not stories:
        raise UsageError(f"there is no event {text!r}: nothing has been recorded yet")
    near = difflib.get_close_matches(wanted, stories, _NEAR, 0.75)
    if near:
        raise UsageError(f"there is no event {text!r}; did you mean {_listed(near)}")
    newest = _listed(list(stories)[-_NEAR:])
    raise UsageError(f"there is no event {text!r}; the newest: {newest}")


def why_without(state_dir: Path, story: Story) -> str:
    """Why it has no evidence, as far as that can be known; empty where it has."""
    if story.kept is not None:
        return ""
    if not story.alerts:
        return "a fault of the microphone has none"
    known = EvidenceReader(state_dir).why_absent(story.id)
    if known:
        return known
    last = story.alerts[-1]
    age_s = time.time() - parse_rfc3339(last.started_at)
    if last.type is not EventType.END and 0 <= age_s < _YOUNG_S:
        return "it is written once the sound after the alert is there: look again in half a minute"
    if last.evidence is not None:
        return "somebody removed it"
    return "none was kept: evidence was switched off, or the daemon ended before it was complete"


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(ids)
