"""What is heard from a microphone is judged, and one that the daemon has open is left alone."""

from __future__ import annotations

import pytest

from edge_asd.capture.probe import ChannelLevel, Probe
from edge_asd.config import parse_config
from edge_asd.doctor import sound
from edge_asd.doctor.findings import Status
from edge_asd.doctor.sound import examine_sound
from edge_asd.errors import CaptureError

CONFIG = parse_config({"monitors": [{"name": "pump", "source": "alsa:mic", "channel": 1}]}, "test")
WELL = ChannelLevel(-40.0, -20.0, -60.0, 0.0, 0.0, digital_silence=False)
SILENT = ChannelLevel(None, None, None, 0.1, 0.0, digital_silence=True)
LOUD = ChannelLevel(-3.0, 0.0, -10.0, 0.0, 0.2, digital_silence=False)


def heard(monkeypatch, *channels, error="", running=None):
    """What is said of a microphone with these channels."""
    result = Probe("alsa:mic", error=error, rate=48_000, channels=channels)

    def probe(source, *, channels):
        assert (source.name, channels) == ("mic", 2)
        return result

    monkeypatch.setattr(sound, "probe", probe)
    monkeypatch.setattr(sound, "list_inputs", list)
    *_, found = examine_sound(CONFIG, running)
    assert found.name == "sound: pump"
    assert bool(found.remedy) == (found.status in (Status.FAILED, Status.WARNING))
    return found


@pytest.mark.parametrize(
    ("channels", "status", "text"),
    [
        ((SILENT, WELL), Status.OK, "-40 dBFS at 48000 Hz"),
        ((WELL, SILENT), Status.FAILED, "digital silence"),
        ((WELL, LOUD), Status.WARNING, "20.0 % clipped"),
        ((WELL,), Status.FAILED, "has 1 channels, 1 is wanted"),
    ],
)
def test_the_monitors_channel_is_judged(monkeypatch, channels, status, text):
    found = heard(monkeypatch, *channels)
    assert found.status is status
    assert text in found.text


def test_a_microphone_that_cannot_be_opened_says_why(monkeypatch):
    found = heard(monkeypatch, error="alsa:mic: no such microphone")
    assert (found.status, found.text) == (Status.FAILED, "alsa:mic: no such microphone")


def test_the_daemons_microphone_is_left_alone(monkeypatch):
    row = {"state": "normal", "reason": ""}
    found = heard(monkeypatch, WELL, WELL, running={"pump": row})
    assert (found.status, "the daemon listens" in found.text) == (Status.SKIPPED, True)


def test_without_a_sound_library_a_microphone_cannot_work(monkeypatch):
    def missing():
        raise CaptureError("PortAudio library not found")

    monkeypatch.setattr(sound, "list_inputs", missing)
    monkeypatch.setattr(sound, "probe", lambda *_, **__: Probe("alsa:mic", error="x"))
    found = {finding.name: finding for finding in examine_sound(CONFIG, None)}
    assert found["sound: PortAudio"].status is Status.FAILED
    assert "libportaudio2" in found["sound: PortAudio"].remedy
    simulated = parse_config({"monitors": [{"name": "m", "source": "sim:pump"}]}, "test")
    found = {finding.name: finding for finding in examine_sound(simulated, None)}
    assert found["sound: PortAudio"].status is Status.SKIPPED  # and missing() was not called
