"""Secrets come from systemd credentials or from files only their owner can read."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from edge_asd.errors import ConfigError

_SCHEME = "credential:"


def read_secret(
    reference: str | None, environ: Mapping[str, str], *, key: str = "mqtt.password_file"
) -> str | None:
    """Read a secret.

    Args:
        reference: ``credential:NAME`` or a path; None for no secret.
        environ: Where ``CREDENTIALS_DIRECTORY`` stands.
        key: Where the operator wrote the reference, for messages.

    Raises:
        ConfigError: It is missing, unreadable, or readable by others.
    """
    if reference is None:
        return None
    path = secret_path(reference, environ, key=key)
    try:
        return path.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{key}: {path}: {reason}") from error


def secret_path(reference: str, environ: Mapping[str, str], *, key: str) -> Path:
    """Where a secret lies, for what reads files itself; as ``read_secret``.

    Raises:
        ConfigError: It is missing, or readable by others.
    """
    if reference.startswith(_SCHEME):
        return _credential(reference, environ, key)
    path = Path(reference)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{key}: {path}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{key}: {path} can be read by others; chmod 600 it")
    return path


def _credential(reference: str, environ: Mapping[str, str], key: str) -> Path:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(
            f"{key}: {reference} needs LoadCredential= in the systemd unit; "
            "outside systemd name a file"
        )
    return Path(folder) / reference.removeprefix(_SCHEME)
