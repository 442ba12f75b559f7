"""The way from a microphone to the daemon: PortAudio, its inputs, and a second of listening."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_asd.capture import AlsaUri, list_inputs, parse_source
from edge_asd.capture.cards import read_cards
from edge_asd.capture.probe import Probe, probe
from edge_asd.config import Config, MonitorConfig
from edge_asd.doctor.findings import Finding, failed, ok, skipped, warning
from edge_asd.errors import CaptureError

_INSTALL = "sudo apt install libportaudio2; is a sound server hanging?"


def microphones(config: Config) -> list[tuple[MonitorConfig, AlsaUri]]:
    """The monitors that listen to a microphone."""
    found = [(section, parse_source(section.source)) for section in config.monitors]
    return [(section, source) for section, source in found if isinstance(source, AlsaUri)]


def examine_sound(config: Config, running: Mapping[str, Any] | None) -> Iterator[Finding]:
    """List the inputs, and listen to those that are wanted, unless the daemon does.

    Args:
        config: The operator's file.
        running: What the daemon says of its monitors, by name; None if none runs.
    """
    wanted = microphones(config)
    cards = ", ".join(f"{card.id} ({card.name})" for card in read_cards())
    yield ok("sound: cards", cards) if cards else skipped("sound: cards", "the kernel shows none")
    if not wanted:
        # PortAudio takes its time, up to half a minute where a sound server does not answer.
        yield skipped("sound: PortAudio", "no monitor listens to a microphone")
        return
    yield _portaudio()
    for section, source in wanted:
        row = (running or {}).get(section.name)
        where = f"sound: {section.name}"
        if row is not None:
            yield skipped(where, f"the daemon listens to it: {row['state']} {row['reason']}")
        else:
            yield _heard(where, section, probe(source, channels=section.channel + 1))


def _portaudio() -> Finding:
    name = "sound: PortAudio"
    try:
        inputs = list_inputs()
    except CaptureError as error:
        return failed(name, str(error), _INSTALL)
    if not inputs:
        return warning(name, "no inputs", "plug in the microphone; is its user in group audio?")
    return ok(name, f"{len(inputs)} inputs: {', '.join(entry.source for entry in inputs[:4])}")


def _heard(name: str, section: MonitorConfig, result: Probe) -> Finding:
    if result.error:
        return failed(name, result.error, "see: edge-asd devices --probe")
    if section.channel >= len(result.channels):
        text = f"{section.source}: has {len(result.channels)} channels, {section.channel} is wanted"
        return failed(name, text, "count channels from 0")
    heard = result.channels[section.channel]
    if heard.digital_silence or heard.level_dbfs is None:
        remedy = "is it muted (alsamixer -c), or unplugged behind its converter?"
        return failed(name, f"{section.source}: digital silence", remedy)
    text = f"{section.source}: {heard.level_dbfs:.0f} dBFS at {result.rate} Hz"
    if heard.clipped_ratio > 0.001:
        remedy = "lower its gain (alsamixer)"
        return warning(name, f"{text}, {100 * heard.clipped_ratio:.1f} % clipped", remedy)
    return ok(name, text)
