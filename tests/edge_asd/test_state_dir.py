"""One process at a time holds a state directory, and finds its socket without being told."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asd.errors import BusyError, StorageError
from edge_asd.state_dir import StateLock, resolve_state_dir, socket_path

HOLD = """
import sys, time
from pathlib import Path
from edge_asd.state_dir import StateLock
with StateLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "state"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_kept_out_and_told_who_is_inside(tmp_path, holder):
    with pytest.raises(BusyError, match=f"in use by process {holder.pid}"):
        StateLock(tmp_path / "state").__enter__()


def test_a_killed_process_leaves_no_lock_behind(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with StateLock(tmp_path / "state"):
        assert (tmp_path / "state" / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_again_after_use_and_after_an_error(tmp_path):
    with StateLock(tmp_path):
        pass
    with pytest.raises(KeyError), StateLock(tmp_path):
        raise KeyError
    with StateLock(tmp_path):
        pass


def test_two_locks_of_one_process_exclude_each_other(tmp_path):
    with StateLock(tmp_path), pytest.raises(BusyError):
        StateLock(tmp_path).__enter__()


def test_the_directory_is_made_and_not_for_everyone(tmp_path):
    with StateLock(tmp_path / "new" / "state"):
        mode = stat.S_IMODE((tmp_path / "new" / "state").stat().st_mode)
    assert mode & 0o007 == 0


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="choose another with --state-dir"):
        StateLock(tmp_path / "file" / "state").__enter__()


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("/given", {"STATE_DIRECTORY": "/systemd"}, "/given"),
        (None, {"STATE_DIRECTORY": "/systemd", "XDG_STATE_HOME": "/xdg"}, "/systemd"),
        (None, {"STATE_DIRECTORY": "/first:/second"}, "/first"),
        (None, {"XDG_STATE_HOME": "/xdg"}, "/xdg/edge-asd"),
        (None, {"STATE_DIRECTORY": ""}, str(Path.home() / ".local/state/edge-asd")),
    ],
)
def test_the_state_directory_is_looked_for_in_the_stated_order(option, environ, expected):
    assert resolve_state_dir(option, environ, service_dir=Path("/nowhere")) == Path(expected)


def test_who_may_write_the_services_directory_speaks_to_the_service(tmp_path):
    assert resolve_state_dir(None, {}, service_dir=tmp_path) == tmp_path
    assert resolve_state_dir("mine", {}, service_dir=tmp_path) == Path("mine")
    own = {"XDG_STATE_HOME": "/home/x/state"}
    assert resolve_state_dir(None, own, service_dir=tmp_path) == Path("/home/x/state/edge-asd")
    (tmp_path / "file").touch()
    nothing = resolve_state_dir(None, {}, service_dir=tmp_path / "file")
    assert nothing == Path.home() / ".local" / "state" / "edge-asd"


def test_the_socket_lies_beside_the_state_where_it_fits():
    assert socket_path(Path("/var/lib/edge-asd"), {}) == Path("/var/lib/edge-asd/control.sock")


def test_a_path_too_long_for_a_socket_moves_it_to_the_runtime_directory(tmp_path):
    long, other = tmp_path / ("x" * 120), tmp_path / ("y" * 120)
    environ = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    path = socket_path(long, environ)
    assert path.parent == Path("/run/user/1000")
    assert len(os.fsencode(path)) <= 107
    assert path == socket_path(long, environ)
    assert path != socket_path(other, environ)
    assert len(os.fsencode(socket_path(long, {}))) <= 107


def test_the_socket_does_not_depend_on_how_the_directory_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert socket_path(Path("state"), {}) == socket_path(tmp_path / "a" / ".." / "state", {})
