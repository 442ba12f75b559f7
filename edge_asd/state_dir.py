"""Where a device keeps what it learned, and who may write there.

``--state-dir``, else ``$STATE_DIRECTORY`` (systemd), else ``$XDG_STATE_HOME/edge-asd``, else the
service's directory where the caller may write it (``sudo edge-asd status`` is about the service),
else ``~/.local/state/edge-asd``. One process at a time holds the lock: two never open one
microphone or write one profile.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from typing_extensions import Self

from edge_asd.errors import BusyError, StorageError

SERVICE_DIR = Path("/var/lib/edge-asd")
"""Where systemd keeps the state of the service."""

_MAX_SOCKET_PATH = 100  # the kernel's limit is 107 bytes


def resolve_state_dir(
    option: str | None, environ: Mapping[str, str], *, service_dir: Path = SERVICE_DIR
) -> Path:
    """The state directory to use; not created here."""
    if option:
        return Path(option)
    from_systemd = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if from_systemd:
        return Path(from_systemd)
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]) / "edge-asd"
    if service_dir.is_dir() and os.access(service_dir, os.W_OK | os.X_OK):
        return service_dir
    return Path.home() / ".local" / "state" / "edge-asd"


def socket_path(state_dir: Path, environ: Mapping[str, str]) -> Path:
    """Where the daemon of this state directory listens for commands.

    Beside the state if the path is short enough for a socket, else in the runtime directory under
    a name made from it: daemon and command line find the same path on their own.
    """
    near = state_dir.resolve() / "control.sock"
    if len(os.fsencode(near)) <= _MAX_SOCKET_PATH:
        return near
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/tmp/edge-asd-{os.getuid()}"  # noqa: S108 - 0700 below
    digest = hashlib.sha256(os.fsencode(near)).hexdigest()[:16]
    return Path(runtime) / f"edge-asd-{digest}.sock"


class StateLock:
    """Exclusive use of a state directory, as a context manager.

    The lock dies with the process, whatever happens to it.

    Raises:
        BusyError: Another process holds it.
        StorageError: The directory cannot be created or written.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        path = self.state_dir / "lock"
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
            file = path.open("a+", encoding="ascii")
        except OSError as error:
            raise StorageError(
                f"{self.state_dir}: the state directory cannot be used: {error.strerror}; "
                "choose another with --state-dir"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise BusyError(
                f"{self.state_dir}: in use by process {holder}; stop it, or let it do the work"
            ) from error
        # Who holds it is for people: a full disk does not keep us from holding it. Unbuffered,
        # because closing would fail, too.
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode("ascii"))
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
