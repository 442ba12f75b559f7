"""The daemon as a child process: started, watched, and never left behind."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import Self

from edge_asd.errors import CaptureError

_PR_SET_PDEATHSIG = 1  # prctl(2)
_TERM_S = 10.0
"""Grace to drain after SIGTERM."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class DaemonProcess:
    """``edge-asd run`` on a configuration; a context manager.

    It runs in a session of its own, so that Ctrl-C reaches only the demo, which then ends it in
    order; and it gets SIGTERM from the kernel should the demo be killed.

    Args:
        config: The operator's file.
        state_dir: Where it keeps what it learns.
        log: Gets what it says.
        arguments: More of the command line.
        environ: Of the process; None for ours.
    """

    def __init__(
        self,
        config: Path,
        state_dir: Path,
        log: Path,
        *,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.argv = ("run", "--config", str(config), "--state-dir", str(state_dir), *arguments)
        self._log, self._environ = log, environ
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    [sys.executable, "-m", "edge_asd", *self.argv],
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no locks
                )
        except OSError as error:
            raise CaptureError(f"{self._log}: the daemon cannot start: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its number while it runs, else 0."""
        return 0 if self._process is None else self._process.pid

    def close(self) -> None:
        """End it: SIGTERM, and SIGKILL if it does not go; once it is gone, nothing."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        try:
            process.terminate()
            process.wait(_TERM_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()  # does nothing to one that has ended
            process.wait()

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            CaptureError: It has stopped; the text is its own last word.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines() or [
                "it said nothing"
            ]
            said = lines[-1].removeprefix("edge-asd: ")
            raise CaptureError(f"the daemon stopped with exit code {code}: {said}")


def end_with_parent() -> None:
    """For a child, before its program begins: it gets SIGTERM should this process be killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
