"""What is listed is what can be written as a source, with what the kernel knows about it."""

from __future__ import annotations

import ctypes.util

import pytest
from support.cards import write_cards

from edge_asd.capture import list_inputs
from edge_asd.capture.abilities import FORMATS, RATES, abilities
from edge_asd.capture.cards import read_cards
from edge_asd.capture.catalogue import find_input
from edge_asd.errors import CaptureError

# Cards 31 and up: no machine that runs this has so many.
DRIVER = """
class PortAudioError(Exception):
    pass

def query_hostapis():
    return [{"name": "ALSA", "default_input_device": 2}]

def query_devices():
    names = ["HDA Intel PCH: ALC283 Analog (hw:30,2)", "UMIK-1: USB Audio (hw:33,0)", "default",
             "HDA Intel PCH: HDMI 0 (hw:30,3)", "Phantom: - (hw:39,0)"]
    return [
        {"name": name, "hostapi": 0, "max_input_channels": 0 if "HDMI" in name else 2,
         "default_samplerate": 44100.0}
        for name in names
    ]
"""

needs_alsa = pytest.mark.skipif(
    ctypes.util.find_library("asound") is None, reason="libasound2 is not installed"
)


@pytest.fixture
def entries(tmp_path, monkeypatch):
    (tmp_path / "sounddevice.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    return list_inputs(proc=cards(tmp_path)[0], sysfs=tmp_path / "system/sys")


def cards(folder):
    if not (folder / "system").exists():
        text = " 30 [PCH            ]: HDA-Intel - HDA Intel PCH\n"
        text += "                      HDA Intel PCH at 0xf7210000 irq 34\n"
        text += " 33 [UMIK           ]: USB-Audio - UMIK-1\n"
        text += "                      miniDSP UMIK-1 at usb-0000:00:14.0-3.2, high speed\n"
        usb = {33: ("1-3/1-3.2", "2752", "0007", "7103944")}
        write_cards(folder / "system", cards=text, usb=usb)
    return folder / "system/proc", folder / "system/sys"


def test_hardware_is_listed_by_its_card_and_the_rest_by_name(entries):
    assert [entry.source for entry in entries] == [
        "alsa:hw:CARD=PCH,DEV=2",
        "alsa:hw:CARD=UMIK,DEV=0",
        "alsa:default",
        "alsa:hw:CARD=39,DEV=0",
    ]
    assert [entry.is_default for entry in entries] == [False, False, True, False]


def test_a_usb_microphone_comes_with_everything_that_names_it(entries):
    umik = entries[1]
    assert (umik.usb_path, umik.usb_port, umik.serial, umik.vendor_product, umik.card) == (
        "1-3.2",
        "0000:00:14.0-3.2",
        "7103944",
        "2752:0007",
        "UMIK",
    )
    assert umik.identity == "usb 2752:0007 serial 7103944"
    assert umik.description == (
        "UMIK-1: USB Audio (miniDSP UMIK-1 at usb-0000:00:14.0-3.2, high speed)"
    )
    assert entries[0].identity == "card PCH, device 2"
    assert entries[2].identity == ""


def test_what_is_listed_is_found_again_by_what_is_listed(entries, tmp_path):
    known = read_cards(*cards(tmp_path))
    for entry in entries:
        assert find_input(entry.source.partition(":")[2], entries, known) is entry
    assert find_input("usb:7103944", entries, known) is entries[1]
    assert find_input("", entries, known) is entries[2]
    with pytest.raises(CaptureError, match="no microphone 'Yeti'"):
        find_input("Yeti", entries, known)


@needs_alsa
def test_a_card_that_cannot_be_asked_is_listed_with_the_reason(entries):
    assert entries[0].remark == "No such file or directory"
    assert entries[2].remark == ""


@needs_alsa
def test_alsa_is_asked_what_a_device_can_do():
    able = abilities("null")  # the one device that is everywhere, and accepts everything
    assert able.rates == RATES
    assert able.formats == tuple(FORMATS)
    assert able.channels is not None
    assert able.channels[0] == 1
    assert able.remark == ""


HANGS = (
    DRIVER
    + """
from edge_asd.capture import portaudio_child
portaudio_child.abilities = lambda pcm: __import__("time").sleep(60)
"""
)


def test_a_driver_that_hangs_costs_its_abilities_and_not_the_list(tmp_path, monkeypatch):
    (tmp_path / "sounddevice.py").write_text(HANGS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("edge_asd.capture.catalogue._ABILITIES_S", 0.2)
    entries = list_inputs(proc=tmp_path, sysfs=tmp_path)
    assert [entry.remark for entry in entries] == ["does not answer"] * 2 + ["", "does not answer"]
