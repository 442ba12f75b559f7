"""How thresholds and their previews read: for people in their own time zone, for scripts in UTC."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_asd.clock import rfc3339
from edge_asd.preview.previewing import Day, Heard, Setting, Trial, Tuning
from edge_asd.preview.replaying import WouldBeAlert
from edge_asd.score.calibrate import rate_text

_LISTED = 20
"""Alerts that are listed for each setting; --json has all."""
_NARROWEST, _WIDEST = 16, 48


@dataclass(frozen=True, slots=True)
class Shown:
    """A monitor, and what was tried for it."""

    monitor: str
    enrolled_at: str
    tuning: Tuning
    heard: Heard
    trials: tuple[Trial, ...] = ()
    """The rarest alerts first; one is in force."""
    days: tuple[Day, ...] = ()


# For people


def standing_text(shown: Shown) -> Iterator[str]:
    """What is in force, and how much history there is."""
    calibration = shown.tuning.profile.calibration
    yield (
        f"{shown.monitor}: threshold {calibration.threshold:.2f}, alarm "
        f"{calibration.alarm_threshold:.2f}, an alert ends below {calibration.clear_below:.2f}"
    )
    provisional = ": provisional, it follows quiet listening" if calibration.provisional else ""
    yield (
        f"  false alarms a week: {calibration.asked_per_week:g} asked for, "
        f"{rate_text(calibration.supported_per_week)} supported by what was heard{provisional}"
    )
    yield f"  {_history(shown.heard)}"


def preview_text(shown: Shown) -> Iterator[str]:
    """Everything about one monitor's preview."""
    yield f"{shown.monitor}: {_history(shown.heard)}"
    yield ""
    yield from _trials(shown)
    yield ""
    yield from _day_table(shown)
    for trial in shown.trials:
        if trial.alerts:
            yield ""
            yield from _alerts(trial)
    yield ""
    yield from _advice(shown)


def _history(heard: Heard) -> str:
    others = ""
    if heard.others:
        others = (
            f"; {heard.others_s / 3600.0:.1f} h more were scored with other profiles and do not "
            "compare"
        )
    if not heard.scores:
        return f"no history yet{others}"
    return (
        f"{heard.heard_s / 3600.0:.1f} h of history from {_moment(heard.from_s)} to "
        f"{_moment(heard.to_s)}{others}"
    )


def _trials(shown: Shown) -> Iterator[str]:
    yield "  would have been raised:"
    yield (
        f"  {'false alarms a week':>19} {'threshold':>10} {'alarm at':>9} {'alerts':>7} "
        f"{'alarms':>7} {'days':>5} {'longest':>10}"
    )
    for trial in shown.trials:
        setting, alerts = trial.setting, trial.alerts
        alarms = sum(alert.severity.value == "alarm" for alert in alerts)
        longest_s = max((alert.duration_s for alert in alerts), default=None)
        yield (
            f"{'→' if setting.in_force else ' ':>2}{_label(setting):>19} "
            f"{setting.thresholds.warning:>10.2f} {setting.thresholds.alarm:>9.2f} "
            f"{len(alerts):>7} {alarms:>7} {len(trial.by_day()):>5} {_span(longest_s):>10}"
        ).rstrip()
    yield "  → in force now"
    if any(trial.setting.provisional for trial in shown.trials):
        supported = shown.tuning.profile.calibration.supported_per_week
        yield (
            f"  * provisional: rarer than the {rate_text(supported)} a week that what was heard "
            "supports, so extrapolated"
        )
    if any(trial.setting.rate_per_week is None for trial in shown.trials):
        yield (
            "  - no rate gives this threshold: rates up to 10000 a week lead to "
            f"{shown.tuning.lowest_threshold:.2f} and more, which normal sound has reached"
        )


def _label(setting: Setting) -> str:
    if setting.rate_per_week is None:
        return "- "
    return f"{setting.rate_per_week:g}{'*' if setting.provisional else ' '}"


def _day_table(shown: Shown) -> Iterator[str]:
    """A line a day: a bar of its scores, and how many alerts every setting gives."""
    thresholds = [trial.setting.thresholds.warning for trial in shown.trials]
    now = next(t.setting.thresholds.warning for t in shown.trials if t.setting.in_force)
    counts = [trial.by_day() for trial in shown.trials]
    left = f"  {'day':<14} {'heard':>6} {'median':>7} {'largest':>8}  "
    right = "".join(f"{_label(trial.setting).strip():>8}" for trial in shown.trials)
    room = shutil.get_terminal_size().columns - len(left) - len(right)
    width = max(_NARROWEST, min(_WIDEST, room))
    usual = min(day.median for day in shown.days)
    margin = max(0.2 * (max(thresholds) - usual), 1e-6)
    low, high = usual - margin, max(usual, *thresholds) + margin  # far above is shown as just that
    yield (
        "  scores by day: █ up to the median, ░ up to the largest, ┃ the threshold in force, "
        "│ the others;"
    )
    yield "  on the right the alerts that begin on that day"
    yield f"{left}{'':<{width}}{right}"
    for day in shown.days:
        picture = score_bar(day, thresholds, now, low=low, high=high, width=width)
        numbers = "".join(f"{count[day.day] or '·':>8}" for count in counts)
        median = round(day.median, 2) + 0.0  # no minus before a zero
        yield (
            f"  {day.day:%Y-%m-%d %a} {day.heard_s / 3600.0:>4.1f} h {median:>7.2f} "
            f"{day.largest:>8.2f}  {picture}{numbers}"
        )


def score_bar(
    day: Day, thresholds: Sequence[float], now: float, *, low: float, high: float, width: int
) -> str:
    """A day's scores against the thresholds, in cells.

    >>> from datetime import date
    >>> score_bar(Day(date(2026, 1, 1), 1.0, 2.0, 5.0), [7.0], 7.0, low=0.0, high=10.0, width=10)
    '██░░░  ┃  '
    >>> score_bar(Day(date(2026, 1, 1), 1.0, 2.0, 50.0), [7.0, 4.0], 7.0, low=0, high=10, width=10)
    '██░░│░░┃░▶'
    """

    def cell(value: float) -> int:
        return min(width, max(0, round((value - low) / (high - low) * width)))

    filled, reached = cell(day.median), cell(day.largest)
    cells = ["█"] * filled + ["░"] * (reached - filled) + [" "] * (width - reached)
    for threshold in thresholds:
        cells[min(width - 1, cell(threshold))] = "┃" if threshold == now else "│"
    cells[min(width - 1, cell(now))] = "┃"
    if day.largest > high:
        cells[-1] = "▶"
    return "".join(cells)


def _alerts(trial: Trial) -> Iterator[str]:
    setting = trial.setting
    rate = f"{setting.rate_per_week:g} a week, " if setting.rate_per_week is not None else ""
    yield f"  alerts with {rate}threshold {setting.thresholds.warning:.2f}:"
    earlier = len(trial.alerts) - _LISTED
    if earlier > 0:
        yield f"    {earlier} earlier ones are not listed; --json has them all"
    for alert in trial.alerts[-_LISTED:]:
        going_on = "  still going on" if alert.ended_at is None else ""
        yield (
            f"    {_moment(alert.started_at)}  {_span(alert.duration_s):>10}  "
            f"{alert.severity.value:<7}  peak {alert.peak:.2f}{going_on}"
        )


def _advice(shown: Shown) -> Iterator[str]:
    """What to write to have another row."""
    others = [trial.setting for trial in shown.trials if not trial.setting.in_force]
    rates = [s.rate_per_week for s in others if s.rate_per_week is not None]
    if shown.tuning.profile.calibration.method == "largest_plus_margin":
        yield (
            "  too little was heard for the rate to count: every rate gives the same threshold; "
            "enrol with more sound"
        )
        return
    if not rates:
        return
    yield "  to have another row, write its rate into the operator's file and start edge-asd anew:"
    yield "    monitors:"
    yield f"      - name: {shown.monitor}"
    yield "        alert:"
    yield f"          false_alarms_per_week: {rates[0]:g}"


def _moment(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: float | None) -> str:
    """A duration in the unit that fits.

    >>> [_span(seconds) for seconds in (75.4, 600.0, 7200.0, 400_000.0, None)]
    ['75 s', '10 min', '2.0 h', '4.6 d', '']
    """
    if seconds is None:
        return ""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    if seconds < 7200.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.1f} h" if seconds < 172_800.0 else f"{seconds / 86_400.0:.1f} d"


# For scripts


def json_of(shown: Sequence[Shown]) -> dict[str, Any]:
    """Everything: times in RFC 3339 UTC, all alerts."""
    return {"schema": 1, "monitors": [_monitor_json(one) for one in shown]}


def _monitor_json(shown: Shown) -> dict[str, Any]:
    heard, calibration = shown.heard, shown.tuning.profile.calibration
    found: dict[str, Any] = {
        "monitor": shown.monitor,
        "enrolled_at": shown.enrolled_at,
        "threshold": calibration.threshold,
        "alarm_threshold": calibration.alarm_threshold,
        "clear_below": calibration.clear_below,
        "asked_per_week": calibration.asked_per_week,
        "supported_per_week": calibration.supported_per_week,
        "provisional": calibration.provisional,
        "history": {
            "scores": heard.scores,
            "hours": round(heard.heard_s / 3600.0, 3),
            "from": None if math.isnan(heard.from_s) else rfc3339(heard.from_s),
            "to": None if math.isnan(heard.to_s) else rfc3339(heard.to_s),
            "other_profiles_hours": round(heard.others_s / 3600.0, 3),
        },
    }
    if shown.trials:
        found["trials"] = [_trial_json(trial) for trial in shown.trials]
        found["days"] = [
            {
                "day": day.day.isoformat(),
                "hours": round(day.heard_s / 3600.0, 3),
                "median": day.median,
                "largest": day.largest,
            }
            for day in shown.days
        ]
    return found


def _trial_json(trial: Trial) -> dict[str, Any]:
    setting = trial.setting
    return {
        "rate_per_week": setting.rate_per_week,
        "threshold": setting.thresholds.warning,
        "alarm_threshold": setting.thresholds.alarm,
        "clear_below": setting.thresholds.clear_below,
        "provisional": setting.provisional,
        "in_force": setting.in_force,
        "alerts": [_alert_json(alert) for alert in trial.alerts],
        "alerts_by_day": {day.isoformat(): count for day, count in sorted(trial.by_day().items())},
    }


def _alert_json(alert: WouldBeAlert) -> dict[str, Any]:
    return {
        "started_at": rfc3339(alert.started_at),
        "ended_at": None if alert.ended_at is None else rfc3339(alert.ended_at),
        "duration_s": round(alert.duration_s, 3),
        "severity": alert.severity.value,
        "peak": alert.peak,
    }
