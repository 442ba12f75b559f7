"""Commands to a daemon over a real socket."""

import contextlib
import json
import socket
import stat
import threading

import pytest
from brokers import PATIENCE_S

from edge_asd import errors
from edge_asd.errors import BusyError, EdgeAsdError, StorageError, UsageError
from edge_asd.operators.control import MAX_REQUEST_BYTES, ControlServer, ask_daemon


@contextlib.contextmanager
def serving(path, handle):
    server = ControlServer(path, handle)
    thread = threading.Thread(target=server.serve_forever, name="control", args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def echo(request, progress):
    for step in range(request.get("steps", 0)):
        progress(step / 10, f"step {step}")
    return {"echo": request}


def silent(_fraction, _text):
    pass


def raw(path, data):
    """Send bytes and return the reply."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        with contextlib.suppress(BrokenPipeError):  # it need not read more than it takes
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as lines:
            return json.loads(lines.readline())


def test_a_request_gets_its_result(tmp_path):
    with serving(tmp_path / "s", echo):
        result = ask_daemon(tmp_path / "s", {"do": "status", "text": "größer\n"}, silent)
    assert result == {"echo": {"do": "status", "text": "größer\n"}}


def test_progress_arrives_in_order_before_the_result(tmp_path):
    seen = []
    with serving(tmp_path / "s", echo):
        ask_daemon(tmp_path / "s", {"steps": 3}, lambda *step: seen.append(step))
    assert seen == [(0.0, "step 0"), (0.1, "step 1"), (0.2, "step 2")]


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EdgeAsdError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_keep_their_kind_text_and_exit_code(tmp_path, kind):
    def fail(_request, _progress):
        raise kind("pump-1: no; do that instead")

    with (
        serving(tmp_path / "s", fail),
        pytest.raises(EdgeAsdError, match=r"^pump-1: no; do that instead$") as caught,
    ):
        ask_daemon(tmp_path / "s", {}, silent)
    assert type(caught.value) is kind
    assert caught.value.exit_code == kind.exit_code


def test_no_daemon_is_none(tmp_path):
    assert ask_daemon(tmp_path / "nowhere", {}, silent) is None


def test_a_socket_that_a_killed_daemon_left_is_no_daemon(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()
    assert ask_daemon(tmp_path / "s", {}, silent) is None
    with serving(tmp_path / "s", echo):  # and the next daemon takes its place
        assert ask_daemon(tmp_path / "s", {}, silent) == {"echo": {}}


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"\n",
        b"",
        b"[1, 2]\n",
        b'"text"\n',
        b"\xff\xfe\n",
        b"{" * 100 + b"\n",
        b"[" * (MAX_REQUEST_BYTES - 1) + b"\n",
        b'{"a": "' + b"x" * (2 * MAX_REQUEST_BYTES) + b'"}\n',
    ],
    ids=["word", "newline", "nothing", "list", "text", "bytes", "open", "deep", "long"],
)
def test_junk_is_answered_and_the_daemon_lives_on(tmp_path, data):
    with serving(tmp_path / "s", echo):
        reply = raw(tmp_path / "s", data)
        assert reply["kind"] == "UsageError"
        assert reply["exit_code"] == UsageError.exit_code
        assert ask_daemon(tmp_path / "s", {"a": 1}, silent) == {"echo": {"a": 1}}


def test_a_watcher_that_leaves_does_not_stop_the_work(tmp_path):
    left, finished = threading.Event(), threading.Event()

    def work(_request, progress):
        assert left.wait(PATIENCE_S)
        for step in range(50):
            progress(step / 50, "x" * 10_000)
        finished.set()
        return {}

    with serving(tmp_path / "s", work):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(tmp_path / "s"))
        connection.sendall(b"{}\n")
        connection.close()
        left.set()
        assert finished.wait(PATIENCE_S)


def test_a_long_command_does_not_hold_up_another(tmp_path):
    release = threading.Event()

    def handle(request, _progress):
        if request.get("long"):
            assert release.wait(PATIENCE_S)
        return {}

    with serving(tmp_path / "s", handle):
        waiting = threading.Thread(
            target=ask_daemon, args=(tmp_path / "s", {"long": True}, silent), name="waiting"
        )
        waiting.start()
        assert ask_daemon(tmp_path / "s", {}, silent) == {}
        release.set()
        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()


@pytest.mark.parametrize("reads", [True, False])
def test_a_daemon_that_stops_before_it_answers_is_said(tmp_path, reads):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def hang_up():
        connection, _ = listener.accept()
        if reads:
            connection.recv(100)
        connection.close()

    thread = threading.Thread(target=hang_up, name="daemon")
    thread.start()
    with pytest.raises(StorageError, match="stopped before it answered"):
        ask_daemon(tmp_path / "s", {}, silent)
    thread.join(PATIENCE_S)
    listener.close()


def test_only_user_and_group_may_use_the_socket_and_it_is_removed(tmp_path):
    path = tmp_path / "run" / "s"
    with serving(path, echo):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not path.exists()


def test_a_socket_that_cannot_be_made_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="no control socket"):
        ControlServer(tmp_path / ("x" * 200), echo)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="no control socket"):
        ControlServer(tmp_path / "file" / "s", echo)


def test_an_error_of_the_work_itself_is_not_taken_for_a_bad_request(tmp_path):
    def busy(_request, _progress):
        raise BusyError("wait")

    with serving(tmp_path / "s", busy):
        reply = raw(tmp_path / "s", b"{}\n")
    assert reply == {"error": "wait", "kind": "BusyError", "exit_code": 69}
