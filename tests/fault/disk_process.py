"""Works on copies of a database of events while the disk or the process fails at every step.

Usage: disk_process.py SCENARIO FOLDER STRIDE. ``record``, ``deliver`` and ``repair`` are killed at
each system call that changes the disk, or at every so many; ``failing`` has each of them fail with
an I/O error instead.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from publish_samples import WALL_S, message
from support.crashpoints import crash_everywhere

from edge_asd.errors import StorageError
from edge_asd.publish.fsck import look_through
from edge_asd.publish.salvage import resume, salvage
from edge_asd.publish.store import EventStore

PREPARED = 6
KINDS = ("new", "update", "end")


def wall():
    return WALL_S


def opened(folder):
    return EventStore(folder, clock=wall)


def record(store, number):
    kind = KINDS[number % 3]
    return store.record(message(kind), monitor="pump-1", topic="t").message.seq


def state_of(folder):
    """Numbers of events and of what waits; the file must be sound."""
    path = folder / "events.db"
    found = look_through(path, max_age_s=1e9, now_s=WALL_S)
    assert found == [], found
    store = opened(folder)
    try:
        return [e.seq for e in store.events()], [r.message.seq for r in store.outbox.head(999)]
    finally:
        store.close()


def recording(copy):
    store = opened(copy)
    promised = os.open(copy.with_name(f"{copy.name}.log"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def work():
        for number in range(4):
            os.write(promised, b"%d\n" % record(store, number))

    return work


def recorded(copy):
    promised = list(map(int, copy.with_name(f"{copy.name}.log").read_text().split()))
    events, waiting = state_of(copy)
    assert events == waiting == list(range(1, len(events) + 1))
    assert events[PREPARED : PREPARED + len(promised)] == promised
    assert len(events) <= PREPARED + len(promised) + 1
    return "ok"


def delivering(copy):
    store = opened(copy)
    rows = store.outbox.head(99)

    def work():
        for row in rows[:2]:
            store.outbox.ack(row.id)
        store.outbox.ack(*[row.id for row in rows[2:4]])

    return work


def delivered(copy):
    events, waiting = state_of(copy)
    assert events == list(range(1, PREPARED + 1))
    assert waiting in (events, events[1:], events[2:], events[4:])
    return "ok"


def damage(folder):
    """Spoil an index: every row can still be read."""
    path = folder / "events.db"
    connection = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'outbox_class'"
    (page,) = connection.execute(query).fetchone()
    connection.close()
    data = bytearray(path.read_bytes())
    at = data.index(b"event_update", 4096 * (page - 1), 4096 * page)
    data[at : at + 12] = b"event_upd\xff\xff\xff"
    path.write_bytes(data)


def repairing(copy):
    return lambda: salvage(copy / "events.db", now_s=WALL_S)


def repaired(copy):
    path = copy / "events.db"
    resume(path)
    if any(f.check == "damaged" for f in look_through(path, max_age_s=1e9, now_s=WALL_S)):
        salvage(path, now_s=WALL_S + 1)
    events, waiting = state_of(copy)
    assert events == waiting == list(range(1, PREPARED + 1)), (events, waiting)
    return "ok"


SCENARIOS = {
    "record": (recording, recorded),
    "deliver": (delivering, delivered),
    "repair": (repairing, repaired),
}


def fail_everywhere(prepared, stride):
    """Let the k-th call fail, for every k, and go on with a disk that is well again."""
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.fail_left.restype = ctypes.c_long
    for step in itertools.count(1, stride):
        copy = prepared.with_name(f"{prepared.name}-{step}")
        shutil.copytree(prepared, copy)
        store = opened(copy)
        promised, refused = [], 0
        shim.fail_at(ctypes.c_long(step))
        for number in range(3):
            with suppress(StorageError):
                refused += 1
                promised.append(record(store, number))
                store.outbox.ack(store.outbox.head(1)[0].id)
                refused -= 1
        left = shim.fail_left()
        shim.fail_at(ctypes.c_long(-1))
        promised.append(record(store, 3))
        store.close()
        events, waiting = state_of(copy)
        assert events == list(range(1, len(events) + 1))
        assert set(promised) <= set(events), (step, promised, events)
        assert waiting == events[-len(waiting) :], (step, events, waiting)
        assert len(waiting) >= PREPARED - 3 + 1
        sys.stdout.write(f"{step} refused {refused} ok\n")
        shutil.rmtree(copy)
        if left > 0:
            return


def main():
    scenario, folder, stride = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    prepared = folder / "prepared"
    prepared.mkdir()
    store = opened(prepared)
    for number in range(PREPARED):
        record(store, number)
    store.close()
    if scenario == "failing":
        fail_everywhere(prepared, stride)
        return
    if scenario == "repair":
        damage(prepared)
    crash_everywhere(prepared, *SCENARIOS[scenario], stride=stride)


if __name__ == "__main__":
    main()
