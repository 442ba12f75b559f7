"""The live screen on a terminal: state, level, score against threshold, and what MQTT brings."""

from __future__ import annotations

import math

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from edge_asd.demo.chart import bar, chart, columns, row_of
from edge_asd.demo.now import Now
from edge_asd.demo.story import Step, clock
from edge_asd.demo.subscriber import Message

_STATE_STYLES = {
    "normal": "bold green",
    "warning": "bold yellow",
    "alarm": "bold red",
    "baselining": "bold cyan",
}
_LEAF_STYLES = {"event": "bold yellow", "alarm": "magenta", "state": "cyan"}
_STEPS = (
    ("enrol", (Step.STARTING, Step.ENROLLING, Step.LEARNING)),
    ("normal", (Step.NORMAL,)),
    ("fault", (Step.FAULT,)),
    ("repaired", (Step.REPAIRED,)),
)
_QUIETEST_DBFS = -60.0
_LABEL = 10  # cells before a bar
_SCALE = 8  # cells beside the chart
_FIXED_ROWS = 12
_EVENT_ROWS = 3


class LiveView:
    """Draws on a terminal, from the cursor downwards; what was there stays above.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def update(self, now: Now) -> None:
        """Draw the present."""
        width, height = self._console.size
        self._live.update(Group(*screen(now, width, height - 1)), refresh=True)

    def message(self, now: Now, message: Message) -> None:
        """Messages are drawn with everything else."""

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()


def screen(now: Now, width: int, height: int) -> list[Text]:
    """All lines of the screen, at most ``height``, none wider than ``width``."""
    free = max(4, height - _FIXED_ROWS)
    chart_rows = min(12, max(3, free * 2 // 5))
    lines = [
        _title(now, width),
        _steps(now),
        Text(f" {now.story.describe(now.at_s)}", style="bold"),
        _rule("the daemon", width),
        _state(now),
        _level(now, width),
        _score(now, width),
        _rule(
            f"score over time, a column is {_per_column(now, width) * now.plan.hop_s:.1f} s", width
        ),
        *_history(now, width, chart_rows),
        _rule(f"what a subscriber of {now.url} receives", width),
        *_messages(now, width, free - chart_rows),
        Text(f" {now.footer}", style="dim"),
    ]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _title(now: Now, width: int) -> Text:
    left = f" edge-asd demo   a simulated pump at {now.plan.speed:g} x real time"
    right = f"stream {clock(now.at_s)} "
    return Text(left + right.rjust(max(1, width - len(left))), style="reverse")


def _steps(now: Now) -> Text:
    step = now.story.step(now.at_s)
    current = next(i for i, (_, steps) in enumerate(_STEPS) if step in steps)
    line = Text(" ")
    for number, (name, _) in enumerate(_STEPS):
        sign, style = (
            ("✔", "green")
            if number < current
            else ("▶", "bold")
            if number == current
            else ("·", "dim")
        )
        line.append(f"{sign} {name}   ", style=style)
    return line


def _rule(title: str, width: int) -> Text:
    return Text(f"── {title} ".ljust(width, "─"), style="dim")


def _state(now: Now) -> Text:
    state = now.story.state
    line = Text(" state".ljust(_LABEL))
    line.append(f"● {state}", style=_STATE_STYLES.get(state, "dim"))
    if now.story.reason:
        line.append(f"   {now.story.reason}", style="dim")
    return line


def _level(now: Now, width: int) -> Text:
    level = now.level_dbfs
    share = 0.0 if math.isnan(level) else 1.0 - level / _QUIETEST_DBFS
    line = Text(" level".ljust(_LABEL))
    line.append(bar(share, _bar_width(width)), style="blue on grey15")
    line.append("  -" if math.isnan(level) else f"  {level:.1f} dBFS")
    return line


def _score(now: Now, width: int) -> Text:
    line = Text(" score".ljust(_LABEL))
    cells = _bar_width(width)
    if now.score is None or now.threshold is None:
        line.append(" " * cells, style="on grey15")
        return line.append("  none yet")
    # The threshold lies two thirds along.
    low = min(0.0, now.threshold)
    span = 1.5 * (now.threshold - low) or 1.0
    full = bar((now.score - low) / span, cells)
    mark = round(cells * 2 / 3)
    style = "red" if now.score >= now.threshold else "green"
    line.append(full[:mark], style=f"{style} on grey15")
    line.append("┃", style="bold white on grey15")
    line.append(full[mark + 1 :], style=f"{style} on grey15")
    return line.append(f"  {now.score:.2f} of {now.threshold:.2f}")


def _bar_width(width: int) -> int:
    return max(10, min(80, width - _LABEL - 20))


def _history(now: Now, width: int, rows: int) -> list[Text]:
    """The chart with its threshold and a row of marks: ``rows + 1`` lines."""
    if now.threshold is None or not now.scores:
        return [Text() for _ in range(rows + 1)]
    per_column = _per_column(now, width)
    values = columns(list(now.scores), per_column)
    low = min(0.0, *values, now.threshold)
    # A fault can score a hundred times the threshold; what matters is near it.
    high = max(1.25 * now.threshold, min(max(values), 2.5 * now.threshold), low + 1e-6)
    limit = row_of(now.threshold, low, high, rows)
    lines = []
    for number, row in enumerate(chart(values, low, high, rows)):
        line = Text(" ")
        for cell, value in zip(row, values, strict=True):
            if number == limit and cell == " ":
                line.append("┄", style="red")
            else:
                line.append(cell, style="red" if value >= now.threshold else "green")
        if number == limit:
            line.append("┄" * (width - _SCALE - 1 - len(values)), style="red dim")
            line.append(f" {now.threshold:.2f}", style="red")
        lines.append(line)
    return [*lines, _marks(now, per_column)]


def _per_column(now: Now, width: int) -> int:
    """Scores in a column of the chart: the whole story fits, and what is left running too."""
    expected = (now.plan.end_s - now.plan.enrol_s) / now.plan.hop_s
    return math.ceil(max(expected, len(now.scores)) / max(1, width - _SCALE - 1))


def _marks(now: Now, per_column: int) -> Text:
    line = Text(" ")
    first = now.scored - len(now.scores)
    for number, text in now.marks:
        column = (number - first) // per_column
        if number >= first and column >= len(line.plain) - 1:
            line.append(" " * (column + 1 - len(line.plain)))
            line.append(f"▲ {text}", style="bold")
    return line


def _messages(now: Now, width: int, rows: int) -> list[Text]:
    """The latest messages, newest last, and a line for the stream of scores."""
    lines: list[Text] = []
    for at_s, message in reversed(now.messages):
        told = _message(at_s, message, width)
        if len(lines) + len(told) > rows - 1:
            break
        lines = told + lines
    lines += [Text() for _ in range(rows - 1 - len(lines))]
    line = Text()
    if now.latest_score is not None:
        line = _message(now.at_s, now.latest_score, width)[0]
        line.append(f" ({now.scored} so far)")
        line.stylize("dim")
    return [*lines, line]


def _message(at_s: float, message: Message, width: int) -> list[Text]:
    """One message; an event may take a few lines."""
    topic, payload = message.topic, message.shortened
    head = f" {clock(at_s):>5} {topic} "
    rows = _EVENT_ROWS if message.leaf == "event" else 1
    room = max(10, width - 7)
    text = head + payload
    pieces = [text[:width]] + [text[i : i + room] for i in range(width, len(text), room)]
    if len(pieces) > rows:
        pieces = pieces[:rows]
        pieces[-1] = pieces[-1][:-1] + "…"
    lines = [Text(pieces[0])] + [Text(" " * 7 + piece) for piece in pieces[1:]]
    lines[0].stylize(_LEAF_STYLES.get(message.leaf, "dim"), 7, len(head))
    return lines
