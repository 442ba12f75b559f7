"""Past alerts scored once more: which would a changed profile not have raised?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from edge_asd.cli.events_find import Story
from edge_asd.embed import WindowEmbedder
from edge_asd.errors import DataError
from edge_asd.normal.alert_sound import embed_alert, read_alert_sound
from edge_asd.profile import Profile
from edge_asd.profile.targets import largest_statistic
from edge_asd.score import Views


@dataclass(frozen=True, slots=True)
class Rescored:
    """An alert scored once more, before and after the change."""

    event_id: str
    began_at: str
    severity: str
    before: float
    """Largest decision statistic of its sound with the profile in force."""
    after: float
    """The same with the changed profile."""
    raised_before: bool
    raised_after: bool
    pinned: bool
    acked_by: str | None

    @property
    def masked(self) -> bool:
        """It would have been raised, and would not be any more."""
        return self.raised_before and not self.raised_after

    @property
    def guarded(self) -> bool:
        """Somebody took it for a fault: kept on purpose, or acknowledged."""
        return self.pinned or bool(self.acked_by)

    def to_json(self) -> dict[str, Any]:
        """For scripts and replies; null where the sound is too short for a statistic."""
        known = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }
        return known | {"masked": self.masked}


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change."""

    event_id: str
    monitor: str
    windows: int
    """Targets that join …"""
    windows_now: int
    """… those that are there already …"""
    windows_most: int
    """… of so many at most."""
    threshold_before: float
    threshold_after: float
    alarm_before: float
    alarm_after: float
    this: Rescored
    others: tuple[Rescored, ...]
    """All others whose sound is kept, oldest first; empty where they were not asked for."""
    unreadable: tuple[str, ...]
    """Alerts whose evidence cannot be scored, and why."""

    @property
    def masked(self) -> tuple[Rescored, ...]:
        """Other alerts that would not have been raised."""
        return tuple(one for one in self.others if one.masked)

    @property
    def guarded(self) -> tuple[Rescored, ...]:
        """Those among them that somebody took for a fault."""
        return tuple(one for one in self.masked if one.guarded)

    def to_json(self) -> dict[str, Any]:
        """For scripts and replies."""
        fields = asdict(self)
        del fields["others"]
        return fields | {
            "this": self.this.to_json(),
            "rescored": len(self.others),
            "still_raised": sum(one.raised_after for one in self.others),
            "masked": [one.to_json() for one in self.masked],
            "guarded": [one.event_id for one in self.guarded],
            "unreadable": list(self.unreadable),
        }


def rescored(story: Story, views: Views, before: Profile, after: Profile) -> Rescored:
    """Score the windows of an alert with two profiles."""
    old = largest_statistic(before.detector.fused_scores(views), before.persistence)
    new = largest_statistic(after.detector.fused_scores(views), after.persistence)
    acked = [step.acked_by for step in story.alerts if step.acked_by]
    return Rescored(
        event_id=story.id,
        began_at=story.began_at,
        severity=severity_of(story),
        before=old,
        after=new,
        raised_before=old >= before.calibration.threshold,
        raised_after=new >= after.calibration.threshold,
        pinned=story.kept is not None and story.kept.pinned,
        acked_by=acked[-1] if acked else None,
    )


def rescore_all(
    stories: Iterable[Story],
    embedder: WindowEmbedder,
    before: Profile,
    after: Profile,
    progress: Callable[[float], None],
) -> tuple[list[Rescored], list[str]]:
    """Score all alerts whose sound is kept; and what is wrong with those that cannot be."""
    known = [(story, story.kept) for story in stories]
    found: list[Rescored] = []
    unreadable: list[str] = []
    for number, (story, kept) in enumerate(known):
        progress(number / len(known))
        if kept is None:
            continue
        try:
            views = embed_alert(read_alert_sound(kept), embedder, before.gain_db).views
        except DataError as error:
            unreadable.append(f"{story.id}: {error}")
        else:
            found.append(rescored(story, views, before, after))
    return found, unreadable


def severity_of(story: Story) -> str:
    """The worst it reached, as far as that is known."""
    if story.alerts:
        return story.alerts[-1].severity.value
    return story.kept.record.severity.value if story.kept else ""
