"""The closing words."""

from __future__ import annotations

from pathlib import Path

from edge_asd.demo.plan import FAULT_TEXT, MONITOR
from edge_asd.demo.story import Story, clock


def verdict(story: Story, dropped: int) -> list[str]:
    """What happened, a line each; starts with whether it came out.

    Args:
        story: After its end.
        dropped: Messages that came faster than they could be shown.
    """
    plan, alert, problems = story.plan, story.alert, story.problems()
    lines = [f"The story did not come out: {problem}" for problem in problems]
    if not problems:
        lines.append("The daemon heard the fault, said so, and said when it was gone.")
    before = [a for a in story.false_alarms if a.raised_s < plan.onset_s]
    lines += [
        "",
        _row("enrolled on", f"{plan.enrol_s:.0f} s of normal sound; listening {_at(story)}"),
        _row("false alarms", f"{len(before)} before the fault"),
        _row("fault began", f"{clock(plan.onset_s)}, {FAULT_TEXT}, full after {plan.ramp_s:.0f} s"),
    ]
    if alert is not None:
        severity = plan.severity_at(alert.raised_s)
        late_s = alert.raised_s - plan.onset_s
        worse = ""
        if alert.alarm_s is not None and alert.first != "alarm":
            worse = f", then alarm at {clock(alert.alarm_s)}"
        lines += [
            _row(
                "alert",
                f"{clock(alert.raised_s)}, {late_s:.0f} s later, at fault severity {severity:.0%}",
            ),
            _row("severity", f"{alert.first}{worse}"),
            _row(
                "score",
                f"{alert.score:.2f} of threshold {alert.threshold:.2f}, "
                f"highest reported {alert.highest:.2f}",
            ),
        ]
    lines.append(_row("repaired", clock(plan.clear_s)))
    if alert is not None and alert.ended_s is not None:
        after_s = alert.ended_s - plan.clear_s
        lines.append(_row("all-clear", f"{clock(alert.ended_s)}, {after_s:.0f} s after the repair"))
    lines += [
        _row(
            "MQTT messages",
            f"{story.messages} received" + (f", {dropped} dropped" if dropped else ""),
        ),
        _row("times", f"of the stream, which ran at {plan.speed:g} x real time"),
    ]
    return lines


def next_steps(folder: Path, program: str) -> list[str]:
    """Where things are and what to type next."""
    state_dir = folder / "state"
    return [
        "",
        f"Configuration, state and log are kept in {folder}",
        f"  {program} events --state-dir {state_dir}",
        "With a microphone of your own:",
        f"  {program} devices",
        f"  {program} enrol --monitor {MONITOR}-1 --source alsa: --seconds 600",
        f"  {program} run --monitor {MONITOR}-1 --source alsa: --mqtt mqtt://BROKER",
    ]


def how_to_join(port: int, metrics_url: str, folder: Path, program: str) -> list[str]:
    """How to look at a demo that is left running."""
    return [
        "",
        "It is left running; Ctrl-C ends it. Meanwhile:",
        f"  mosquitto_sub -h 127.0.0.1 -p {port} -t 'edge-asd/#' -v",
        f"  curl {metrics_url}",
        f"  {program} status --state-dir {folder / 'state'}",
    ]


def _at(story: Story) -> str:
    return "never" if story.listening_s is None else f"from {clock(story.listening_s)}"


def _row(name: str, text: str) -> str:
    return f"  {name:14} {text}"
