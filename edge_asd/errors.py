"""The error tree and the exit codes.

::

    EdgeAsdError
    ├── UsageError      2     the command line is wrong
    ├── DataError       65    audio or another input file cannot be used
    ├── BundleError     65    a bundle is altered, truncated, too new …
    ├── ProfileError    65    a profile is damaged or belongs to another bundle
    ├── ScorerError     65    a scorer cannot be fitted or applied
    ├── CaptureError    69    a sound source cannot be opened or read
    │   └── StallError        it delivered nothing for too long
    ├── EngineError     69    an inference runtime failed
    ├── PublishError    69    a broker or sink cannot be reached
    ├── StorageError    69    the state directory cannot be written
    ├── BusyError       69    another process holds the state directory
    ├── ServiceError    69    the service manager is missing or refuses
    └── ConfigError     78    the operator's file or an option value is wrong

Adapters translate third-party exceptions into this tree once; the command line prints
``str(error)`` as one line and leaves with ``error.exit_code``.
"""

from __future__ import annotations

from typing import ClassVar


class EdgeAsdError(Exception):
    """Base of every error that edge-asd raises on purpose."""

    exit_code: ClassVar[int] = 70


class UsageError(EdgeAsdError):
    """The command line is wrong."""

    exit_code = 2


class DataError(EdgeAsdError):
    """Audio or another input file cannot be used."""

    exit_code = 65


class BundleError(EdgeAsdError):
    """A bundle is altered, truncated, oversized, too new or otherwise unusable."""

    exit_code = 65


class ProfileError(EdgeAsdError):
    """A monitor's profile is missing, damaged or belongs to another bundle."""

    exit_code = 65


class ScorerError(EdgeAsdError):
    """A scorer cannot be fitted or applied."""

    exit_code = 65


class CaptureError(EdgeAsdError):
    """A sound source cannot be opened or read."""

    exit_code = 69


class StallError(CaptureError):
    """A sound source delivered nothing for too long."""


class EngineError(EdgeAsdError):
    """An inference runtime failed."""

    exit_code = 69


class PublishError(EdgeAsdError):
    """A broker or another sink cannot be reached or refuses."""

    exit_code = 69


class StorageError(EdgeAsdError):
    """The state directory cannot be read or written."""

    exit_code = 69


class BusyError(EdgeAsdError):
    """Another process holds the state directory."""

    exit_code = 69


class ServiceError(EdgeAsdError):
    """The service manager is missing, refuses, or is not ours to command."""

    exit_code = 69


class ConfigError(EdgeAsdError):
    """The operator's file or an option value is wrong."""

    exit_code = 78
