"""The answer to a command that came over MQTT."""

from __future__ import annotations

from typing import Any

from edge_asd.publish.payload import Versioned


class ReplyMessage(Versioned):
    """What became of a command; published once, not retained."""

    verb: str
    """What was asked for."""
    monitor: str | None = None
    """Which monitor was meant, as far as that could be read."""
    request_id: str | int | None = None
    """As it was in the command; with MQTT 5 the correlation data says the same."""
    ok: bool
    """Whether it was done."""
    error: str = ""
    """What was wrong, and what would be right; empty where ``ok``."""
    result: dict[str, Any] | None = None
    """What the command gave; null where it failed."""
