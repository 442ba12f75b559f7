"""``edge-asd devices`` shows what to write as a source, and what to know before writing it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_asd.capture.catalogue import InputEntry
from edge_asd.capture.probe import ChannelLevel, Probe
from edge_asd.cli import _run

UMIK = InputEntry(
    source="alsa:hw:CARD=UMIK,DEV=0",
    name="UMIK-1: USB Audio (hw:3,0)",
    description="UMIK-1: USB Audio",
    host_api="ALSA",
    channels=2,
    native_rate=48_000,
    rates=(44_100, 48_000),
    formats=("S24_3LE",),
    is_default=False,
    identity="usb 2752:0007 serial 7103944",
    card="UMIK",
    usb_path="1-3.2",
    usb_port="0000:00:14.0-3.2",
    serial="7103944",
    vendor_product="2752:0007",
    remark="",
)
PULSE = replace(
    UMIK,
    source="alsa:pulse",
    name="pulse",
    description="pulse",
    channels=32,
    native_rate=None,
    rates=(),
    formats=(),
    is_default=True,
    identity="",
    card="",
    usb_path="",
    usb_port="",
    serial="",
    vendor_product="",
)
HEARD = ChannelLevel(-42.0, -20.5, -60.1, 0.001, 0.0, digital_silence=False)
DEAD = ChannelLevel(None, None, None, 0.0, 0.0, digital_silence=True)


class Listener:
    """Stands for `probe`: says what was asked of it."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def __call__(self, uri, *, channels):
        self.asked.append((uri.name, channels))
        return replace(
            Probe(uri.text, "", PULSE.name, 48_000, "s32le", 2, "", (HEARD, DEAD)), **self.answers
        )


@pytest.fixture
def devices(monkeypatch, capsys):
    def run(*arguments, entries=(UMIK, PULSE), listener=None):
        monkeypatch.setattr("edge_asd.cli.devices.list_inputs", lambda: list(entries))
        monkeypatch.setattr("edge_asd.cli.devices.read_cards", lambda: ())
        monkeypatch.setattr("edge_asd.cli.devices.probe", listener or Listener())
        code = _run(["devices", *arguments])
        return code, *capsys.readouterr()

    return run


def test_the_source_to_write_stands_alone_in_front(devices):
    code, out, _ = devices()
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "alsa:hw:CARD=UMIK,DEV=0",
        "alsa:pulse    (the default)",
    ]
    assert "    2 channels; 48000 Hz (also 44100); S24_3LE; ALSA" in lines
    assert any("serial 7103944; also alsa:usb:7103944 or alsa:usb:1-3.2" in line for line in lines)


def test_json_says_all_of_it(devices):
    code, out, _ = devices("--json")
    first, second = json.loads(out)
    assert code == 0
    assert (first["usb_path"], first["rates"], first["serial"]) == (
        "1-3.2",
        [44_100, 48_000],
        "7103944",
    )
    assert second["is_default"] is True
    assert "probe" not in first


def test_every_channel_of_a_card_is_listened_to_and_one_of_a_sound_server(devices):
    listener = Listener()
    code, out, _ = devices("--probe", listener=listener)
    assert code == 0
    assert listener.asked == [("hw:CARD=UMIK,DEV=0", 2), ("pulse", 1)]
    assert "channel 0: level -42.0 dBFS, peak -20.5 dBFS, noise -60.1 dBFS, DC +0.10 %" in out
    assert "channel 1: DIGITAL SILENCE" in out


def test_one_input_may_be_picked_as_a_source_would(devices):
    for text in ("pulse", "alsa:pulse", "alsa:"):
        listener = Listener()
        code, out, _ = devices("--probe", text, "--json", listener=listener)
        assert code == 0
        assert listener.asked == [("pulse", 1)]
        (only,) = json.loads(out)
        assert only["probe"]["channels"][0]["level_dbfs"] == -42.0


def test_an_input_that_cannot_be_opened_is_a_line_and_picked_it_is_an_exit_code(devices):
    listener = Listener(error="alsa:x: busy", channels=())
    code, out, _ = devices("--probe", listener=listener)
    assert code == 0
    assert out.count("cannot be listened to: alsa:x: busy") == 2
    code, out, err = devices("--probe", "pulse", listener=listener)
    assert code == 69
    assert err == "edge-asd: alsa:x: busy\n"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("Yeti", 69, "no microphone 'Yeti'"),
        ("sim:pump", 2, "only microphones can be probed"),
        ("alsa:pulse?rate=x", 78, "a whole number"),
    ],
)
def test_what_is_no_input_is_refused_in_one_line(devices, text, code, said):
    got, out, err = devices("--probe", text)
    assert (got, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_where_there_is_none_the_remedy_is_said(devices):
    code, out, _ = devices(entries=())
    assert code == 0
    assert "plug in a microphone" in out
    assert devices("--json", entries=())[1] == "[]\n"
