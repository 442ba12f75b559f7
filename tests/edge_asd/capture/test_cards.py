"""A microphone is known again by what it is, not by the number or the id it was given this time."""

from __future__ import annotations

import pytest
from support.cards import CARDS, USB, write_cards

from edge_asd.capture.cards import SoundCard, Usb, identities, read_cards


def test_cards_come_with_their_usb_device(tmp_path):
    cards = read_cards(*write_cards(tmp_path))
    assert [(card.number, card.id, card.name) for card in cards] == [
        (0, "PCH", "HDA Intel PCH"),
        (1, "Device", "USB Audio Device"),
        (2, "Device_1", "USB Audio Device"),
        (3, "UMIK", "UMIK-1"),
    ]
    assert cards[0].usb is None
    assert cards[1].usb == Usb("0d8c:0014", "", "1-2", "0000:00:14.0-2")
    assert cards[3].usb == Usb("2752:0007", "7103 944", "1-3.2", "0000:00:14.0-3.2")
    assert cards[2].description.startswith("Acme Measurement Mic at usb-")


def test_a_machine_without_sound_has_no_cards(tmp_path):
    assert read_cards(tmp_path / "none", tmp_path / "none") == ()


def test_a_card_whose_place_in_sysfs_is_gone_is_still_a_card(tmp_path):
    proc, sysfs = write_cards(tmp_path)
    assert [card.usb for card in read_cards(proc, sysfs / "elsewhere")] == [None] * 4


@pytest.mark.parametrize(
    ("number", "device", "texts"),
    [
        (0, 0, ("card PCH",)),
        (0, 2, ("card PCH, device 2",)),
        (1, 0, ("usb 0d8c:0014 at 0000:00:14.0-2",)),
        (
            3,
            0,
            (
                "usb 2752:0007 serial 7103 944",
                "usb 2752:0007 serial 7103 944 at 0000:00:14.0-3.2",
            ),
        ),
    ],
)
def test_the_serial_number_is_preferred_to_the_socket_and_the_socket_to_nothing(
    tmp_path, number, device, texts
):
    cards = read_cards(*write_cards(tmp_path))
    assert identities(cards[number], device, cards) == texts


def test_a_microphone_with_a_serial_number_stays_the_same_in_another_socket(tmp_path):
    before = read_cards(*write_cards(tmp_path / "a"))
    moved = USB | {3: ("1-7", *USB[3][1:])}
    after = read_cards(*write_cards(tmp_path / "b", usb=moved))
    assert identities(before[3], 0, before)[0] == identities(after[3], 0, after)[0]


def test_two_that_share_a_serial_number_are_told_apart_by_their_sockets(tmp_path):
    twins = {1: ("1-2", "0d8c", "0014", "0001"), 2: ("1-4", "0d8c", "0014", "0001")}
    cards = read_cards(*write_cards(tmp_path, usb=twins))
    first, second = identities(cards[1], 0, cards), identities(cards[2], 0, cards)
    assert first[0] == "usb 0d8c:0014 serial 0001 at 0000:00:14.0-2"
    assert second[0] == "usb 0d8c:0014 serial 0001 at 0000:00:14.0-4"
    # Whoever was learned while it was alone is still accepted by its number.
    assert first[1] == second[1] == "usb 0d8c:0014 serial 0001"


def test_numbers_and_ids_that_change_places_change_no_identity(tmp_path):
    cards = read_cards(*write_cards(tmp_path / "a"))
    swapped = CARDS.replace(" 1 [Device  ", " 2 [Device  ").replace(" 2 [Device_1", " 1 [Device_1")
    usb = {1: USB[2], 2: USB[1], 3: USB[3]}
    again = read_cards(*write_cards(tmp_path / "b", cards=swapped, usb=usb))
    by_id = {card.id: card for card in again}
    assert by_id["Device"].number == 2
    assert identities(by_id["Device"], 0, again) == identities(cards[1], 0, cards)


def test_a_card_on_no_known_bus_is_called_by_its_id():
    card = SoundCard(5, "APE", "NVIDIA Jetson APE", "")
    assert identities(card, 1, [card]) == ("card APE, device 1",)
