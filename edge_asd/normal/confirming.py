"""What confirming an alert as normal changes: found out before anything is changed.

Every alert whose sound is kept is scored once more, with the profile in force and with the changed
one: those that would have been raised and would not be any more are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_asd.cli.events_find import Story, find_story, read_stories, why_without
from edge_asd.clock import rfc3339
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.errors import DataError, UsageError
from edge_asd.normal.alert_sound import AlertSound, AlertViews, embed_alert, read_alert_sound
from edge_asd.normal.rescoring import Preview, Rescored, rescore_all, rescored, severity_of
from edge_asd.profile import Profile
from edge_asd.profile.target_store import BUDGET_BYTES, audio_bytes, read_sound
from edge_asd.profile.targets import MAX_TARGETS, Change, Recording, choose_windows

DEFAULT_DAYS = 90.0
DAY_S = 86400.0

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A change that is ready to be made."""

    recording: Recording
    sound: AlertSound
    preview: Preview
    created_at: str
    """Of the profile it was made for."""

    def applied(self, profile: Profile) -> Profile:
        """The profile with the change; it may have been recalibrated meanwhile."""
        one = self.recording
        change = Change(one.at, "confirmed", one.event_id, one.by, len(one.chosen))
        return profile.with_recordings([*profile.recordings, one], change)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator says of an alert."""

    event: str
    """Its id, or enough of it."""
    by: str
    days: float | None
    """How long it is to count; None for ever."""
    rescore: bool = True
    """Look what else it would have masked."""


def find_alert(state_dir: Path, text: str) -> Story:
    """The alert that is meant, with its evidence.

    Raises:
        UsageError: There is none, or more than one.
        DataError: It has no evidence, or is no alert.
    """
    story = find_story(read_stories(state_dir), text)
    if story.kept is None:
        why = why_without(state_dir, story)
        raise DataError(f"{story.id}: its sound is not kept: {why}; nothing can be learned from it")
    if any(step.rehearsal for step in story.alerts):
        raise DataError(f"{story.id}: was a rehearsal, no sound of the machine")
    return story


def plan_confirmation(
    networks: NetworkSet,
    profile: Profile,
    state_dir: Path,
    wish: Wish,
    *,
    now: float,
    progress: Progress,
) -> Plan:
    """Find out what confirming an alert as normal would change.

    Args:
        networks: Of the profile's bundle.
        profile: In force.
        state_dir: Where alerts and their evidence lie.
        wish: What the operator says.
        now: Wall time, seconds since 1970 UTC.
        progress: Told how far it is.

    Raises:
        UsageError: It is confirmed already, or there is no room.
        DataError: Its sound cannot be used.
    """
    progress(0.0, "listening to the alert")
    story = find_alert(state_dir, wish.event)
    if story.kept is None or story.monitor != profile.monitor:
        raise UsageError(f"{story.id}: is an alert of {story.monitor}, not of {profile.monitor}")
    room = _room(profile, state_dir, story.id)
    embedder = WindowEmbedder(networks)
    sound = read_alert_sound(story.kept)
    heard = embed_alert(sound, embedder, profile.gain_db)
    recording = Recording(
        event_id=story.id,
        by=wish.by,
        at=rfc3339(now),
        expires_at=None if wish.days is None else rfc3339(now + wish.days * DAY_S),
        began_at=story.began_at,
        severity=severity_of(story),
        audio=f"{story.id}.flac",
        rests_s=sound.rests_s,
        views=heard.views,
        chosen=_chosen(profile, heard, room),
    )
    changed = profile.with_recordings([*profile.recordings, recording])
    others: list[Rescored] = []
    unreadable: list[str] = []
    if wish.rescore:
        past = [other for other in read_stories(state_dir).values() if _comparable(other, story)]
        others, unreadable = rescore_all(
            past,
            embedder,
            profile,
            changed,
            lambda done: progress(0.1 + 0.9 * done, "scoring past alerts again"),
        )
    progress(1.0, "done")
    preview = Preview(
        event_id=story.id,
        monitor=profile.monitor,
        windows=len(recording.chosen),
        windows_now=profile.targets.windows if profile.targets else 0,
        windows_most=MAX_TARGETS,
        threshold_before=profile.calibration.threshold,
        threshold_after=changed.calibration.threshold,
        alarm_before=profile.calibration.alarm_threshold,
        alarm_after=changed.calibration.alarm_threshold,
        this=rescored(story, heard.views, profile, changed),
        others=tuple(others),
        unreadable=tuple(unreadable),
    )
    return Plan(recording, sound, preview, profile.created_at)


def undone(profile: Profile, text: str, by: str, now: float) -> Profile:
    """The profile without one recording.

    Raises:
        UsageError: No recording is meant by ``text``, or several are.
    """
    wanted = text.strip().lower()
    ids = [one.event_id for one in profile.recordings]
    found = [i for i in ids if wanted and (i.startswith(wanted) or i.endswith(wanted))]
    if len(found) != 1:
        known = ", ".join(found or ids) or "none"
        many = "means several" if found else "is not among them"
        raise UsageError(f"{profile.monitor}: {text!r} {many}; confirmed as normal are: {known}")
    gone = next(one for one in profile.recordings if one.event_id == found[0])
    change = Change(rfc3339(now), "undone", gone.event_id, by, len(gone.chosen))
    return profile.with_recordings([r for r in profile.recordings if r is not gone], change)


def expired(profile: Profile, now: float) -> Profile | None:
    """The profile without recordings whose time is over; None if there are none."""
    at = rfc3339(now)
    over = [one for one in profile.recordings if one.expired(at)]
    if not over:
        return None
    changes = [Change(at, "expired", one.event_id, one.by, len(one.chosen)) for one in over]
    left = [one for one in profile.recordings if not one.expired(at)]
    return profile.with_recordings(left, *changes)


def heard_again(
    networks: NetworkSet, profile: Profile, recordings: Sequence[Recording], state_dir: Path
) -> Profile:
    """A profile of another bundle with what was confirmed before, from its kept audio.

    Args:
        networks: Of the profile's bundle.
        profile: Without targets.
        recordings: What was confirmed, with the old profile.
        state_dir: Where their audio lies.

    Raises:
        DataError: Audio of a recording is missing or damaged.
    """
    embedder = WindowEmbedder(networks)
    for one in recordings:
        sound = read_sound(state_dir, profile.monitor, one.audio, one.rests_s)
        heard = embed_alert(sound, embedder, profile.gain_db)
        room = MAX_TARGETS - (profile.targets.windows if profile.targets else 0)
        again = replace(one, views=heard.views, chosen=_chosen(profile, heard, max(1, room)))
        profile = profile.with_recordings([*profile.recordings, again])
    return profile


def _chosen(profile: Profile, heard: AlertViews, room: int) -> NDArray[np.intp]:
    return choose_windows(
        profile.targets.enrolled if profile.targets else profile.detector,
        profile.few,
        profile.recordings,
        heard.views,
        heard.rests,
        enough=profile.calibration.usual,
        room=room,
    )


def _comparable(other: Story, story: Story) -> bool:
    return other.kept is not None and other.monitor == story.monitor and other.id != story.id


def _room(profile: Profile, state_dir: Path, event_id: str) -> int:
    """Windows that may still join.

    Raises:
        UsageError: None, or the alert is confirmed already.
    """
    if any(one.event_id == event_id for one in profile.recordings):
        raise UsageError(f"{event_id}: is confirmed as normal already; see edge-asd normal --list")
    room = MAX_TARGETS - (profile.targets.windows if profile.targets else 0)
    if room > 0 and audio_bytes(state_dir, profile.monitor) < BUDGET_BYTES:
        return room
    if profile.targets is None:
        raise UsageError(f"{profile.monitor}: no room is left for the sound of targets")
    # Least is lost by the one that the others explain best.
    reached = profile.targets.reached(profile.persistence)
    order = sorted(range(len(reached)), key=lambda index: reached[index])
    listed = ", ".join(profile.recordings[index].event_id for index in order[:3])
    raise UsageError(
        f"{profile.monitor}: {profile.targets.windows} of {MAX_TARGETS} windows are confirmed as "
        f"normal, there is no room for more; undo what is missed least: {listed}"
    )
