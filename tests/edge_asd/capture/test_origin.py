"""What a process holds open says where its sound comes from, whatever the name it was opened by."""

from __future__ import annotations

import ctypes.util
import os
import socket
import tempfile
from pathlib import Path

import pytest
from support.cards import write_cards

from edge_asd.capture.cards import read_cards
from edge_asd.capture.origin import Held, find_origin
from edge_asd.capture.pulse import PulseClient
from edge_asd.errors import CaptureError, StallError

needs_libpulse = pytest.mark.skipif(
    ctypes.util.find_library("pulse") is None, reason="libpulse0 is not installed"
)


def held(folder, *links):
    """Descriptors that lead to these names."""
    folder.mkdir()
    for number, link in enumerate(links):
        (folder / str(number)).symlink_to(link)
    return Held(folder)


def found(tmp_path, *links, name="default"):
    proc, sysfs = write_cards(tmp_path / "system")
    for number, rate in ((1, 48_000), (3, 44_100)):
        sub = proc / f"card{number}/pcm0c/sub0"
        sub.mkdir(parents=True)
        (sub / "hw_params").write_text(f"format: S16_LE\nchannels: 1\nrate: {rate} ({rate}/1)\n")
    return find_origin(
        name,
        "token",
        held=held(tmp_path / "fd", "/dev/null", *links),
        before=None,
        cards=lambda: read_cards(proc, sysfs),
        proc=proc,
    )


def test_a_card_behind_any_name_is_known_with_the_rate_it_runs_at(tmp_path):
    origin = found(tmp_path, "/dev/snd/pcmC3D0c", "/dev/snd/controlC3")
    assert origin.identities[0] == "usb 2752:0007 serial 7103 944"
    assert origin.rate == 44_100
    assert origin.note == ""


def test_an_identity_that_fits_as_well_is_reported_as_it_was_expected(tmp_path):
    origin = found(tmp_path, "/dev/snd/pcmC3D0c")
    by_socket = "usb 2752:0007 serial 7103 944 at 0000:00:14.0-3.2"
    assert origin.identity(by_socket) == by_socket
    assert origin.identity("usb 1234:5678 serial 1") == origin.identities[0]
    assert origin.identity("") == origin.identities[0]


def test_a_loudspeaker_that_is_held_too_does_not_matter(tmp_path):
    assert found(tmp_path, "/dev/snd/pcmC0D0p", "/dev/snd/pcmC1D0c").rate == 48_000


def test_several_cards_merged_into_one_are_all_named(tmp_path):
    origin = found(tmp_path, "/dev/snd/pcmC1D0c", "/dev/snd/pcmC0D2c")
    assert origin.identities == ("card PCH, device 2 + usb 0d8c:0014 at 0000:00:14.0-2",)
    assert found(tmp_path / "x", "/dev/snd/pcmC9D1c").identities == ("card 9, device 1",)


def test_a_device_that_is_neither_hardware_nor_served_is_known_by_its_name(tmp_path):
    origin = found(tmp_path, name="mic0")
    assert origin.identities == ("mic0",)
    assert (origin.rate, origin.note, origin.client) == (None, "", None)


@pytest.fixture
def mute_server():
    """Address of a socket behind which nobody says anything; this process is connected to it."""
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has at most 107 bytes
        path = str(Path(folder) / "native")
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen()
            client.connect(path)
            yield f"unix:{path}"


def test_connections_are_told_by_where_they_lead_and_not_those_of_before(mute_server):
    now = Held()
    assert mute_server in now.servers(before=None)
    assert now.servers(before=now) == []


@needs_libpulse
def test_a_sound_server_that_hangs_is_given_up(mute_server):
    with pytest.raises(StallError, match="does not answer"):
        PulseClient(mute_server, timeout_s=0.2)


@needs_libpulse
def test_a_sound_server_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CaptureError, match=r"sound server unix:.*: Connection refused"):
        PulseClient(f"unix:{tmp_path / 'nobody'}")


def test_without_the_library_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr("edge_asd.capture.pulse_api.LIBRARY", "libpulse.so.missing")
    with pytest.raises(CaptureError, match="apt install libpulse0"):
        PulseClient("")


def test_connections_over_a_network_are_told_too():
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = Held()
        with socket.create_connection(server.getsockname()):
            ours = f"tcp4:127.0.0.1:{server.getsockname()[1]}"
            assert ours in Held().servers(before)


def test_a_descriptor_that_is_closed_meanwhile_is_no_error(tmp_path):
    links = held(tmp_path / "fd", "socket:[1]")
    links.links["socket:[1]"] = os.sysconf("SC_OPEN_MAX") - 1
    assert links.servers(None) == []


def test_a_server_of_another_kind_is_named_as_one_that_cannot_be_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path / 'nobody'}")
    monkeypatch.setattr(Held, "servers", lambda *_: ["unix:/run/user/1000/pipewire-0"])
    origin = found(tmp_path)
    assert origin.identities == ("default",)
    assert "cannot be checked" in origin.note


def test_a_server_that_lost_the_stream_is_a_reason_to_open_again(tmp_path, monkeypatch):
    class Forgetful:
        def __init__(self, address):
            assert address == "unix:/run/pulse/native"

        def route(self, token):
            assert token == "token"

        def close(self):
            pass

    monkeypatch.setattr("edge_asd.capture.origin.PulseClient", Forgetful)
    monkeypatch.setattr(Held, "servers", lambda *_: ["unix:/run/pulse/native"])
    with pytest.raises(CaptureError, match="lost at the sound server"):
        found(tmp_path)
