"""A child process read with deadlines: bounded, in a group of its own, ended with its owner."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from edge_asd.errors import CaptureError, StallError

_STDERR_BYTES = 4096  # an uncapped buffer of a chatty program is how comparable daemons ran full
_SLICE_S = 0.2  # how late a close from another thread is noticed
_TERM_S = 1.0  # grace between TERM and KILL


class Child:
    """A running program whose standard output is read and whose standard error is kept short.

    One thread reads; ``close`` may come from any other.

    Args:
        argv: Program and arguments; no shell is involved.
        what: How errors name it, for example ``exec:arecord``.
        hint: What to look at when it falls silent.
        env: Its environment; None inherits.
        hold_stdin: Give it a pipe as standard input that ends when its owner does.
        pass_fds: Descriptors that it gets under the same numbers.

    Raises:
        CaptureError: The program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        what: str,
        hint: str,
        *,
        env: Mapping[str, str] | None = None,
        hold_stdin: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.what = what
        self._hint = hint
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own command, no shell
                list(argv),
                stdin=subprocess.PIPE if hold_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=None if env is None else dict(env),
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )
        except FileNotFoundError:
            raise CaptureError(
                f"{what}: program {argv[0]!r} not found; install it or give its full path"
            ) from None
        except (OSError, ValueError) as error:
            raise CaptureError(f"{what}: cannot start {argv[0]!r}: {error}") from error
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
        self._buffer = bytearray()
        self._errors = bytearray()
        self._closed = threading.Event()
        self._released = False
        self._reading = threading.Lock()
        self._poll = select.poll()
        self._open: set[int] = set()
        for pipe in (self._process.stderr, self._process.stdout):
            if pipe is not None:
                self._stdout = pipe.fileno()
                self._open.add(self._stdout)
                self._poll.register(self._stdout, select.POLLIN)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed.is_set()

    def pause(self, seconds: float) -> None:
        """Read nothing for so long, or until closed: its pipe fills, and it waits."""
        self._closed.wait(seconds)

    def read(self, n: int, timeout_s: float) -> bytes:
        """Read exactly ``n`` bytes.

        Args:
            n: How many.
            timeout_s: How long they may take altogether.

        Returns:
            The bytes; fewer only at the end of the output or once closed.

        Raises:
            CaptureError: They did not come in time.
        """
        self._fill(n, timeout_s, time.monotonic() + timeout_s)
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    def read_line(self, limit: int, timeout_s: float) -> bytes:
        """Read up to and with the next newline, at most ``limit`` bytes; as `read` otherwise."""
        until = time.monotonic() + timeout_s
        size = 0
        while b"\n" not in self._buffer and size < limit:
            size = len(self._buffer) + 1
            if not self._fill(size, timeout_s, until):
                break
        end = self._buffer.find(b"\n") + 1 or min(limit, len(self._buffer))
        return self.read(end, 0.0)

    def write(self, data: bytes) -> None:
        """Write to its standard input, which ``hold_stdin`` gave it; lost if it does not read.

        Only by the thread that reads.
        """
        with self._reading:
            pipe = self._process.stdin
            if pipe is not None and not self._released:
                with contextlib.suppress(BrokenPipeError, BlockingIOError):
                    os.write(pipe.fileno(), data)

    def wait(self, timeout_s: float) -> int:
        """Exit code after the end of the output; negative for a signal.

        Raises:
            CaptureError: It keeps running although its output ended.
        """
        until = time.monotonic() + timeout_s
        with self._reading:
            while self._process.poll() is None and not self.closed:
                if time.monotonic() > until:
                    raise CaptureError(
                        f"{self.what}: closed its output but keeps running; let it end too"
                    )
                self._pump(0.05) if self._open else time.sleep(0.02)
            while self._pump(0.0):
                pass
        return self._process.returncode if self._process.returncode is not None else 0

    @property
    def last_error_line(self) -> str:
        """What it last wrote to standard error, or nothing."""
        lines = self._errors.decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def close(self) -> None:
        """End it and its group: TERM, and KILL after a second."""
        if self._released:
            return
        self._closed.set()
        self._signal(signal.SIGTERM)
        if not self._ended(_TERM_S):
            self._signal(signal.SIGKILL)
            self._ended(_TERM_S / 2)
        else:
            self._signal(signal.SIGKILL)  # what it left behind in its group
        if self._reading.acquire(timeout=2 * _SLICE_S):
            try:
                self._release()
            finally:
                self._reading.release()

    def _ended(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode is not None

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _release(self) -> None:
        self._released = True
        self._open.clear()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _fill(self, n: int, timeout_s: float, until: float) -> bool:
        """Buffer at least ``n`` bytes; False at the end of the output or once closed."""
        with self._reading:
            while len(self._buffer) < n and self._stdout in self._open and not self.closed:
                left = until - time.monotonic()
                if left <= 0.0:
                    raise StallError(f"{self.what}: silent for {timeout_s:.3g} s; {self._hint}")
                self._pump(min(_SLICE_S, left))
        return len(self._buffer) >= n

    def _pump(self, timeout_s: float) -> bool:
        """Take what is there on both pipes; False if nothing came."""
        ready = self._poll.poll(timeout_s * 1e3) if self._open else []
        for fd, _ in ready:
            data = os.read(fd, 65_536)
            if not data:
                self._open.discard(fd)
                self._poll.unregister(fd)
            elif fd == self._stdout:
                self._buffer += data
            else:
                self._errors = (self._errors + data)[-_STDERR_BYTES:]
        return bool(ready)
