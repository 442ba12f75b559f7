"""The only process that touches PortAudio; started by `edge_asd.capture.devices`.

PortAudio freezes its list of devices when it starts, and a driver may crash or hang: so every
microphone has a process of its own, which its owner kills and starts again. It reads with blocking
calls, because callbacks need writable and executable memory, and never stops a stream, because
that can hang for minutes; the kernel closes the device when the process ends.

It imports little, because every second of a start is a second of deafness.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections import deque
from dataclasses import asdict
from typing import Any, BinaryIO, NoReturn

from edge_asd.capture import wire
from edge_asd.capture.abilities import abilities
from edge_asd.capture.cards import read_cards
from edge_asd.capture.devices import NO_PORTAUDIO, InputDevice, choose_device
from edge_asd.capture.due import Due
from edge_asd.capture.negotiate import Opened, open_input, rates_to_try, shorten_periods
from edge_asd.capture.origin import Held, Origin, find_origin
from edge_asd.capture.pulse import TOKEN
from edge_asd.errors import CaptureError

_BLOCK_S = 0.1
_PROOF_S = 0.03  # a sound server has told by then that it moved the stream: 10 ms under heavy load
_TOGETHER_S = 0.5  # blocks before the one that is waited for: each by itself wakes its owner up
_LAST_WORDS_S = 1.0


def main() -> None:
    """List the inputs or read one of them until the owner goes away."""
    parser = argparse.ArgumentParser(prog="portaudio_child", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the inputs as JSON and leave")
    parser.add_argument("--device", default="", help="name as in alsa:NAME")
    parser.add_argument("--rate", type=int, default=0, help="hertz; 0 is the device's own")
    parser.add_argument("--channels", type=int, default=1, help="at least so many")
    parser.add_argument("--expect", default="", help="identity to report if it fits as well")
    arguments = parser.parse_args()
    # Audio libraries may print: what they print must not get between the records.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    due = Due()
    threading.Thread(target=_follow_owner, args=(due,), name="owner", daemon=True).start()
    code = _list(out) if arguments.list else _capture(out, arguments, due)
    # Without clean-up: PortAudio's own termination waits for streams and can hang.
    os._exit(code)


def _list(out: BinaryIO) -> int:
    """All inputs in one line, then a line for every one that is hardware."""
    try:
        devices = _inputs(_portaudio())
    except CaptureError as error:
        _say(out, {"error": str(error)})
        return 0
    _say(out, {"devices": [asdict(device) for device in devices]})
    for device in devices:
        if device.hardware is not None:
            card, number = device.hardware
            able = abilities(f"hw:{card},{number}")
            _say(out, {"index": device.index, **asdict(able)})
    return 0


def _say(out: BinaryIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def _capture(out: BinaryIO, arguments: argparse.Namespace, due: Due) -> int:
    writer = _Writer(out)
    try:
        _stream(writer, arguments, due)
    except CaptureError as error:
        writer.leave(str(error))
    except BrokenPipeError:
        pass  # the owner is gone
    return 1


def _follow_owner(due: Due) -> None:
    """Note when its windows are complete, and end with it even while the driver holds all else."""
    while len(told := os.read(0, wire.DUE_BYTES)) == wire.DUE_BYTES:
        due.index = wire.unpack_due(told)
    os._exit(0)


class _Writer:
    """Whole records only, from whichever thread."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Write one record or the hello line."""
        with self._lock:
            self._out.write(data)
            self._out.flush()

    def leave(self, reason: str) -> NoReturn:
        """Say why and end the process, also when the owner does not read or is gone."""
        if self._lock.acquire(timeout=_LAST_WORDS_S):
            try:
                self._out.write(wire.pack_error(reason))
                self._out.flush()
            finally:
                os._exit(1)
        os.write(2, reason.encode() + b"\n")
        os._exit(1)


def _portaudio() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 - loads the library, which may be missing
    except (OSError, ImportError) as error:
        missing = "PortAudio" in str(error)
        raise CaptureError(NO_PORTAUDIO if missing else f"PortAudio: {error}") from error
    return sounddevice


def _inputs(portaudio: Any) -> list[InputDevice]:
    try:
        apis = portaudio.query_hostapis()
        default = next(
            (api["default_input_device"] for api in apis if api["default_input_device"] >= 0), -1
        )
        return [
            InputDevice(
                index=index,
                name=device["name"],
                host_api=apis[device["hostapi"]]["name"],
                channels=device["max_input_channels"],
                default_rate=round(device["default_samplerate"]),
                is_default=index == default,
            )
            for index, device in enumerate(portaudio.query_devices())
            if device["max_input_channels"] > 0
        ]
    except portaudio.PortAudioError as error:
        raise CaptureError(f"PortAudio: {error}") from error


def _stream(writer: _Writer, arguments: argparse.Namespace, due: Due) -> None:
    token = os.urandom(8).hex()
    # What the libraries hand to a sound server as properties of every stream of this process.
    os.environ[f"PULSE_PROP_{TOKEN}"] = token
    os.environ.setdefault("PIPEWIRE_PROPS", f'{{ {TOKEN} = "{token}" }}')
    portaudio = _portaudio()
    shorten_periods(portaudio)
    device = choose_device(arguments.device, _inputs(portaudio), read_cards())
    opened, origin = _open(portaudio, device, arguments, token)
    hello = wire.Hello(
        rate=opened.rate,
        channels=opened.channels,
        format=opened.format,
        device=device.name,
        identity=origin.identity(arguments.expect),
        note="; ".join(filter(None, (_rate_note(arguments.rate, opened.rate), origin.note))),
    )
    writer.write(hello.line())
    if origin.client is not None and origin.route is not None:
        follow = threading.Thread(target=_follow, args=(writer, origin), name="route", daemon=True)
        follow.start()
    try:
        _copy(opened, writer, due, _PROOF_S if origin.route is not None else 0.0)
    except portaudio.PortAudioError as error:
        raise CaptureError(f"alsa: {device.name!r} stopped: {error}; is it unplugged?") from error
    finally:
        opened.close()


def _open(
    portaudio: Any, device: InputDevice, arguments: argparse.Namespace, token: str
) -> tuple[Opened, Origin]:
    """Open it, and again at the rate of the hardware if a converter turns out to lie between."""
    # PortAudio may itself keep connections to sound servers, which are not the stream's.
    before = None if "pulse" in device.host_api.casefold() else Held()
    if arguments.channels > device.channels:
        raise CaptureError(
            f"alsa: {device.name!r} has {device.channels} channels, not {arguments.channels}; "
            f"write channels={device.channels} or fewer"
        )
    rates = rates_to_try(arguments.rate, device)
    opened = open_input(portaudio, device, rates, arguments.channels)
    origin = find_origin(device.name, token, held=Held(), before=before, cards=read_cards)
    if arguments.rate or origin.rate in {None, opened.rate}:
        return opened, origin
    opened.close()
    if origin.client is not None:
        origin.client.close()
    own = [rate for rate in (origin.rate, opened.rate) if rate]
    opened = open_input(portaudio, device, own, arguments.channels)
    origin = find_origin(device.name, token, held=Held(), before=before, cards=read_cards)
    return opened, origin


def _rate_note(asked: int, rate: int) -> str:
    return f"opened at {rate} Hz, because it refuses {asked} Hz" if asked not in {0, rate} else ""


def _follow(writer: _Writer, origin: Origin) -> None:
    """Leave at once when the sound server takes the stream from this microphone."""
    if origin.client is not None and origin.route is not None:
        writer.leave(f"alsa: {origin.client.follow(origin.route)}")


def _copy(opened: Opened, writer: _Writer, due: Due, proof_s: float) -> None:
    """Copy blocks for ever, each once it is so old that another microphone's would be known.

    That is looked at when the next one has been read; one that somebody waits for is not held
    longer than it must be, and those before it go together.
    """
    rate = opened.rate
    usual = max(1, round(_BLOCK_S * rate))
    start = sequence = 0
    waiting: deque[tuple[int, bytes]] = deque()
    while True:
        frames = due.length(start, usual)
        data, overflowed = opened.stream.read(frames)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        urgent = start + frames == due.index
        if overflowed:
            start += 1  # how much the driver lost is not said; the owner finds out by time
        kind = wire.OVERFLOW if overflowed else wire.BLOCK
        payload = bytes(data)
        header = wire.Header(kind, sequence, start, now, frames, len(payload))
        waiting.append((now, wire.pack(header, payload)))
        start, sequence = start + frames, sequence + 1
        if urgent:
            time.sleep(proof_s)  # the driver's buffer holds much more
        hold_s = _TOGETHER_S if due.index > start else proof_s
        if urgent or now - waiting[0][0] >= hold_s * 1e9:
            proven = [data for read, data in waiting if urgent or now - read >= proof_s * 1e9]
            writer.write(b"".join(proven))
            for _ in proven:
                waiting.popleft()


if __name__ == "__main__":  # by hand: python -m edge_asd.capture.portaudio_child --list
    main()
