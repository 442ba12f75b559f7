"""The doctor looks at a running daemon and its broker, and disturbs neither."""

from __future__ import annotations

import json
import tarfile

import pytest
from brokers import Subscriber
from support.processes import PUMP, DaemonProcess, lines


def diagnosis(shell, state, config):
    result = shell("doctor", "--config", config, "--state-dir", state, "--json")
    (answer,) = lines(result)
    assert result.stderr == ""
    found = {finding["name"]: finding for finding in answer["findings"]}
    assert len(found) == len(answer["findings"])
    return result.returncode, found


def archive(shell, state, config, out):
    """What ``edge-asd support`` packs, by name."""
    result = shell("support", "--config", config, "--state-dir", state, "--out", out)
    assert result.returncode == 0, result.stderr
    with tarfile.open(out) as tar:
        members = tar.getmembers()
        return {m.name.rpartition("/")[2]: tar.extractfile(m).read().decode() for m in members}


@pytest.mark.broker
@pytest.mark.own_payloads
def test_a_daemon_that_is_looked_at_goes_on_undisturbed(shell, plant, mosquitto, tmp_path):
    mosquitto.start()
    state = plant.state(tmp_path)
    state.chmod(0o750)
    http = {"listen": f"127.0.0.1:{mosquitto.port + 1}"}
    fields = {"mqtt": {"url": mosquitto.url}, "http": http, "evidence": {"free_floor_mb": 0}}
    config = plant.config(tmp_path, f"{PUMP}&speed=4", **fields)
    with DaemonProcess(state, "--config", config, http=False) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        daemon.logged("connected to")
        with Subscriber(mosquitto.port, "edge-asd/hall/#") as listener:
            code, found = diagnosis(shell, state, config)
            # Nothing but the probe: had the daemon lost its connection, it would say "online".
            listener.settle()
            topics = {topic for topic, _, retained in listener.messages if not retained}
        failed = {name: f for name, f in found.items() if f["status"] == "failed"}
        assert (code, failed) == (0, {})
        transforms, golden = "runtime: Fourier transforms", "runtime: golden vectors"
        for name in ("broker: echo", "daemon: /livez", "daemon: pump", transforms, golden):
            assert found[name]["status"] == "ok", found[name]
        assert any(topic.startswith("edge-asd/hall/doctor/") for topic in topics)
        assert "edge-asd/hall/status" not in topics
        assert found["sound: PortAudio"]["status"] == "skipped"
        packed = archive(shell, state, config, tmp_path / "out.tar.gz")
        assert json.loads(packed["status.json"])["monitors"][0]["monitor"] == "pump"
        assert packed["healthz.json"].startswith("# HTTP 200")
        assert 'edge_asd_windows_total{monitor="pump"' in packed["metrics.txt"]
        # Its first seconds may still be to be written.
        assert json.loads(packed["ledger.json"]).keys() <= {"pump"}
        assert "outbox" in packed["events.jsonl"]
        assert "profiles/pump" in packed["files.txt"]
        mosquitto.kill()
        code, found = diagnosis(shell, state, config)
        assert code == 69
        assert found["broker: TCP"]["status"] == "failed"
        assert found["broker: echo"]["status"] == "skipped"


def test_a_doctor_can_be_asked_with_nothing_in_order(shell, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("monitors: [{name: pump, colour: red}]\nbundle: /nonexistent.asd\n")
    (tmp_path / "state").write_text("not a folder")
    code, found = diagnosis(shell, tmp_path / "state", config)
    assert code == 78
    assert found["monitors[0].colour"]["status"] == "failed"
    assert found["bundle"]["status"] == "failed"
    assert found["state"]["status"] == "failed"
    assert found["runtime: golden vectors"]["status"] == "skipped"
    assert found["daemon"]["status"] == "skipped"
