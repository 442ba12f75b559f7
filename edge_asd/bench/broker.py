"""A mosquitto of our own on loopback, for as long as it is measured."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from typing_extensions import Self

from edge_asd.demo.process import end_with_parent
from edge_asd.errors import PublishError

HOST = "127.0.0.1"
MISSING = "mosquitto is missing (apt install mosquitto)"
_SBIN = "/usr/sbin:/usr/local/sbin"  # where an ordinary user's PATH does not lead
_START_S = 10.0


def find_mosquitto() -> str | None:
    """The program, None where it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SBIN)


class Mosquitto:
    """See the module; a context manager.

    Args:
        program: As found.
        folder: For its configuration.

    Raises:
        PublishError: It does not start.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"mqtt://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        with socket.create_server((HOST, 0)) as free:  # its own port could only be read off a log
            self.port = int(free.getsockname()[1])
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} {HOST}\nallow_anonymous true\npersistence false\nlog_dest none\n"
        )
        try:
            self._process = subprocess.Popen(  # noqa: S603 - found on PATH, no shell
                [self._program, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no locks
            )
            self._wait(self._process)
        except OSError as error:
            raise PublishError(f"{self._program} does not start: {error.strerror}") from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # it keeps nothing
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until and process.poll() is None:
            with suppress(OSError), socket.create_connection((HOST, self.port), 1.0):
                return
            time.sleep(0.02)
        raise PublishError(f"{self._program} does not listen on {HOST}:{self.port}")
