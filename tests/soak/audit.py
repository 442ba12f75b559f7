"""The books after the soak: whether they say what happened, down to the second."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from edge_asd.books.ledger import Account
from edge_asd.books.ledger_timeline import whole
from edge_asd.books.ledger_view import LedgerReader, Passage, summarise
from edge_asd.evidence.store import EvidenceStore
from edge_asd.publish.messages import MicrophoneMessage
from edge_asd.publish.store import EventStore
from soak.gauge import Promise
from soak.witness import Said, Witness

_EVER_S = 2**50
_TAIL_S = 15  # from the last audio to the end
HISTORY_BYTES = 4_000_000


class Life:
    """When the board was up, by its own counter, and by how much its clock was set."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.ended_s = began_s
        self.steps_s: list[int] = []
        """By how much, one after the other."""
        self.last_ahead_s = 0
        """How far the wall clock was ahead of the counter when the last run began."""
        self.scored_s: dict[tuple[str, int], tuple[int, int]] = {}
        """Seconds that were scored, at least and at most, by monitor and run, counted apart."""


def audit(state: Path, monitors: Iterable[str], life: Life, witness: Witness) -> list[Promise]:
    """Check everything that was written down."""
    monitors = list(monitors)
    return [
        *(check_ledger(state, monitor, life) for monitor in monitors),
        check_stretches(state),
        check_scored(state, life),
        check_events(state, witness),
        check_order(state),
        check_outbox(state),
        check_evidence(state),
        check_history(state),
        check_log(witness),
    ]


def check_ledger(state: Path, monitor: str, life: Life) -> Promise:
    """All accounts together are the time from the first second to the last, and no other."""
    name = f"ledger of {monitor} is exact"
    reader = LedgerReader(state)
    every = reader.passages(monitor, -_EVER_S, _EVER_S)
    reader.close()
    found = summarise(every)
    if found is None:
        return Promise(name, kept=False, found="it is empty")
    ends_s = _last_second(state, monitor) - life.last_ahead_s  # by the counter
    expected_s = ends_s - whole(life.began_s)
    jumps_s = [other.begin_s - one.end_s for one, other in pairwise(every)]
    steps_s = [jump_s for jump_s in jumps_s if jump_s]
    text = f"{found.accounted_s} s of {expected_s} s, clock set {len(steps_s)} times of"
    text += f" {len(life.steps_s)}, up to {abs(life.ended_s - ends_s):.0f} s before the end"
    kept = (
        found.accounted_s == expected_s
        and steps_s == life.steps_s
        and -1 <= life.ended_s - ends_s <= _TAIL_S
    )
    return Promise(name, kept, text)


def accounts(state: Path, monitor: str) -> dict[str, int]:
    """Seconds by account."""
    reader = LedgerReader(state)
    every: list[Passage] = reader.passages(monitor, -_EVER_S, _EVER_S)
    reader.close()
    found = summarise(every)
    return {} if found is None else {account.value: found.seconds[account] for account in Account}


def check_stretches(state: Path) -> Promise:
    """The rows of a run follow one another without a hole or an overlap."""
    rows = defaultdict(list)
    with closing(sqlite3.connect(state / "ledger.db")) as connection:
        query = "SELECT monitor, run, opened_s FROM monitors"
        opened = {(monitor, run): at_s for monitor, run, at_s in connection.execute(query)}
        query = "SELECT monitor, run, begin_s, end_s FROM stretches ORDER BY monitor, run, begin_s"
        for monitor, run, begin_s, end_s in connection.execute(query):
            rows[monitor, run].append((begin_s, end_s))
    torn = [
        f"{monitor} in run {run}: {one} {other}"
        for (monitor, run), spans in rows.items()
        for one, other in pairwise([(None, opened[monitor, run]), *spans])
        if one[1] != other[0]
    ]
    count = sum(map(len, rows.values()))
    text = "; ".join(torn[:3]) or f"{count} rows in {len(opened)} runs of monitors"
    return Promise("no second twice, none missing", not torn, text)


def check_scored(state: Path, life: Life) -> Promise:
    """The seconds that count as scored are those that lie in windows that were."""
    with closing(sqlite3.connect(state / "ledger.db")) as connection:
        query = "SELECT monitor, run, SUM(end_s - begin_s) FROM stretches WHERE account = ?"
        rows = connection.execute(f"{query} GROUP BY monitor, run", (Account.SCORED.value,))
        written = {(monitor, run): seconds for monitor, run, seconds in rows}
    wrong = [
        f"{monitor} in run {run}: {least} to {most} s, written {written.get((monitor, run), 0)} s"
        for (monitor, run), (least, most) in life.scored_s.items()
        if not least <= written.get((monitor, run), 0) <= most
    ]
    bounds = life.scored_s.values()
    total = f"{sum(least for least, _ in bounds)} to {sum(most for _, most in bounds)} s"
    text = "; ".join(wrong[:3]) or f"{total}, by another count as well"
    return Promise("scored seconds are scored", not wrong, text)


def check_outbox(state: Path) -> Promise:
    """Once the broker is there, nothing waits."""
    with closing(sqlite3.connect(state / "events.db")) as connection:
        (waiting,) = connection.execute("SELECT COUNT(*) FROM outbox").fetchone()
    return Promise("everything was delivered", waiting == 0, f"{waiting} messages wait")


def check_events(state: Path, witness: Witness) -> Promise:
    """Everything that was raised and ended is in the store, in that order, and nothing else."""
    said, stored = defaultdict(list), defaultdict(list)
    for one in witness.said():
        if one not in witness.unstored:
            said[one.monitor].append(one)
    number = 0
    for one in _stored(state):
        stored[one.monitor].append(one)
        number += 1
    wrong = [
        f"{monitor}: {len(said[monitor])} told, {len(stored[monitor])} stored"
        for monitor in sorted({*said, *stored})
        if said[monitor] != stored[monitor]
    ]
    text = "; ".join(wrong) or f"{number} steps"
    if witness.unstored:
        text += f", {len(witness.unstored)} more in the log: the disk refused them to the last"
    return Promise("every alert is in events.db", not wrong, text)


def check_order(state: Path) -> Promise:
    """Of each monitor: new, any updates, end, with one id, and counted without a hole."""
    wrong: list[str] = []
    open_id: dict[tuple[str, str], str | None] = defaultdict(lambda: None)
    seqs: dict[str, int] = defaultdict(int)
    for message in _messages(state):
        monitor, kind, step = message.source, _kind(message), message.type.value
        began = open_id[monitor, kind] is None
        fits = step == "new" if began else step != "new" and message.id == open_id[monitor, kind]
        if not fits or message.seq != seqs[monitor] + 1:
            wrong.append(f"{monitor} {kind} {message.id} {step} seq={message.seq}")
        seqs[monitor] = message.seq
        open_id[monitor, kind] = None if step == "end" else message.id
    text = "; ".join(wrong[:3]) or f"{sum(seqs.values())} steps of {len(seqs)} monitors"
    return Promise("new and end alternate", not wrong, text)


def check_evidence(state: Path) -> Promise:
    """What is kept is whole, and belongs to an alert."""
    ids = {one.id for one in _stored(state) if one.kind == "event" and one.type == "new"}
    store = EvidenceStore(state)
    kept = store.kept()
    store.close()
    wrong = [one.record.event_id for one in kept if one.record.event_id not in ids]
    for one in kept:
        for name, file in one.files.items():
            path = one.path(name)
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
                wrong.append(f"{one.record.event_id}/{name}")
    text = "; ".join(wrong[:3]) or f"{len(kept)} kept of {len(ids)} alerts"
    return Promise("evidence is whole", not wrong, text)


def check_history(state: Path) -> Promise:
    """What is older than three hours is forgotten."""
    size = (state / "history.db").stat().st_size
    text = f"{size / 1e6:.2f} MB of {HISTORY_BYTES / 1e6:.2f} MB"
    return Promise("history within its bound", size <= HISTORY_BYTES, text)


def check_log(witness: Witness) -> Promise:
    """Nobody met an exception that nobody expected."""
    text = "; ".join(witness.unexpected[:3]) or "none"
    return Promise("no unexpected error", not witness.unexpected, text)


def _last_second(state: Path, monitor: str) -> int:
    with closing(sqlite3.connect(state / "ledger.db")) as connection:
        query = "SELECT end_s FROM stretches WHERE monitor = ? ORDER BY run DESC, end_s DESC"
        return int(connection.execute(query, (monitor,)).fetchone()[0])


def _messages(state: Path):
    store = EventStore(state, read_only=True)
    messages = store.events()
    store.close()
    return messages


def _stored(state: Path) -> list[Said]:
    return [Said(m.source, _kind(m), m.id, m.type.value) for m in _messages(state)]


def _kind(message) -> str:
    return "microphone" if isinstance(message, MicrophoneMessage) else "event"
