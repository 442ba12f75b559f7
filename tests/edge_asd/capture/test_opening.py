"""A capture thread opens what its source's text says, and the same microphone ever after."""

from __future__ import annotations

import time

import pytest

from edge_asd.capture import capture, opening
from edge_asd.capture.cards import SoundCard, Usb
from edge_asd.capture.opening import open_source
from edge_asd.errors import CaptureError
from edge_asd.steady import SteadyClock


class Microphone:
    """Stands for the one that needs PortAudio; openings are scripted as (identity, rate)."""

    script = ()

    def __init__(self, uri, *, channels=1, expected_identity="", clock=None):
        kind = type(self)
        kind.asked.append((uri.rate, channels, expected_identity, clock))
        self.identity, self.sample_rate = kind.script[min(len(kind.asked), len(kind.script)) - 1]
        if expected_identity not in {"", self.identity}:
            raise CaptureError(f"this is another microphone: {self.identity}")

    def blocks(self):
        raise CaptureError("unplugged")

    def close(self):
        type(self).closed += 1


@pytest.fixture
def microphone(monkeypatch):
    kind = type("Scripted", (Microphone,), {"asked": [], "closed": 0})
    monkeypatch.setattr(opening, "Microphone", kind)
    return kind


def reopen(uri, times, **options):
    """Run a capture until its source was opened again so often; its status."""
    thread = capture("mic", uri, **options)
    thread._sleep = lambda _: None
    with thread:
        until = time.monotonic() + 20.0
        while thread.status().restarts < times:
            assert time.monotonic() < until
            time.sleep(0.005)
        return thread.status()


def test_the_first_microphone_is_asked_for_again_at_its_rate(microphone):
    microphone.script = (("mic-1", 48_000),)
    clock = SteadyClock()
    reopen("alsa:USB", 3, channels=2, clock=clock)
    assert microphone.asked[0] == (None, 2, "", clock)
    assert set(microphone.asked[1:]) == {(48_000, 2, "mic-1", clock)}


def test_another_microphone_in_its_place_is_refused(microphone):
    microphone.script = (("mic-1", 48_000), ("mic-2", 48_000))
    status = reopen("alsa:USB", 3)
    assert status.reason == "this is another microphone: mic-2"
    assert status.identity == "mic-1"


def test_the_microphone_of_a_profile_is_expected_from_the_beginning(microphone):
    microphone.script = (("mic-2", 48_000), ("mic-1", 48_000))
    reopen("alsa:USB", 3, expected_identity="mic-1")
    assert {asked[2] for asked in microphone.asked} == {"mic-1"}


def test_another_microphone_is_accepted_once_the_old_one_is_forgotten(microphone):
    microphone.script = (("mic-1", 48_000), ("mic-2", 44_100))
    thread = capture("mic", "alsa:USB")
    thread._open_source()
    thread.accept_another_microphone()
    assert thread._open_source().identity == "mic-2"
    assert microphone.asked[1][0] is None


def test_a_rate_that_came_by_chance_is_tried_once_more(microphone):
    microphone.script = (("mic-1", 16_000), ("mic-1", 22_050), ("mic-1", 16_000))
    status = reopen("alsa:USB?rate=16000", 3)
    assert status.reason == "unplugged"
    assert {asked[0] for asked in microphone.asked} == {16_000}
    assert len(microphone.asked) >= 4
    assert microphone.closed >= 4


def test_a_rate_that_the_device_refuses_for_good_is_not_asked_for_again(microphone):
    microphone.script = (("mic-1", 48_000),)
    reopen("alsa:USB?rate=16000", 3)
    assert [asked[0] for asked in microphone.asked[:4]] == [16_000, 16_000, 48_000, 48_000]


def card(number, card_id, usb=None):
    return SoundCard(number, card_id, card_id, card_id, usb)


MIC = Usb("0d8c:0014", "A1", "1-1.2", "0000:00:14.0-1.2")


@pytest.mark.parametrize(
    "identity",
    [
        "usb 0d8c:0014 serial A1",
        "usb 0d8c:0014 serial A1 at 0000:00:14.0-1.2",
        "card PCH, device 2",
    ],
)
def test_no_process_is_started_for_a_sound_card_that_is_not_plugged_in(
    microphone, monkeypatch, identity
):
    cards = [card(0, "HDMI")]
    monkeypatch.setattr(opening, "read_cards", lambda: tuple(cards))
    microphone.script = ((identity, 48_000),)
    thread = capture("mic", "alsa:USB", expected_identity=identity)
    with pytest.raises(CaptureError, match="is not plugged in; plug it in again"):
        thread._open_source()
    assert microphone.asked == []
    cards += [card(1, "Device", MIC), card(2, "PCH")]
    assert thread._open_source().identity == identity


@pytest.mark.parametrize("identity", ["mic0", "alsa_input.usb-0d8c", "card A + card B", ""])
def test_what_is_no_single_sound_card_is_always_tried(microphone, monkeypatch, identity):
    monkeypatch.setattr(opening, "read_cards", tuple)
    microphone.script = ((identity, 48_000),)
    capture("mic", "alsa:USB", expected_identity=identity)._open_source()
    assert len(microphone.asked) == 1


def test_a_file_a_program_and_a_machine_are_dated_with_the_given_clock(tmp_path):
    clock = SteadyClock(wall=lambda: 5000.0, counter=lambda: 0.0)
    (tmp_path / "in.raw").write_bytes(bytes(3200))
    uris = ("sim:pump?speed=max&seconds=1", f"exec:cat {tmp_path / 'in.raw'}")
    for uri in uris:
        first = next(iter(open_source(uri, clock=clock).blocks()))
        assert first.captured_at == pytest.approx(5000.0, abs=0.2)
