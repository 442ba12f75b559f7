"""Events as lines of JSON in a file, for scripts and for rehearsals without a broker."""

from __future__ import annotations

import os
from contextlib import suppress

from edge_asd.errors import PublishError
from edge_asd.publish.messages import EventMessage, MicrophoneMessage, Payload

STDOUT = "-"


class JsonlSink:
    """Appends one line per message; not thread-safe.

    Whole lines only: after a write that was cut short, by a full disk or a power loss, the next
    message starts on a line of its own.

    Args:
        path: File to append to, made if it is missing; ``-`` for standard output.

    Raises:
        PublishError: The file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.failed = 0
        """Messages that could not be written whole."""
        try:
            self._fd = (
                os.dup(1)
                if path == STDOUT
                else os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            )
        except OSError as error:
            raise PublishError(
                f"jsonl.path: cannot open {path}: {error.strerror}: check that its folder exists "
                "and is writable"
            ) from error
        self._torn = path != STDOUT and _ends_torn(self._fd)

    def event(self, message: EventMessage | MicrophoneMessage) -> None:
        """Write a step of an alert, or a notice; on return it is on the disk.

        Raises:
            PublishError: It was not written.
        """
        self._write(message)
        # A pipe or a terminal has nothing to synchronise.
        if self.path != STDOUT:
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise self._failure(error) from error

    def telemetry(self, message: Payload) -> None:
        """Write a score or a state; a power loss may take it.

        Raises:
            PublishError: It was not written.
        """
        self._write(message)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, message: Payload) -> None:
        line = (b"\n" if self._torn else b"") + message.to_json() + b"\n"
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
                self._torn = bool(rest)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> PublishError:
        self.failed += 1
        return PublishError(
            f"{self.path}: event not written: {error.strerror}: free space on its file system "
            "or choose another jsonl.path"
        )


def _ends_torn(fd: int) -> bool:
    """Whether the file ends within a line."""
    with suppress(OSError):  # a FIFO or a device has no end to look at
        size = os.fstat(fd).st_size
        return size > 0 and os.pread(fd, 1, size - 1) != b"\n"
    return False
