"""How confirmed sound reads: for people in lines, for scripts as JSON. Times are UTC in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_asd.profile.profile_file import Confirmed, RecordingSection
from edge_asd.profile.targets import MAX_TARGETS

_SHOWN = 12  # masked alerts that are listed


def preview_text(result: Mapping[str, Any]) -> Iterator[str]:
    """What a confirmation changes, or has changed; the last line says which."""
    this = result["this"]
    yield f"alert {result['event_id']} of {result['monitor']}, {this['severity']}"
    yield (
        f"its sound scores {_number(this['before'])} now, {_number(this['after'])} with "
        f"{result['windows']} of its windows as normal"
    )
    if not this["masked"] and this["raised_before"]:
        yield "it would be raised all the same: there is no room for enough of its windows"
    yield _threshold(result)
    yield from _masked(result)
    total = result["windows_now"] + result["windows"]
    until = "for ever" if result["expires_at"] is None else f"until {result['expires_at']}"
    if result["applied"]:
        yield f"confirmed as normal {until}; {total} of {result['windows_most']} windows are taken"
    else:
        yield f"it would count {until}; nothing is changed yet"


def undo_text(result: Mapping[str, Any]) -> str:
    """What taking one back has changed."""
    return (
        f"{result['monitor']}: {result['event_id']} is no longer normal; {_threshold(result)}, "
        f"{result['windows_now']} of {MAX_TARGETS} windows are taken"
    )


def list_text(found: Mapping[str, Confirmed]) -> Iterator[str]:
    """Everything that is confirmed."""
    if not any(one.recordings for one in found.values()):
        yield "nothing is confirmed as normal"
        return
    for name, confirmed in found.items():
        if not confirmed.recordings:
            continue
        taken = sum(len(one.chosen) for one in confirmed.recordings)
        yield f"{name}: {taken} of {MAX_TARGETS} windows"
        for one in confirmed.recordings:
            yield f"  {one.event_id}  {len(one.chosen):2} windows, {one.severity}; {said_of(one)}"


def list_json(found: Mapping[str, Confirmed]) -> dict[str, Any]:
    """The same for scripts, with the history."""
    return {
        "monitors": [
            {
                "monitor": name,
                "windows": sum(len(one.chosen) for one in confirmed.recordings),
                "windows_most": MAX_TARGETS,
                "confirmed": [
                    one.model_dump(mode="json", exclude={"chosen", "audio", "rests_s"})
                    | {"windows": len(one.chosen)}
                    for one in confirmed.recordings
                ],
                "changes": [change.model_dump(mode="json") for change in confirmed.changes],
            }
            for name, confirmed in found.items()
        ]
    }


def said_of(one: RecordingSection) -> str:
    """Who confirmed it, when, and until when it counts."""
    until = "for ever" if one.expires_at is None else f"until {one.expires_at}"
    return f"confirmed as normal by {one.by} on {one.at}, {until}"


def _masked(result: Mapping[str, Any]) -> Iterator[str]:
    masked, rescored = result["masked"], result["rescored"]
    if not rescored:
        yield "no other alert has its sound kept"
    elif not masked:
        yield f"of {rescored} other alerts whose sound is kept none would be masked"
    else:
        yield f"of {rescored} other alerts whose sound is kept {len(masked)} would be masked:"
        for one in masked[-_SHOWN:]:
            yield f"  {_line(one)}"
        if len(masked) > _SHOWN:
            yield f"  and {len(masked) - _SHOWN} older ones"
    if result["guarded"]:
        yield (
            f"WARNING: {len(result['guarded'])} of them are pinned or acknowledged: whoever did "
            "that took them for faults"
        )
    for why in result["unreadable"]:
        yield f"not scored: {why}"


def _line(one: Mapping[str, Any]) -> str:
    marks = ["pinned"] if one["pinned"] else []
    marks += [f"acknowledged by {one['acked_by']}"] if one["acked_by"] else []
    return (
        f"{one['began_at']}  {one['severity']:7}  {_number(one['before']):>8} -> "
        f"{_number(one['after']):>8}  {one['event_id']}  {', '.join(marks)}"
    ).rstrip()


def _threshold(result: Mapping[str, Any]) -> str:
    before, after = result["threshold_before"], result["threshold_after"]
    if before == after:
        return f"the threshold stays {before:.2f}"
    return f"the threshold goes from {before:.2f} to {after:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
