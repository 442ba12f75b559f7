"""The only process that touches PortAudio; started by `edge_asd.capture.devices`.

PortAudio freezes its list of devices when it starts, and a driver may crash or hang: so every
microphone has a process of its own, which its owner kills and starts again. It reads with blocking
calls, because callbacks need writable and executable memory, and never stops a stream, because
that can hang for minutes; the kernel closes the device when the process ends.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from edge_asd.capture import wire
from edge_asd.capture.devices import NO_PORTAUDIO, InputDevice, choose_device, read_cards
from edge_asd.errors import CaptureError

_BLOCK_S = 0.1
_FULL_SCALE = np.float32(2.0**-31)


def main() -> None:
    """List the inputs or read one of them until the owner goes away."""
    parser = argparse.ArgumentParser(prog="portaudio_child", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the inputs as JSON and leave")
    parser.add_argument("--device", default="", help="name as in alsa:NAME")
    parser.add_argument("--rate", type=int, default=0, help="hertz; 0 is the device's own")
    parser.add_argument("--channels", type=int, default=1)
    arguments = parser.parse_args()
    # Audio libraries may print: what they print must not get between the records.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    code = _list(out) if arguments.list else _capture(out, arguments)
    # Without clean-up: PortAudio's own termination waits for streams and can hang.
    os._exit(code)


def _list(out: BinaryIO) -> int:
    try:
        answer: dict[str, Any] = {"devices": [asdict(device) for device in _inputs(_portaudio())]}
    except CaptureError as error:
        answer = {"error": str(error)}
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()
    return 0


def _capture(out: BinaryIO, arguments: argparse.Namespace) -> int:
    threading.Thread(target=_leave_with_owner, name="owner", daemon=True).start()
    try:
        _stream(out, arguments.device, arguments.rate, arguments.channels)
    except CaptureError as error:
        out.write(wire.pack_error(str(error)))
        out.flush()
    except BrokenPipeError:
        pass  # the owner is gone
    return 1


def _leave_with_owner() -> None:
    """End with the owner even while the driver holds the main thread."""
    os.read(0, 1)
    os._exit(0)


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


def _stream(out: BinaryIO, name: str, rate: int, channels: int) -> None:
    portaudio = _portaudio()
    device = choose_device(name, _inputs(portaudio), read_cards())
    if channels > device.channels:
        raise CaptureError(
            f"alsa: {device.name!r} has {device.channels} channels, not {channels}; "
            f"write channels={device.channels} or fewer"
        )
    rate = rate or device.default_rate
    try:
        # int32 keeps 24 bits, cannot hold NaN and is what every driver converts to exactly.
        stream = portaudio.RawInputStream(
            device=device.index, samplerate=rate, channels=channels, dtype="int32", latency="high"
        )
        stream.start()
    except portaudio.PortAudioError as error:
        raise CaptureError(
            f"alsa: cannot open {device.name!r} at {rate} Hz: {error}; its own rate is "
            f"{device.default_rate} Hz, and another program may hold it (fuser -v /dev/snd/*)"
        ) from error
    out.write(wire.Hello(rate, channels, device.name).line())
    try:
        _copy(stream, out, rate, channels)
    except portaudio.PortAudioError as error:
        raise CaptureError(f"alsa: {device.name!r} stopped: {error}; is it unplugged?") from error
    finally:
        stream.abort(ignore_errors=True)


def _copy(stream: Any, out: BinaryIO, rate: int, channels: int) -> None:
    frames = max(1, round(_BLOCK_S * rate))
    began = time.monotonic_ns()
    start = sequence = 0
    while True:
        data, overflowed = stream.read(frames)
        now = time.monotonic_ns()
        if overflowed:
            # How much the driver lost is not said: what the clock misses, and at least one sample.
            start += max(1, (now - began) * rate // 1_000_000_000 - start - frames)
        samples = np.frombuffer(data, "<i4").astype(np.float32) * _FULL_SCALE
        kind = wire.OVERFLOW if overflowed else wire.BLOCK
        out.write(wire.pack(wire.Header(kind, sequence, start, now, frames, channels), samples))
        out.flush()
        start, sequence = start + frames, sequence + 1


if __name__ == "__main__":  # by hand: python -m edge_asd.capture.portaudio_child --list
    main()
