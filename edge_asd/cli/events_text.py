"""How alerts read: for people in lines, for scripts as JSON. Times are UTC in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_asd.cli.events_find import Step, Story
from edge_asd.cli.normal_text import said_of
from edge_asd.evidence.reader import read_json
from edge_asd.evidence.records import CLIP, DETAILS, SPECTROGRAM, Kept
from edge_asd.profile.profile_file import RecordingSection
from edge_asd.publish.messages import EventMessage, MicrophoneMessage
from edge_asd.records import EventType

_NAMES = {CLIP: "sound", SPECTROGRAM: "picture", DETAILS: "details"}
_ABOUT = 13  # width of the first column


def line_of(step: Step, kept: Mapping[str, Kept]) -> str:
    """One step in the list."""
    head = f"{step.updated_at}  {step.source:16} {step.type.value:6} "
    if isinstance(step, MicrophoneMessage):
        return (
            f"{head}{'unheard':7} {step.fault:23}  {step.duration_s or 0:6.0f} s  "
            f"{'-':8}  {step.id}  {step.reason}"
        )
    return (
        f"{head}{step.severity.value:7} score {_number(step.score):>8} of "
        f"{_number(step.threshold):>6}  {step.duration_s or 0:6.0f} s  "
        f"{_mark(kept.get(step.id)):8}  {step.id}  {_remarks(step)}"
    ).rstrip()


def _remarks(step: EventMessage) -> str:
    held = "held back by a snooze" if step.held else ""
    noted = f"noted by {step.acked_by}" if step.acked_by else ""
    return ", ".join(text for text in (step.reason, held, noted) if text)


def text_of(story: Story, missing: str, confirmed: RecordingSection | None = None) -> Iterator[str]:
    """Everything about one alert.

    Args:
        story: The alert or fault.
        missing: Why it has no evidence.
        confirmed: Its confirmation as normal, while that is in force.
    """
    yield from _heading(story)
    if confirmed is not None:
        yield _row("no fault", said_of(confirmed))
    if story.steps:
        yield ""
        yield "steps"
        evidence = False
        for step in story.steps:
            yield f"  {_step(step, evidence_before=evidence)}"
            evidence = _has_evidence(step)
    yield ""
    if story.kept is None:
        yield _row("evidence", missing)
        return
    yield from _evidence(story.kept)


def json_of(
    story: Story, missing: str, confirmed: RecordingSection | None = None
) -> dict[str, Any]:
    """The same for scripts."""
    kept = story.kept
    return {
        "id": story.id,
        "monitor": story.monitor,
        "steps": [step.model_dump(mode="json", by_alias=True) for step in story.steps],
        "evidence": None if kept is None else _evidence_json(kept),
        "evidence_missing": missing,
        "confirmed_normal": (
            None
            if confirmed is None
            else {"by": confirmed.by, "at": confirmed.at, "expires_at": confirmed.expires_at}
        ),
    }


def duration(seconds: float | None) -> str:
    """Seconds for people.

    >>> duration(14.2), duration(192.0), duration(7400.0), duration(200000.0)
    ('14 s', '3 min 12 s', '2 h 3 min', '2 d 7 h')
    """
    whole = round(seconds or 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def _heading(story: Story) -> Iterator[str]:
    last = story.steps[-1] if story.steps else None
    if isinstance(last, EventMessage):
        yield f"{last.severity.value} of {last.source} on {last.device}"
    elif last is not None:
        yield f"{last.source} on {last.device} cannot be heard: {last.fault}"
    elif story.kept is not None:
        record = story.kept.record
        yield f"{record.severity.value} of {record.monitor} on {record.device}"
    yield _row("id", story.id)
    yield _row("began", story.began_at)
    if last is None:
        yield _row("steps", "none are recorded any more")
        return
    going_on = last.type is not EventType.END
    ended = "not yet, it goes on" if going_on else f"{last.ended_at or last.updated_at}"
    yield _row("ended", ended if going_on or not last.reason else f"{ended}, {last.reason}")
    yield _row("lasted", duration(last.duration_s))
    if isinstance(last, EventMessage):
        yield from _numbers(story.alerts)
    else:
        yield _row("why", story.steps[0].reason)


def _numbers(steps: list[EventMessage]) -> Iterator[str]:
    last = steps[-1]
    highest = max((step.score for step in steps if step.score is not None), default=None)
    yield _row("score", f"at most {_number(highest)}, threshold {_number(last.threshold)}")
    if last.threshold_kind:
        yield _row("threshold", last.threshold_kind)
    percentile = max((s.percentile for s in steps if s.percentile is not None), default=None)
    if percentile is not None:
        share = "all" if percentile >= 100.0 else f"{percentile:.1f} %"
        yield _row("unusual", f"above {share} of the normal sound it was compared with")
    windows = last.windows
    yield _row(
        "heard",
        f"{_share(last.coverage)} of the time; windows: {windows.scored} scored, "
        f"{windows.gapped} lost, {windows.dropped} dropped",
    )
    level = "" if last.audio.dbfs is None else f"{last.audio.dbfs:.1f} dBFS"
    yield _row("level", level or "unknown")
    yield _row("most like", last.nearest_center or "nothing it knows")
    yield _row("model", f"{last.model.name} {last.model.version}, {last.model.backend}")


def _step(step: Step, *, evidence_before: bool) -> str:
    line, said = f"{step.updated_at}  {step.type.value:6}  ", step.reason
    if isinstance(step, EventMessage):
        line += f"{step.severity.value:7}  score {_number(step.score):>8}  "
        kept = _has_evidence(step) and not evidence_before
        said = ", ".join(filter(None, (_remarks(step), "evidence kept" if kept else "")))
    return f"{line}{duration(step.duration_s):>10}  {said}".rstrip()


def _has_evidence(step: Step) -> bool:
    return isinstance(step, EventMessage) and step.evidence is not None


def _evidence(kept: Kept) -> Iterator[str]:
    pinned = ", pinned: it stays" if kept.pinned else ""
    yield _row("evidence", f"{kept.bytes / 1e6:.1f} MB{pinned}")
    for name in kept.files:
        there = "" if kept.path(name).exists() else "  (somebody removed it)"
        yield f"  {_NAMES.get(name, name):{_ABOUT - 2}}{kept.path(name)}{there}"
    details = read_json(kept, DETAILS) or {}
    summary = details.get("summary")
    if isinstance(summary, list) and summary:
        yield ""
        yield "what differs from normal"
        for sentence in summary:
            yield f"  {sentence}"
    yield from _nearest(details)


def _nearest(details: Mapping[str, Any]) -> Iterator[str]:
    score = details.get("score")
    nearest = score.get("nearest") if isinstance(score, dict) else None
    if isinstance(nearest, dict) and nearest.get("scorer"):
        yield f"  most like reference {nearest.get('reference')} of {nearest['scorer']}"


def _evidence_json(kept: Kept) -> dict[str, Any]:
    return {
        "folder": str(kept.folder),
        "bytes": kept.bytes,
        "pinned": kept.pinned,
        "files": {
            name: {"path": str(kept.path(name)), "bytes": file.bytes, "sha256": file.sha256}
            for name, file in kept.files.items()
        },
        "details": read_json(kept, DETAILS),
    }


def _row(about: str, text: str) -> str:
    return f"{about:{_ABOUT}}{text}"


def _mark(kept: Kept | None) -> str:
    if kept is None:
        return "-"
    return "pinned" if kept.pinned else "evidence"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value * 100:.1f} %"
