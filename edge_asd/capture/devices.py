"""Which microphones there are, and which one a name means."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asd.capture.child import Child
from edge_asd.errors import CaptureError

NO_PORTAUDIO = "the PortAudio library is missing; apt install libportaudio2"

_LIST_S = 20.0  # sound servers that do not answer hold PortAudio up
_CARDS = Path("/proc/asound/cards")
_CARD = re.compile(r"^\s*(\d+)\s*\[(\S+)\s*\]:\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A device that can record."""

    index: int
    """PortAudio's number; changes from one start to the next."""
    name: str
    host_api: str
    channels: int
    """At most this many."""
    default_rate: int
    """Its own rate in hertz."""
    is_default: bool


# Imports what this process would, and nothing from the folder it happens to stand in.
_BOOT = (
    "import os, sys; sys.path[:] = os.environ['EDGE_ASD_PATH'].split(os.pathsep); "
    "from edge_asd.capture.portaudio_child import main; main()"
)


def portaudio_child(what: str, hint: str, *arguments: str) -> Child:
    """Start the only module that touches PortAudio in a process of its own.

    Args:
        what: How errors name it.
        hint: What to look at when it falls silent.
        arguments: As its ``--help`` says.

    Raises:
        CaptureError: The interpreter cannot be started.
    """
    env = {**os.environ, "EDGE_ASD_PATH": os.pathsep.join(sys.path)}
    return Child([sys.executable, "-c", _BOOT, *arguments], what, hint, env=env, hold_stdin=True)


def list_devices(timeout_s: float = _LIST_S) -> list[InputDevice]:
    """List the inputs, in a short-lived child so that this process never initialises PortAudio.

    Raises:
        CaptureError: PortAudio is missing or does not answer.
    """
    child = portaudio_child("listing microphones", "is a sound server hanging?", "--list")
    try:
        reply = child.read_line(1 << 20, timeout_s)
        try:
            answer = json.loads(reply)
            if "error" in answer:
                raise CaptureError(str(answer["error"]))
            return [InputDevice(**device) for device in answer["devices"]]
        except (ValueError, TypeError, KeyError):
            said = child.last_error_line or "no answer"
            raise CaptureError(f"listing microphones failed: {said}") from None
    finally:
        child.close()


def read_cards() -> str:
    """The kernel's list of sound cards, empty where there is none."""
    try:
        return _CARDS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def choose_device(name: str, devices: Sequence[InputDevice], cards: str) -> InputDevice:
    """Find the input that a name means.

    Tried in this order: the default for an empty name; ``hw:CARD=id,DEV=n`` or a card's id, which
    stay the same when USB numbers change; the exact device name; a part of a device name or of a
    card's description.

    Args:
        name: What the operator wrote.
        devices: All inputs.
        cards: Text of ``/proc/asound/cards``.

    Returns:
        The only device that fits.

    Raises:
        CaptureError: None fits, or several; names what there is.
    """
    if not devices:
        raise CaptureError(
            "alsa: no microphone found; plug one in, and check that this user is in group audio"
        )
    if not name:
        return next((device for device in devices if device.is_default), devices[0])
    for fits in (
        _on_card(name, devices, cards),
        [device for device in devices if device.name.casefold() == name.casefold()],
        [device for device in devices if name.casefold() in device.name.casefold()],
        _on_described_card(name, devices, cards),
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise CaptureError(f"alsa: {name!r} fits {_names(fits)}; write more of the name")
    raise CaptureError(
        f"alsa: no microphone {name!r}; there is {_names(devices)} (see: edge-asd devices)"
    )


def _names(devices: Sequence[InputDevice]) -> str:
    shown = ", ".join(repr(device.name) for device in devices[:6])
    return shown + (f" and {len(devices) - 6} more" if len(devices) > 6 else "")


def _on_card(name: str, devices: Sequence[InputDevice], cards: str) -> list[InputDevice]:
    """Inputs of the card with that id, device 0 unless ``DEV=`` says otherwise."""
    match = re.fullmatch(r"(?:(?:plug)?hw:)?(?:CARD=)?([^,=:]+)(?:,(?:DEV=)?(\d+))?", name)
    if match is None:
        return []
    card, device = match.group(1), match.group(2)
    numbers = [number for number, identity, _ in _CARD.findall(cards) if identity == card]
    if not numbers and name.startswith(("hw:", "plughw:")) and card.isdigit():
        numbers = [card]
    found = [entry for number in numbers for entry in devices if f"(hw:{number}," in entry.name]
    if device is None and len(found) > 1:
        device = "0"
    return [entry for entry in found if device is None or entry.name.endswith(f",{device})")]


def _on_described_card(name: str, devices: Sequence[InputDevice], cards: str) -> list[InputDevice]:
    """Inputs of the cards whose long description holds the name."""
    lines = cards.splitlines()
    for at, line in enumerate(lines):
        match = _CARD.match(line)
        described = line + (lines[at + 1] if at + 1 < len(lines) else "")
        if match is not None and name.casefold() in described.casefold():
            return _on_card(match.group(2), devices, cards)
    return []
