"""The systemd journal, with fields that can be searched for.

``journalctl EDGE_ASD_MONITOR=pump-1`` finds every line about a monitor: whatever a line says as
``key=value`` becomes a field, and lines of a known kind carry its ``MESSAGE_ID``.

Source: systemd's Native Journal Protocol, https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import array
import errno
import fcntl
import logging
import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from edge_asd.logs.journal_classes import class_of

SOCKET = Path("/run/systemd/journal/socket")

_PREFIX = "EDGE_ASD_"
_LONGEST = 64 * 1024  # characters of one value: a line is for people
# A key and what is put into its place by the arguments: `score=%.2f`, or a fixed word.
_PART = re.compile(
    r"(?:\b(?P<key>[A-Za-z_]\w*)=)?%(?:%|[-+ #0]*\d*(?:\.\d+)?[a-zA-Z])"
    r"|\b(?P<fixed>[A-Za-z_]\w*)=(?P<word>\w+)"
)
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_SEALS = 0x0001 | 0x0002 | 0x0004 | 0x0008  # against sealing, shrinking, growing and writing
_F_ADD_SEALS = 1033  # fcntl has the name from Python 3.9 on, not on every libc


def writes_to_journal(environ: Mapping[str, str], stream: IO[str]) -> bool:
    """Whether a stream leads to the journal: a redirected one does not.

    Args:
        environ: The process environment; ``JOURNAL_STREAM`` names the journal's stream.
        stream: Standard error.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


def priority(level: int) -> int:
    """The syslog priority of a level of ``logging``."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def values_of(record: logging.LogRecord) -> dict[str, str]:
    """What a line says as ``key=value``, taken from its template: a value may hold anything."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    values, used = {}, 0
    for part in _PART.finditer(str(record.msg)):
        if part["fixed"]:
            values[part["fixed"]] = part["word"]
            continue
        if part[0].endswith("%%"):
            continue
        if part["key"] and used < len(arguments):
            values[part["key"]] = str(arguments[used])
        used += 1
    return values


def fields_of(record: logging.LogRecord, message: str) -> dict[str, str]:
    """The fields of a line.

    Args:
        record: The line.
        message: Its text, with a traceback if there is one.
    """
    values = values_of(record)
    kind = class_of(record, values)
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(priority(record.levelno)),
        "SYSLOG_IDENTIFIER": "edge-asd",
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        _PREFIX + "LOGGER": record.name,
        _PREFIX + "THREAD": record.threadName or "",
    }
    if kind is not None:
        fields["MESSAGE_ID"] = kind.message_id
        fields[_PREFIX + "KIND"] = kind.name
    # `event=left_hanging` is a word of ours, `event=%s` the id of an alert.
    for key, value in values.items():
        name = "EVENT_ID" if key == "event" and "event=%" in str(record.msg) else key.upper()
        fields[_PREFIX + name.lstrip("_")] = value
    return fields


def encode(fields: Mapping[str, str]) -> bytes:
    """Fields as the journal takes them: by line, or with a length where a value has several."""
    entry = bytearray()
    for name, value in fields.items():
        data = value[:_LONGEST].encode(errors="replace")
        if b"\n" in data:
            entry += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            entry += name.encode() + b"=" + data + b"\n"
    return bytes(entry)


class JournalHandler(logging.Handler):
    """Writes lines to the journal.

    A journal that does not answer costs a line, never the daemon: the line is then tried on
    ``fallback``.

    Args:
        fallback: What writes where the journal's socket cannot be used.
        path: The journal's socket.
    """

    def __init__(self, fallback: logging.Handler, path: Path = SOCKET) -> None:
        super().__init__()
        self._fallback, self._path = fallback, path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(1.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        try:
            self._send(encode(fields_of(record, self.format(record))))
        except OSError:
            self._fallback.handle(record)
        except Exception:  # noqa: BLE001 - a line with a wrong template must not end the daemon
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._fallback.close()
        super().close()

    def _send(self, entry: bytes) -> None:
        try:
            self._socket.sendto(entry, str(self._path))
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_sealed(entry)

    def _send_sealed(self, entry: bytes) -> None:
        """Hand over what is too large for a datagram as a file that nobody can change."""
        descriptor = os.memfd_create("edge-asd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(entry)
            fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
            rights = array.array("i", [descriptor])
            self._socket.sendmsg(
                [], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, str(self._path)
            )
        finally:
            os.close(descriptor)
