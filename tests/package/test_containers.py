"""The container files and the compose file name only what is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from edge_asd.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONTAINER, COMPOSE = ROOT / "deploy/container", ROOT / "deploy/compose"
CONTAINERFILES = sorted(CONTAINER.glob("Containerfile*"))


@pytest.fixture
def targets(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import targets

    return targets


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


def instructions(path):
    """Instructions and arguments; comments and continuation lines resolved."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text())
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.name)
def test_what_a_container_file_takes_from_the_checkout_is_there_and_in_its_context(path):
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for name, arguments in instructions(path):
        if name == "COPY":
            source, _ = arguments.split()
            assert (ROOT / source).exists()
            assert any(source.startswith(prefix) for prefix in allowed)
        for source in re.findall(r"--mount=type=bind,source=([^,]+)", arguments):
            assert f"{source}/*.deb" in allowed


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.name)
def test_a_container_file_installs_a_package_that_can_be_built_for_its_base(path, targets):
    wanted = dict(re.findall(r"ARG (\w+)=(\S+)", path.read_text()))
    (pattern,) = re.findall(r'edge-asd_\*~(.+?)_[^/]*\.deb"', path.read_text())
    distribution = wanted.get(pattern.strip("${}"), pattern)
    assert distribution in targets.DISTRIBUTIONS
    if "BASE" not in wanted:  # whose name tells the distribution
        base = dict(instructions(path))["FROM"]
        assert distribution in base.split("/")[-1].replace(":", "").replace("-slim", "")


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.name)
def test_a_container_runs_unprivileged_and_starts_what_the_package_installs(path):
    found = dict(instructions(path))
    assert found["USER"] == "${UID}"
    assert json.loads(found["ENTRYPOINT"]) == ["/usr/bin/edge-asd"]
    assert "/var/lib/edge-asd" in json.loads(found["VOLUME"])
    interpreter, script = json.loads(found["HEALTHCHECK"].split("CMD", 1)[1])
    assert interpreter == "/usr/lib/edge-asd/venv/bin/python"
    copied = dict(reversed(a.split()) for name, a in instructions(path) if name == "COPY")
    assert script in copied


def host_paths(compose):
    """Every file of this computer that compose.yaml mounts."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                yield volume.split(":")[0]
    for secret in compose["secrets"].values():
        yield secret["file"]


def test_whatever_compose_mounts_is_in_the_checkout_or_made_by_prepare(compose, tmp_path):
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("tls"))
    shutil.copytree(ROOT / "deploy/tls", tmp_path / "deploy/tls")
    here = tmp_path / "deploy/compose"
    shutil.rmtree(here / "secrets", ignore_errors=True)
    missing = [path for path in host_paths(compose) if not (here / path).exists()]
    assert missing
    assert all(path.startswith(("./tls/", "./secrets/")) for path in missing)
    if os.geteuid() != 0 or shutil.which("openssl") is None:
        pytest.skip("prepare.sh needs root and openssl")
    for _ in range(2):  # the second time it keeps what is there
        subprocess.run([here / "prepare.sh", "press-hall-3", "broker.example"], check=True)
    assert [path for path in host_paths(compose) if not (here / path).exists()] == []
    for secret in (*here.glob("secrets/*"), *here.glob("tls/*.key")):
        assert secret.stat().st_mode & 0o077 == 0, secret
    # Each is read by the user of its container.
    readers = {"device-key": 10001, "http-token": 10001, "prometheus-token": 65534}
    for name, uid in readers.items():
        assert (here / "secrets" / name).stat().st_uid == uid
    # Nobody's container holds the key that signs.
    assert not any("ca.key" in path for path in host_paths(compose))


def test_services_of_compose_refer_to_what_is_declared(compose):
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        for volume in service.get("volumes", []):
            assert volume.startswith(".") or volume.split(":")[0] in compose["volumes"]
        assert re.search(r":[^:]*\d", service["image"]) or "build" in service  # never `latest`
    built = compose["services"]["edge-asd"]["build"]
    assert (COMPOSE / built["context"] / built["dockerfile"]).resolve() in CONTAINERFILES


def test_nothing_but_tls_is_published_beyond_this_computer(compose):
    published = [
        port for service in compose["services"].values() for port in service.get("ports", [])
    ]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["8883:8883"]


def test_the_configurations_agree_with_each_other(compose):
    config = load_config(COMPOSE / "config.yaml")
    services = compose["services"]
    assert config.mqtt.url == "mqtts://mosquitto:8883"
    assert "mosquitto" in services
    secrets = services["edge-asd"]["secrets"]
    for reference in (config.mqtt.key_file, config.http.token_file):
        assert reference.removeprefix("credential:") in secrets
    mounted = {volume.split(":")[1] for volume in services["edge-asd"]["volumes"]}
    assert {config.mqtt.ca_file, config.mqtt.cert_file} <= mounted
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"][0]
    port = config.http.listen.split(":")[1]
    assert scraped["static_configs"] == [{"targets": [f"edge-asd:{port}"]}]
    mounted = {volume.split(":")[1] for volume in services["prometheus"]["volumes"]}
    assert scraped["authorization"]["credentials_file"] in mounted
    (shipped,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())[
        "scrape_configs"
    ]
    assert scraped["job_name"] == shipped["job_name"]  # rules and dashboards know it


class Probe(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == "Bearer secret"
        self.send_response(200 if known and self.path == "/livez" else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_health_check_asks_livez_with_the_token_and_says_when_it_fails(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Probe) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        codes = []
        for token in (None, "wrong", "secret\n"):
            if token is not None:
                (tmp_path / "http-token").write_text(token)
            environment = {
                "CREDENTIALS_DIRECTORY": str(tmp_path),
                "EDGE_ASD_HTTP": f"127.0.0.1:{server.server_port}",
            }
            command = [sys.executable, CONTAINER / "healthcheck.py"]
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
            codes.append(done.returncode)
        server.shutdown()
    assert codes == [1, 1, 0]
