"""The evidence store under fire; see ``support.crashpoints``.

Usage: crash_process.py SCENARIO FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from support.crashpoints import crash_everywhere
from support.evidence import HOUR_S, WALL_S, Clock, event_id, files, opened, record, tree, whole

from edge_asd.evidence import folders

NONE = float("nan")
LATE = Clock(WALL_S + 100 * HOUR_S)


def store_of(state):
    """The store of every scenario: four pieces, a day and a half."""
    return opened(state, clock=LATE, keep_s=98.5 * HOUR_S)


def filled(state, numbers):
    store = store_of(state)
    for number in numbers:
        store.write(record(number, score=NONE), files(number))
    store.close()


def prepare_write(state):
    """A monitor of its own: even its folders are new."""
    filled(state, [2, 3])
    return lambda store: store.write(record(9, "fan-2", score=NONE), files(9))


def prepare_retention(state):
    """Something pinned, and something that has to go."""
    filled(state, [2, 3, 4, 5])
    assert folders.pin(store_of(state).find(event_id(2)).folder)
    return lambda store: store.write(record(9, score=NONE), files(9, size=40_000))


def prepare_prune(state):
    """Two that are too old, one of them pinned, and one that is not."""
    filled(state, [0, 1, 5])
    assert folders.pin(store_of(state).find(event_id(1)).folder)
    return lambda store: store.prune()


def prepare_start(state):
    """A draft, a deletion half done, a lost index, something foreign."""
    filled(state, [2, 3, 4])
    root = state / "evidence"
    kept = store_of(state).find(event_id(2)).folder
    draft = folders.writing_folder(root / folders.folder_of(record(7)))
    shutil.copytree(kept, draft)
    (kept / folders.RECORD).rename(kept / folders.DELETING)
    (kept / "clip.flac").unlink()
    for path in root.glob("index.db*"):
        path.unlink()
    return lambda store: store.open()


def prepare_pin(state):
    filled(state, [2, 3])
    folder = folders.folder_of(record(2))
    return lambda store: folders.pin(store.root / folder)


def prepare_unpin(state):
    prepare_pin(state)(store_of(state))
    folder = folders.folder_of(record(2))
    return lambda store: folders.unpin(store.root / folder)


def numbers_of(store):
    return [round((kept.record.started_at - WALL_S) / HOUR_S) for kept in store.kept()]


def check(state):
    """What the next start finds, as JSON; violations of what always holds end the process."""
    store = store_of(state)
    numbers = numbers_of(store)
    kept = store.kept()
    assert all(map(whole, kept)), numbers
    ours = {one.folder.relative_to(store.root) for one in kept}
    for path in map(Path, tree(store.root)):
        beside = any(path in folder.parents for folder in ours)
        assert beside or path in ours or path.parent in ours or len(path.parts) < 3, path
    usage = store.measure()
    assert usage.used_bytes == sum(one.bytes for one in kept) <= usage.quota_bytes, usage
    assert usage.stuck == usage.foreign == 0, usage
    assert not store._stock.index.entries() or len(store._stock.index.entries()) == len(kept)
    pinned = [number for number, one in zip(numbers, kept, strict=True) if one.pinned]
    store.write(record(50), files(50))  # and it goes on
    assert 50 in numbers_of(store)
    store.close()
    for path in store.root.glob("index.db*"):
        path.unlink()
    assert 50 in numbers_of(store), "the folders alone are enough"
    assert store.measure().used_bytes <= usage.quota_bytes
    store.close()
    return json.dumps([numbers, pinned])


if __name__ == "__main__":
    prepared = Path(sys.argv[2]) / sys.argv[1]
    work = globals()[f"prepare_{sys.argv[1]}"](prepared)

    def act(state):
        store = store_of(state)
        if sys.argv[1] != "start":
            store.open()
        return lambda: work(store)

    crash_everywhere(prepared, act, check)
