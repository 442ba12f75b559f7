"""Which microphones there are, and which one a name means."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_asd.capture.cards import SoundCard
from edge_asd.capture.child import Child
from edge_asd.errors import CaptureError

NO_PORTAUDIO = "the PortAudio library is missing; apt install libportaudio2"

_HARDWARE = re.compile(r"\(hw:(\d+),(\d+)\)$")


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
    """What PortAudio suggests, in hertz: 44100 wherever that works, native or not."""
    is_default: bool

    @property
    def hardware(self) -> tuple[int, int] | None:
        """Numbers of the sound card and of its input; None for what ALSA's configuration made."""
        match = _HARDWARE.search(self.name)
        return (int(match.group(1)), int(match.group(2))) if match else None


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


def choose_device(
    name: str, devices: Sequence[InputDevice], cards: Sequence[SoundCard]
) -> InputDevice:
    """Find the input that a name means.

    Tried in this order: the default for an empty name; ``usb:`` with a serial number or a socket;
    ``hw:CARD=id,DEV=n`` or a card's id; the exact device name; a part of a device name or of a
    card's description. ``,DEV=n`` picks an input of a card, the first one otherwise.

    Args:
        name: What the operator wrote.
        devices: All inputs.
        cards: All sound cards.

    Returns:
        The only device that fits.

    Raises:
        CaptureError: None fits, or several; names what there is.
    """
    if name.startswith("usb:"):
        return _on_usb(name[4:], devices, cards)
    if not devices:
        raise CaptureError(
            "alsa: no microphone found; plug one in, start its sound server if it has one, and "
            "check that this user is in group audio"
        )
    if not name:
        return next((device for device in devices if device.is_default), devices[0])
    for fits in _candidates(name, devices, cards):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise CaptureError(f"alsa: {name!r} fits {_names(fits)}; write more of the name")
    raise CaptureError(
        f"alsa: no microphone {name!r}; there is {_names(devices)} (see: edge-asd devices)"
    )


def _candidates(
    name: str, devices: Sequence[InputDevice], cards: Sequence[SoundCard]
) -> Iterator[list[InputDevice]]:
    yield _on_card(name, devices, cards)
    yield [device for device in devices if device.name.casefold() == name.casefold()]
    yield [device for device in devices if name.casefold() in device.name.casefold()]
    yield _on_described_card(name, devices, cards)


def _names(devices: Sequence[InputDevice]) -> str:
    shown = ", ".join(repr(device.name) for device in devices[:6])
    return shown + (f" and {len(devices) - 6} more" if len(devices) > 6 else "")


def _inputs_of(
    numbers: Sequence[int], device: str | None, devices: Sequence[InputDevice]
) -> list[InputDevice]:
    """Inputs of these cards, the first of each unless a number says otherwise."""
    found = [entry for entry in devices if entry.hardware and entry.hardware[0] in numbers]
    if device is not None:
        return [entry for entry in found if entry.hardware and entry.hardware[1] == int(device)]
    first: dict[int, InputDevice] = {}
    for entry in sorted(found, key=lambda entry: entry.hardware or (0, 0)):
        if entry.hardware is not None:
            first.setdefault(entry.hardware[0], entry)
    return list(first.values())


def _on_card(
    name: str, devices: Sequence[InputDevice], cards: Sequence[SoundCard]
) -> list[InputDevice]:
    match = re.fullmatch(r"(?:(?:plug)?hw:)?(?:CARD=)?([^,=:]+)(?:,(?:DEV=)?(\d+))?", name)
    if match is None:
        return []
    wanted, device = match.group(1), match.group(2)
    numbers = [card.number for card in cards if card.id == wanted]
    if not numbers and name.startswith(("hw:", "plughw:")) and wanted.isdigit():
        numbers = [int(wanted)]
    return _inputs_of(numbers, device, devices)


def _on_described_card(
    name: str, devices: Sequence[InputDevice], cards: Sequence[SoundCard]
) -> list[InputDevice]:
    words = name.casefold()
    numbers = [c.number for c in cards if words in f"{c.name} {c.description}".casefold()]
    return _inputs_of(numbers, None, devices)


def _on_usb(which: str, devices: Sequence[InputDevice], cards: Sequence[SoundCard]) -> InputDevice:
    """The microphone with that serial number, or in that socket."""
    wanted, device = which, None
    if match := re.fullmatch(r"(.+),(?:DEV=)?(\d+)", which):
        wanted, device = match.group(1), match.group(2)
    on_usb = [(card, card.usb) for card in cards if card.usb is not None]
    fits = [card for card, usb in on_usb if wanted in {usb.serial, usb.path, usb.port}]
    if not wanted or not fits:
        there = ", ".join(_usb_name(card) for card, _ in on_usb) or "none on the USB"
        raise CaptureError(f"alsa: no microphone usb:{which}; there is {there}")
    if len(fits) > 1:
        alike = ", ".join(_usb_name(card) for card in fits)
        raise CaptureError(f"alsa: usb:{which} fits {alike}; write the socket, as in usb:1-1.2")
    found = _inputs_of([fits[0].number], device, devices)
    if not found:
        what = f"input {device}" if device else "input"
        raise CaptureError(f"alsa: {_usb_name(fits[0])} has no {what}; see: edge-asd devices")
    return found[0]


def _usb_name(card: SoundCard) -> str:
    usb = card.usb
    if usb is None:
        return card.name
    serial = f"serial {usb.serial}" if usb.serial else "no serial"
    return f"{card.name!r} ({serial}, socket {usb.path})"
