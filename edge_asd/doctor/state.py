"""The state directory: whose it is, who may read it, and whether its databases are whole."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_asd.doctor.findings import Finding, failed, ok, skipped, warning
from edge_asd.doctor.machine import Account

_BUSY_S = 5.0


def examine_state(state_dir: Path, account: Account) -> Iterator[Finding]:
    """Look at the folder and at every database in it.

    Args:
        state_dir: The state directory.
        account: Who the daemon runs as.
    """
    name = "state"
    try:
        found = state_dir.stat()
    except FileNotFoundError:
        yield skipped(name, f"{state_dir}: made when the daemon starts")
        return
    except OSError as error:
        yield failed(name, f"{state_dir}: {error.strerror}", "look at it as root")
        return
    mode = stat.S_IMODE(found.st_mode)
    shown = f"{state_dir}: mode {mode:04o}"
    own = account.uid in (found.st_uid, 0)
    if not stat.S_ISDIR(found.st_mode):
        yield failed(name, f"{state_dir}: not a folder", "choose another --state-dir")
    elif not own and not (found.st_gid in account.groups and mode & stat.S_IWGRP):
        remedy = f"sudo chown -R {account.name}: {state_dir}"
        yield failed(name, f"{shown}, not {account.name}'s", remedy)
    elif mode & stat.S_IRWXO:
        remedy = f"sudo chmod 0750 {state_dir}"
        yield warning(name, f"{shown}: everybody may look at recordings and events", remedy)
    else:
        yield ok(name, shown)
    for path in sorted(state_dir.glob("*.db")):
        yield examine_database(path)


def examine_database(path: Path) -> Finding:
    """Whether SQLite finds a database whole; it is not changed."""
    name = f"state: {path.name}"
    if not os.access(path, os.R_OK):
        return skipped(name, f"{path}: this user may not read it; try as root")
    remedy = "stop the daemon and start it: it moves a damaged file aside and begins a new one"
    try:
        uri = f"file:{path}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return failed(name, f"{path}: {error}", remedy)
    if answer != "ok":
        return failed(name, f"{path}: {answer}", remedy)
    return ok(name, f"{path}: whole, {path.stat().st_size / 1e6:.1f} MB")
