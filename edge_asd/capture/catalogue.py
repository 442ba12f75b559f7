"""Every input there is, with all that is known about it: what ``edge-asd devices`` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.capture.abilities import Abilities
from edge_asd.capture.cards import PROC, SYSFS, SoundCard, identities, read_cards
from edge_asd.capture.child import Child
from edge_asd.capture.devices import InputDevice, choose_device, portaudio_child
from edge_asd.capture.negotiate import rates_to_try
from edge_asd.errors import CaptureError, StallError

_LIST_S = 20.0  # sound servers that do not answer hold PortAudio up
_ABILITIES_S = 3.0
_LINE_BYTES = 1 << 20
_HANGS = "does not answer"


@dataclass(frozen=True, slots=True)
class InputEntry:
    """An input, as an operator wants to know it."""

    source: str
    """What to write as a monitor's source; means the same device after every start."""
    name: str
    """PortAudio's."""
    description: str
    host_api: str
    channels: int
    """At most."""
    native_rate: int | None
    """Hertz, opened unless the source says otherwise; None behind a converter or sound server."""
    rates: tuple[int, ...]
    """Hertz that the hardware can do; empty where that is not known."""
    formats: tuple[str, ...]
    """ALSA's names of the sample formats that the hardware can do."""
    is_default: bool
    """The source ``alsa:`` means this one."""
    identity: str
    """Which microphone it is; empty where only opening it tells."""
    card: str
    """The sound card's id; empty for what ALSA's configuration made."""
    usb_path: str
    usb_port: str
    serial: str
    vendor_product: str
    remark: str
    """What is wrong with it right now, or nothing."""


def list_inputs(
    *, timeout_s: float = _LIST_S, proc: Path = PROC, sysfs: Path = SYSFS
) -> list[InputEntry]:
    """List the inputs, in a short-lived child so that this process never initialises PortAudio.

    Args:
        timeout_s: Longest wait for the list itself.
        proc: ``/proc/asound``.
        sysfs: ``/sys``.

    Raises:
        CaptureError: PortAudio is missing or does not answer.
    """
    child = portaudio_child("listing microphones", "is a sound server hanging?", "--list")
    try:
        devices = _devices(child, timeout_s)
        known = _abilities(child, [device for device in devices if device.hardware])
    finally:
        child.close()
    cards = read_cards(proc, sysfs)
    return [_entry(device, cards, known.get(device.index)) for device in devices]


def _devices(child: Child, timeout_s: float) -> list[InputDevice]:
    reply = child.read_line(_LINE_BYTES, timeout_s)
    try:
        answer = json.loads(reply)
        if "error" in answer:
            raise CaptureError(str(answer["error"]))
        return [InputDevice(**device) for device in answer["devices"]]
    except (ValueError, TypeError, KeyError):
        said = child.last_error_line or "no answer"
        raise CaptureError(f"listing microphones failed: {said}") from None


def _abilities(child: Child, hardware: Sequence[InputDevice]) -> dict[int, Abilities]:
    """One line a hardware device; a driver that hangs ends the list, not the command."""
    known = {device.index: Abilities(remark=_HANGS) for device in hardware}
    for _ in hardware:
        try:
            answer: dict[str, Any] = json.loads(child.read_line(_LINE_BYTES, _ABILITIES_S))
        except (StallError, ValueError):
            break
        fewest_most = answer.get("channels")
        known[int(answer["index"])] = Abilities(
            rates=tuple(answer["rates"]),
            formats=tuple(answer["formats"]),
            channels=tuple(fewest_most) if fewest_most else None,
            remark=str(answer["remark"]),
        )
    return known


def _entry(
    device: InputDevice, cards: Sequence[SoundCard], abilities: Abilities | None
) -> InputEntry:
    able = abilities or Abilities()
    card = _card_of(device, cards)
    usb = card.usb if card is not None else None
    number = device.hardware[1] if device.hardware else 0
    return InputEntry(
        source=_source(device, card),
        name=device.name,
        description=_description(device, card),
        host_api=device.host_api,
        channels=able.channels[1] if able.channels else device.channels,
        native_rate=_native_rate(device, able),
        rates=able.rates,
        formats=able.formats,
        is_default=device.is_default,
        identity=identities(card, number, cards)[0] if card is not None else "",
        card=card.id if card is not None else "",
        usb_path=usb.path if usb is not None else "",
        usb_port=usb.port if usb is not None else "",
        serial=usb.serial if usb is not None else "",
        vendor_product=usb.vendor_product if usb is not None else "",
        remark=able.remark,
    )


def _card_of(device: InputDevice, cards: Sequence[SoundCard]) -> SoundCard | None:
    number = device.hardware[0] if device.hardware else None
    return next((card for card in cards if card.number == number), None)


def _source(device: InputDevice, card: SoundCard | None) -> str:
    if device.hardware is None:
        return f"alsa:{device.name}"
    name = card.id if card is not None else device.hardware[0]
    return f"alsa:hw:CARD={name},DEV={device.hardware[1]}"


def _description(device: InputDevice, card: SoundCard | None) -> str:
    if card is None:
        return device.name
    # PortAudio writes "card: input (hw:1,0)"; of the input, USB microphones say "-" or their name.
    part = device.name.rpartition(" (hw:")[0].partition(": ")[2]
    named = f"{card.name}: {part}" if part not in {"", "-", card.name} else card.name
    return f"{named} ({card.description})" if card.description else named


def _native_rate(device: InputDevice, able: Abilities) -> int | None:
    if device.hardware is None:
        return None
    return next((rate for rate in rates_to_try(0, device) if rate in able.rates), None)


def find_input(name: str, entries: Sequence[InputEntry], cards: Sequence[SoundCard]) -> InputEntry:
    """The entry that a monitor's source of that name would listen to.

    Args:
        name: As behind ``alsa:``.
        entries: All inputs.
        cards: All sound cards.

    Raises:
        CaptureError: None fits, or several.
    """
    devices = [
        InputDevice(at, entry.name, entry.host_api, entry.channels, 0, entry.is_default)
        for at, entry in enumerate(entries)
    ]
    return entries[choose_device(name, devices, cards).index]
