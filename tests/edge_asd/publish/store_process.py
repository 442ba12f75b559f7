"""Records events for ever and says which are safe, until it is killed.

Usage: store_process.py STATE_DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

from publish_samples import message

from edge_asd.publish.store import EventStore

store = EventStore(Path(sys.argv[1]))
kinds = ("new", "update", "end")
for number in range(10**9):
    recorded = store.record(message(kinds[number % 3]), monitor="pump-1", topic="t")
    sys.stdout.write(f"{recorded.message.seq}\n")
    sys.stdout.flush()
