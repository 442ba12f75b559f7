"""The drop-in lets the service at what is there, and is safe whatever that is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import ROOT

from edge_asd.service.nodes import Nodes, credentials_drop_in, devices_drop_in, find_nodes

ORIN_6 = (
    *("nvmap", "nvhost-ctrl", "nvhost-ctrl-gpu", "nvhost-gpu", "nvhost-as-gpu", "nvhost-prof-gpu"),
    *("nvgpu/igpu0/as", "nvgpu/igpu0/channel", "nvgpu/igpu0/ctrl", "host1x-fence"),
    *("dri/renderD128", "dri/card0", "nvsciipc"),
)
THOR = ("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap1", "dri/renderD128")
EVERY = ("null", "mem", "sda", "kvm", "ttyUSB0", "video0", "snd/pcmC0D0c")


def machine(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def allowed(text):
    return re.findall(r"^DeviceAllow=(\S+) rw$", text, re.MULTILINE)


def found(folder, names, groups=("audio", "video", "render")):
    return find_nodes(machine(folder, names), groups, is_device=Path.is_file)


@pytest.mark.parametrize("names", [ORIN_6, THOR])
def test_a_jetson_gets_its_gpu_and_room_to_compile(tmp_path, names):
    text = devices_drop_in(found(tmp_path, (*names, *EVERY)))
    wanted = {f"/dev/{name}" for name in names} - {"/dev/dri/card0"}
    assert set(allowed(text)) == wanted | {"char-alsa"}
    assert "SupplementaryGroups=audio video render\n" in text
    assert "MemoryDenyWriteExecute=no\n" in text


def test_a_computer_without_a_gpu_gets_microphones_only(tmp_path):
    text = devices_drop_in(found(tmp_path, EVERY))
    assert allowed(text) == ["char-alsa"]
    assert "SupplementaryGroups=audio\n" in text
    assert "MemoryDenyWriteExecute" not in text


def test_a_gpu_of_another_maker_does_not_weaken_the_service(tmp_path):
    text = devices_drop_in(found(tmp_path, ("dri/renderD128",)))
    assert allowed(text) == ["char-alsa", "/dev/dri/renderD128"]
    assert "MemoryDenyWriteExecute" not in text


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        (("audio", "video"), "SupplementaryGroups=audio video"),
        (("render", "users"), "SupplementaryGroups=render"),
        ((), ""),
    ],
)
def test_a_group_that_does_not_exist_is_not_asked_for(tmp_path, groups, line):
    text = devices_drop_in(found(tmp_path, ORIN_6, groups))
    assert [one for one in text.splitlines() if "Groups" in one] == ([line] if line else [])


def test_only_character_devices_count(tmp_path):
    assert find_nodes(machine(tmp_path, ORIN_6), ()) == Nodes()


@given(st.sets(st.sampled_from((*ORIN_6, *THOR, *EVERY))), st.sets(st.sampled_from(("audio", "x"))))
def test_nothing_is_allowed_but_sound_and_gpu(tmp_path_factory, names, groups):
    text = devices_drop_in(found(tmp_path_factory.mktemp("dev"), names, groups))
    assert set(allowed(text)) <= {"char-alsa"} | {f"/dev/{n}" for n in (*ORIN_6, *THOR)}
    assert text.count("DevicePolicy=closed\n") == 1


def test_every_drop_in_keeps_the_exposure_low_and_is_understood(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    drop_ins = {
        "orin": devices_drop_in(found(tmp_path / "a", ORIN_6)),
        "sound": devices_drop_in(found(tmp_path / "b", ())),
        "secrets": credentials_drop_in("/etc/edge-asd/secrets", ["mqtt-password", "http-token"]),
    }
    paths = []
    for name, text in drop_ins.items():
        paths.append(tmp_path / f"{name}.conf")
        paths[-1].write_text(text)
    checked = subprocess.run(
        [ROOT / "tools/check-unit.sh", ROOT / "systemd/edge-asd.service", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    rated = [float(line.rsplit(" ", 1)[1]) for line in checked.stdout.splitlines()]
    assert len(rated) == 5 or not rated  # an older systemd cannot rate
    assert all(exposure <= 2.0 for exposure in rated)
