"""Which microphone this process really listens to, whatever name it was opened by.

The name of an ALSA device says little: ``default`` may lead to any sound server or card. What the
process holds open says it for certain: the kernel's file of a sound card's input, or a connection
to a sound server, which is then asked where it takes our stream from.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_asd.capture.cards import PROC, SoundCard, identities
from edge_asd.capture.pulse import PulseClient, Route
from edge_asd.errors import CaptureError, StallError

_PCM = re.compile(r"/pcmC(\d+)D(\d+)c$")
_RATE = re.compile(r"^rate: (\d+)", re.MULTILINE)
_NOT_PULSE = re.compile(r"/(pipewire-\d|.*bus|jack[^/]*)[^/]*$")
_ANY = frozenset({"default", "pulse", "pipewire"})  # devices that leave the choice to a server
_UNCHECKED = "whether the sound server keeps the stream on this microphone cannot be checked"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the sound comes from."""

    identities: tuple[str, ...]
    """Texts that mean this microphone, the preferred one first."""
    rate: int | None = None
    """At which it really runs, hertz, behind whatever converts; None where that is not known."""
    note: str = ""
    """What cannot be checked."""
    client: PulseClient | None = None
    route: Route | None = None
    """The server's way to it; to be followed by ``client``."""

    def identity(self, expected: str) -> str:
        """The text to report: what was expected, if that means this microphone."""
        return expected if expected in self.identities else self.identities[0]


class Held:
    """Files and connections that this process has open, by their names in ``/proc/self/fd``."""

    def __init__(self, folder: Path = Path("/proc/self/fd")) -> None:
        self.links: dict[str, int] = {}
        """What is open, and the number of the descriptor."""
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                self.links[str(entry.readlink())] = int(entry.name)

    def inputs(self) -> list[tuple[int, int]]:
        """Sound card and input of every recording device."""
        matches = [_PCM.search(link) for link in sorted(self.links)]
        return [(int(match.group(1)), int(match.group(2))) for match in matches if match]

    def servers(self, before: Held | None) -> list[str]:
        """Addresses that sockets are connected to, without those held before."""
        known = before.links if before is not None else {}
        new = [link for link in sorted(self.links) if link not in known]
        peers = [_peer(self.links[link]) for link in new if link.startswith("socket:")]
        return list(dict.fromkeys(peer for peer in peers if peer))


def _peer(fd: int) -> str:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
        peer = connection.getpeername()
        if connection.family == socket.AF_UNIX and isinstance(peer, str) and peer:
            return f"unix:{peer}"
        if connection.family == socket.AF_INET:
            return f"tcp4:{peer[0]}:{peer[1]}"
        if connection.family == socket.AF_INET6:
            return f"tcp6:[{peer[0]}]:{peer[1]}"
    return ""


def find_origin(
    name: str,
    token: str,
    *,
    held: Held,
    before: Held | None,
    cards: Callable[[], tuple[SoundCard, ...]],
    proc: Path = PROC,
) -> Origin:
    """Look where a stream that runs comes from.

    Args:
        name: Of the device that was opened; its identity where nothing better is known.
        token: Property of our stream at a sound server.
        held: What is held now.
        before: What was held before it was opened, if that is known not to belong to it.
        cards: Reads the sound cards.
        proc: ``/proc/asound``.

    Raises:
        CaptureError: A sound server that must know does not say: opening again may help.
    """
    if inputs := held.inputs():
        return _hardware(inputs, cards(), proc)
    servers = held.servers(before)
    if not servers:
        return Origin((name,))
    return _served(name, token, servers, cards)


def _hardware(inputs: list[tuple[int, int]], cards: tuple[SoundCard, ...], proc: Path) -> Origin:
    texts = [_texts(card, device, cards) for card, device in inputs]
    rates = {_running_rate(proc, card, device) for card, device in inputs}
    rate = rates.pop() if len(rates) == 1 else None
    if len(texts) == 1:
        return Origin(texts[0], rate)
    return Origin((" + ".join(text[0] for text in texts),), rate)


def _texts(number: int, device: int, cards: tuple[SoundCard, ...]) -> tuple[str, ...]:
    card = next((card for card in cards if card.number == number), None)
    if card is None:
        return (f"card {number}, device {device}",)
    return identities(card, device, cards)


def _running_rate(proc: Path, card: int, device: int) -> int | None:
    """Rate of the hardware itself: below a converting device it differs from what is read."""
    for file in (proc / f"card{card}" / f"pcm{device}c").glob("sub*/hw_params"):
        with contextlib.suppress(OSError):
            if match := _RATE.search(file.read_text()):
                return int(match.group(1))
    return None


def _served(
    name: str, token: str, servers: Iterable[str], cards: Callable[[], tuple[SoundCard, ...]]
) -> Origin:
    reasons = []
    for server in servers:
        # PipeWire's own socket speaks another language; its stand-in for PulseAudio knows as well.
        ours = _NOT_PULSE.search(server) is None
        address = server if ours else ""
        try:
            client = PulseClient(address)
        except StallError:
            raise
        except CaptureError as error:
            reasons.append(str(error))
            continue
        route = client.route(token)
        if route is not None:
            _refuse_loudspeaker(name, route)
            local = cards() if server.startswith("unix:") else ()
            return _routed(client, route, local)
        client.close()
        if ours:
            raise CaptureError(f"alsa: {name!r} was lost at the sound server while it was opened")
        reasons.append("it does not know the stream")
    return Origin((name,), note=f"{_UNCHECKED}: {'; '.join(reasons)}")


def _refuse_loudspeaker(name: str, route: Route) -> None:
    """Where there is no microphone, sound servers offer what a loudspeaker plays: silence."""
    if route.plays and name in _ANY:
        raise CaptureError(
            f"alsa: the sound server has no microphone: {name!r} would be what {route.plays!r} "
            f"plays; plug one in, or give {route.source!r} an ALSA device of its own if you want it"
        )


def _routed(client: PulseClient, route: Route, cards: tuple[SoundCard, ...]) -> Origin:
    card = next((card for card in cards if card.number == route.card), None)
    # The card says more than the source's name, which of two alike depends on their order.
    texts = identities(card, route.device, cards) if card is not None else ()
    return Origin((*texts, route.source), route.rate, client=client, route=route)
