"""A name means one microphone, however the kernel numbers them, or is refused with a remedy."""

from __future__ import annotations

import re

import pytest
from support.cards import CARDS, USB, write_cards

from edge_asd.capture.cards import read_cards
from edge_asd.capture.devices import InputDevice, choose_device
from edge_asd.errors import CaptureError

DEVICES = [
    InputDevice(0, "HDA Intel PCH: ALC283 Analog (hw:0,0)", "ALSA", 2, 44100, is_default=False),
    InputDevice(1, "HDA Intel PCH: Alt (hw:0,2)", "ALSA", 2, 44100, is_default=False),
    InputDevice(2, "USB Audio Device: - (hw:1,0)", "ALSA", 1, 48000, is_default=False),
    InputDevice(3, "USB Audio Device: - (hw:2,0)", "ALSA", 1, 48000, is_default=False),
    InputDevice(4, "UMIK-1: USB Audio (hw:3,0)", "ALSA", 2, 48000, is_default=False),
    InputDevice(5, "pulse", "ALSA", 32, 44100, is_default=False),
    InputDevice(6, "default", "ALSA", 32, 44100, is_default=True),
]


@pytest.fixture
def cards(tmp_path):
    return read_cards(*write_cards(tmp_path))


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("", 6),
        ("Device", 2),
        ("Device_1", 3),
        ("hw:CARD=Device_1", 3),
        ("hw:CARD=Device,DEV=0", 2),
        ("plughw:CARD=PCH,DEV=2", 1),
        ("PCH", 0),
        ("hw:2,0", 3),
        ("pulse", 5),
        ("PULSE", 5),
        ("ALC283", 0),
        ("acme measurement", 3),
        ("usb:7103 944", 4),
        ("usb:7103 944,DEV=0", 4),
        ("usb:1-2", 2),
        ("usb:1-3.1", 3),
        ("usb:0000:00:14.0-3.2", 4),
    ],
)
def test_a_name_finds_its_microphone(cards, name, index):
    assert choose_device(name, DEVICES, cards).index == index


def test_the_card_s_id_and_the_socket_win_over_a_number_that_changed(tmp_path):
    swapped = CARDS.replace(" 1 [Device  ", " 2 [Device  ").replace(" 2 [Device_1", " 1 [Device_1")
    usb = {1: USB[2], 2: USB[1], 3: USB[3]}
    cards = read_cards(*write_cards(tmp_path, cards=swapped, usb=usb))
    assert choose_device("hw:CARD=Device", DEVICES, cards).index == 3
    assert choose_device("usb:1-2", DEVICES, cards).index == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("USB Audio Device", "fits .*hw:1,0.*hw:2,0.*write more"),
        ("Yeti", "no microphone 'Yeti'; there is .*pulse"),
        ("hw:CARD=PCH,DEV=7", "no microphone"),
        ("usb:42", "no microphone usb:42; there is .*no serial, socket 1-2.*serial 7103 944"),
        ("usb:1-2,DEV=3", "has no input 3"),
        ("usb:", "no microphone usb:"),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused_with_what_there_is(cards, name, said):
    with pytest.raises(CaptureError) as caught:
        choose_device(name, DEVICES, cards)
    assert re.search(said, str(caught.value))


def test_two_with_the_same_serial_number_are_refused_with_their_sockets(tmp_path):
    twins = {1: ("1-2", "0d8c", "0014", "0001"), 2: ("1-4", "0d8c", "0014", "0001")}
    cards = read_cards(*write_cards(tmp_path, usb=twins))
    with pytest.raises(CaptureError, match=r"socket 1-2.*socket 1-4.*write the socket"):
        choose_device("usb:0001", DEVICES, cards)
    assert choose_device("usb:1-4", DEVICES, cards).index == 3


def test_without_any_input_the_remedy_is_said():
    with pytest.raises(CaptureError, match="plug one in"):
        choose_device("", [], ())
    with pytest.raises(CaptureError, match="none on the USB"):
        choose_device("usb:1-2", [], ())
