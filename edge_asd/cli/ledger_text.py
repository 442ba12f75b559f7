"""How the ledger reads: for people in their own time zone, for scripts in UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from edge_asd.books.ledger_timeline import Account
from edge_asd.books.ledger_view import Passage, Summary, longest_unscored, summarise, within
from edge_asd.clock import rfc3339

_LONGEST = 5
_QUIET_S = 120  # a running daemon writes more often

WHY = {
    Account.GAPPED: "audio was lost",
    Account.DROPPED: "no time to score it",
    Account.INHIBITED: "an operator asked for silence",
    Account.IDLE: "the machine was off",
    Account.BASELINING: "normal sound was being learned",
    Account.MICROPHONE_FAULT: "the microphone was missing, dead or covered",
    Account.STARTING: "edge-asd was starting",
    Account.DOWN: "edge-asd was not running, or was killed",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger has of one monitor in the span that was asked for."""

    monitor: str
    passages: Sequence[Passage]
    """At least one."""

    @property
    def summary(self) -> Summary:
        """All of it together."""
        summary = summarise(self.passages)
        assert summary is not None
        return summary


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the zone that the reader is in."""

    day: date
    summary: Summary


def days_of(passages: Sequence[Passage]) -> Iterator[Day]:
    """Cut passages at local midnights; days without any are left out.

    A day within them lasts from midnight to midnight, also where the clock was set at one.
    """
    first_s, last_s = passages[0].begin_s, passages[-1].end_s
    cut: dict[date, list[Passage]] = {}
    for passage in passages:
        day = datetime.fromtimestamp(passage.begin_s).astimezone().date()
        while (begin_s := _midnight(day)) < passage.end_s:
            following = day + timedelta(days=1)
            cut.setdefault(day, []).extend(within([passage], begin_s, _midnight(following)))
            day = following
    for day, some in sorted(cut.items()):
        summary = summarise(some)
        if summary is None:
            continue
        begin_s, end_s = _midnight(day), _midnight(day + timedelta(days=1))
        begin_s = begin_s if begin_s >= first_s else summary.begin_s
        end_s = end_s if end_s <= last_s else summary.end_s
        yield Day(day, summary.over(begin_s, end_s))


def json_of(kept: Sequence[Kept], *, by_day: bool) -> dict[str, Any]:
    """Everything for scripts: times in RFC 3339 UTC, every account."""
    return {"schema": 1, "monitors": [_monitor_json(one, by_day=by_day) for one in kept]}


def text_of(kept: Kept, now_s: float, *, by_day: bool) -> Iterator[str]:
    """Lines about one monitor."""
    summary = kept.summary
    yield f"{kept.monitor}  {_moment(summary.begin_s)} to {_moment(summary.end_s)}"
    if by_day:
        yield from _day_table(list(days_of(kept.passages)))
    else:
        yield from _account_table(summary)
    if summary.clock_steps_s:
        way = "forward" if summary.clock_steps_s > 0 else "back"
        yield f"  the clock was set {way} by {abs(summary.clock_steps_s)} s in that time"
    if now_s - summary.end_s > _QUIET_S:
        yield f"  nothing was written since {_moment(summary.end_s)}: edge-asd does not run, or"
        yield "  its disk refuses; the next start counts what is missing as down"
    longest = longest_unscored(kept.passages, _LONGEST)
    if longest:
        yield "  longest not scored:"
    for passage in longest:
        span = _span(passage.end_s - passage.begin_s)
        account = passage.account
        yield f"    {_moment(passage.begin_s)}  {span:>14}  {account.value}: {WHY[account]}"


def _account_table(summary: Summary) -> Iterator[str]:
    for account, seconds in summary.seconds.items():
        if seconds or account is Account.SCORED:
            yield _row(account.value, seconds, summary.accounted_s)
    yield _row("sum", summary.accounted_s, summary.accounted_s)
    yield f"  {'wall time':<16} {summary.end_s - summary.begin_s:>12} s"


def _row(name: str, seconds: int, total: int) -> str:
    return f"  {name:<16} {seconds:>12} s {seconds / total:>8.2%}  {_span(seconds):>14}"


def _day_table(days: Sequence[Day]) -> Iterator[str]:
    """Seconds of every account that has any, a line a day."""
    accounts = [a for a in Account if any(day.summary.seconds[a] for day in days)]
    names = "".join(f" {account.value:>{_width(account)}}" for account in accounts)
    yield f"  {'day':<10} {'coverage':>9} {'sum':>9} {'wall time':>9}{names}   (seconds)"
    for day in days:
        cells = "".join(f" {day.summary.seconds[a]:>{_width(a)}}" for a in accounts)
        summary = day.summary
        wall_s = summary.end_s - summary.begin_s
        sums = f"{summary.coverage:>9.2%} {summary.accounted_s:>9} {wall_s:>9}"
        yield f"  {day.day} {sums}{cells}"


def _width(account: Account) -> int:
    return max(8, len(account.value))


def _monitor_json(kept: Kept, *, by_day: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"monitor": kept.monitor, **_summary_json(kept.summary)}
    found["longest_unscored"] = [
        {
            "from": rfc3339(p.begin_s),
            "to": rfc3339(p.end_s),
            "seconds": p.end_s - p.begin_s,
            "account": p.account.value,
        }
        for p in longest_unscored(kept.passages, _LONGEST)
    ]
    if by_day:
        found["days"] = [
            {"day": day.day.isoformat(), **_summary_json(day.summary)}
            for day in days_of(kept.passages)
        ]
    return found


def _summary_json(summary: Summary) -> dict[str, Any]:
    return {
        "from": rfc3339(summary.begin_s),
        "to": rfc3339(summary.end_s),
        "coverage": round(summary.coverage, 6),
        "seconds": {account.value: seconds for account, seconds in summary.seconds.items()},
        "accounted_s": summary.accounted_s,
        "wall_s": summary.end_s - summary.begin_s,
        "clock_steps_s": summary.clock_steps_s,
    }


def _midnight(day: date) -> int:
    return int(datetime.combine(day, datetime.min.time()).astimezone().timestamp())


def _moment(at_s: int) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _span(seconds: int) -> str:
    """Days and clock: ``2 d 03:04:05``."""
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
