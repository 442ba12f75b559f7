"""Nothing listens beyond loopback unless the operator says so."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from pathlib import Path

import pytest
from support.processes import PUMP, DaemonProcess

from edge_asd.config import Config
from edge_asd.state_dir import socket_path

LISTENS, ANY_PEER = "0A", 0
TABLES = {"tcp": 4, "tcp6": 6, "udp": 4, "udp6": 6}


def family(pid):
    """A process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def inodes(pid):
    """Of its sockets."""
    found = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def address(text):
    """As the kernel writes it: words of 32 bits in the order of the processor."""
    host, _, port = text.partition(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    raw = b"".join(word.to_bytes(4, "little") for word in words)
    return ipaddress.ip_address(raw), int(port, 16)


def listeners(pid):
    """(protocol, address, port) of every socket that takes what others send."""
    own = {inode for one in family(pid) for inode in inodes(one)}
    found = []
    for table in TABLES:
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            local, peer, state, inode = fields[1], fields[2], fields[3], fields[9]
            open_to_all = state == LISTENS if table.startswith("tcp") else address(peer)[1] == 0
            if inode in own and open_to_all:
                found.append((table, *address(local)))
    return found


@pytest.mark.broker
def test_only_loopback_is_listened_on_and_the_control_socket_is_the_owners(
    plant, mosquitto, tmp_path
):
    assert ipaddress.ip_address(Config().http.listen.rpartition(":")[0]).is_loopback
    mosquitto.start()
    recorder = {"name": "side", "source": f"exec:cat {plant.faulty}?rate=16000"}
    monitors = [{"name": "pump", "source": f"{PUMP}&speed=2"}, recorder]
    config = plant.config(tmp_path, "", monitors=monitors, mqtt={"url": mosquitto.url})
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        daemon.until(lambda: daemon.metric("mqtt_connected") == 1)
        found = listeners(daemon.process.pid)
        assert ("tcp", ipaddress.ip_address("127.0.0.1"), daemon.port) in found
        assert [one for one in found if not one[1].is_loopback] == []
        control = socket_path(daemon.state, {})
        mode = control.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) & 0o007 == 0


def test_a_socket_that_listens_elsewhere_would_be_seen():
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert ("tcp", ipaddress.ip_address("0.0.0.0"), port) in listeners(os.getpid())
