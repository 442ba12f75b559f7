"""The kernel's sound cards, and what stays the same about them when numbers change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc/asound")
SYSFS = Path("/sys")

_CARD = re.compile(r"^\s*(\d+)\s*\[(\S+)\s*\]:\s*(.*)$")
_DRIVER = re.compile(r"^\S+ - ")


@dataclass(frozen=True, slots=True)
class Usb:
    """A sound card on the USB."""

    vendor_product: str
    """Hexadecimal, ``0d8c:0014``."""
    serial: str
    """Empty where it has none, as most cheap ones."""
    path: str
    """Bus and ports, ``1-1.2``; the number of the bus may change when the machine starts."""
    port: str
    """Controller and ports, ``0000:00:14.0-1.2``: the socket it is plugged into."""


@dataclass(frozen=True, slots=True)
class SoundCard:
    """One of ``/proc/asound/cards``."""

    number: int
    """Changes from one start to the next."""
    id: str
    """As in ``hw:CARD=id``; of two alike, the one that came second gets ``_1``."""
    name: str
    description: str
    usb: Usb | None = None


def read_cards(proc: Path = PROC, sysfs: Path = SYSFS) -> tuple[SoundCard, ...]:
    """The sound cards there are now; none where the kernel has no sound.

    Args:
        proc: ``/proc/asound``.
        sysfs: ``/sys``.
    """
    cards = []
    lines = _text(proc / "cards").splitlines()
    for at, line in enumerate(lines):
        match = _CARD.match(line)
        if match is None:
            continue
        number = int(match.group(1))
        described = lines[at + 1].strip() if at + 1 < len(lines) else ""
        name = _DRIVER.sub("", match.group(3)).strip()
        usb = _usb(sysfs / "class" / "sound" / f"card{number}" / "device")
        cards.append(SoundCard(number, match.group(2), name, described, usb))
    return tuple(cards)


def identities(card: SoundCard, device: int, cards: Sequence[SoundCard]) -> tuple[str, ...]:
    """The texts that mean this microphone, the preferred one first.

    A serial number says more than the socket, unless two microphones have the same one: makers of
    cheap ones do that. The card's id is no part of it for USB, because it depends on the order in
    which microphones came.

    Args:
        card: Whose input it is.
        device: Number of the input on the card.
        cards: All cards.
    """
    which = f", device {device}" if device else ""
    usb = card.usb
    if usb is None:
        return (f"card {card.id}{which}",)
    what = f"usb {usb.vendor_product}"
    at = f" at {usb.port}{which}"
    if not usb.serial:
        return (what + at,)
    by_serial = f"{what} serial {usb.serial}"
    by_port = by_serial + at
    texts = (by_serial + which, by_port)
    return texts if _alone(card, cards) else texts[::-1]


def _alone(card: SoundCard, cards: Sequence[SoundCard]) -> bool:
    """No other one plugged in has the same maker, product and serial number."""
    usb = card.usb
    return not any(
        other.usb is not None
        and usb is not None
        and other.usb.path != usb.path
        and (other.usb.vendor_product, other.usb.serial) == (usb.vendor_product, usb.serial)
        for other in cards
    )


def _usb(device: Path) -> Usb | None:
    """The USB device that a sound card's ``device`` link leads to, through its interface."""
    try:
        node = device.resolve(strict=True)
    except OSError:
        return None
    while node != node.parent and not (node / "idVendor").is_file():
        node = node.parent
    if node == node.parent:
        return None
    bus, _, ports = node.name.partition("-")
    root = next((parent for parent in node.parents if parent.name == f"usb{bus}"), None)
    controller = root.parent.name if root is not None else f"usb{bus}"
    return Usb(
        vendor_product=f"{_word(node / 'idVendor')}:{_word(node / 'idProduct')}",
        serial=_word(node / "serial"),
        path=node.name,
        port=f"{controller}-{ports}",
    )


def _word(file: Path) -> str:
    return " ".join(_text(file).split())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
