"""What stands in the table of events: steps of alerts and of microphone faults."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter

from edge_asd.publish.messages import EventMessage, MicrophoneMessage

StoredMessage = EventMessage | MicrophoneMessage


def _kind(value: Any) -> str:
    """Which of the two was stored."""
    return "microphone" if "fault" in value else "event"


_STORED: TypeAdapter[StoredMessage] = TypeAdapter(
    Annotated[
        Annotated[EventMessage, Tag("event")] | Annotated[MicrophoneMessage, Tag("microphone")],
        Discriminator(_kind),
    ]
)


def parse_stored(payload: str | bytes) -> StoredMessage:
    """Read what was stored.

    Raises:
        ValueError: It is something else.
    """
    try:
        return _STORED.validate_json(payload)
    except TypeError as error:  # the discriminator was given a number
        raise ValueError(str(error)) from error
