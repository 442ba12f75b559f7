"""The first stage that fails is named, with what to do; what comes after it is skipped."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from brokers import free_port
from support.certificates import Authority

from edge_asd.config import parse_config
from edge_asd.doctor.broker import STAGES, examine_broker
from edge_asd.doctor.findings import Status

pytestmark = pytest.mark.broker

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates") / "authority")


def visit(url, *, timeout_s=PATIENCE_S, **mqtt):
    """Findings by stage; every stage has exactly one."""
    config = parse_config({"device": "hall", "mqtt": {"url": url} | mqtt}, "test")
    findings = list(examine_broker(config, {}, timeout_s))
    assert [finding.name for finding in findings] == [f"broker: {stage}" for stage in STAGES]
    for finding in findings:
        assert (finding.status is Status.FAILED) == bool(finding.exit_code)
        assert bool(finding.remedy) == (finding.status in (Status.FAILED, Status.WARNING))
    return dict(zip(STAGES, findings, strict=True))


def assert_fails_at(stages, stage, *words):
    """That stage failed, all before it did not, none after it was tried."""
    at = STAGES.index(stage)
    for before in STAGES[:at]:
        assert stages[before].status in (Status.OK, Status.SKIPPED), stages[before]
        assert "not tried" not in stages[before].text
    assert stages[stage].status is Status.FAILED
    for word in words:
        assert word in f"{stages[stage].text} {stages[stage].remedy}"
    for after in STAGES[at + 1 :]:
        assert stages[after].status is Status.SKIPPED
        assert "not tried" in stages[after].text


@pytest.fixture
def silent():
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as taken:
        server.settimeout(0.1)
        over = threading.Event()

        def accept():
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    taken.enter_context(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def test_without_a_broker_there_is_nothing_to_look_at():
    (finding,) = examine_broker(parse_config({}, "test"), {})
    assert finding.status is Status.SKIPPED


def test_a_name_that_nobody_knows():
    assert_fails_at(visit("mqtt://broker.invalid"), "DNS", "broker.invalid", "mqtt.url")


def test_a_closed_port():
    stages = visit(f"mqtt://127.0.0.1:{free_port()}")
    assert_fails_at(stages, "TCP", "refused", "is the broker running")


def test_a_port_that_takes_connections_and_says_nothing(silent):
    stages = visit(f"mqtt://127.0.0.1:{silent}", timeout_s=0.5)
    assert_fails_at(stages, "CONNACK", "does not answer as a broker")
    stages = visit(f"mqtts://127.0.0.1:{silent}", timeout_s=0.5)
    assert_fails_at(stages, "TLS", "no answer to the handshake", "8883")


def test_everything_works_and_nothing_stays_behind(mosquitto):
    mosquitto.start()
    for protocol in ("auto", "3.1.1"):
        stages = visit(mosquitto.url, protocol=protocol)
        assert {s.status for name, s in stages.items() if name != "TLS"} == {Status.OK}
        assert stages["TLS"].status is Status.SKIPPED
        assert "proven is this topic only" in stages["echo"].text


def test_a_wrong_password_and_a_right_one(mosquitto, tmp_path):
    mosquitto.users(hall="right")
    mosquitto.start()
    secret = tmp_path / "password"
    secret.write_text("wrong")
    secret.chmod(0o600)
    login = {"username": "hall", "password_file": str(secret)}
    assert_fails_at(visit(mosquitto.url, **login), "CONNACK", "refused", "mqtt.password_file")
    secret.write_text("right")
    assert visit(mosquitto.url, **login)["echo"].status is Status.OK


def test_access_control_that_denies_writing(mosquitto):
    mosquitto.acl("topic read edge-asd/#")
    mosquitto.start()
    stages = visit(mosquitto.url)
    assert_fails_at(stages, "publish", "allow this user to write edge-asd/hall/#")
    # MQTT 3.1.1 acknowledges what it throws away: only the echo tells.
    stages = visit(mosquitto.url, protocol="3.1.1", timeout_s=2.0)
    assert stages["publish"].status is Status.OK
    assert stages["echo"].status is Status.FAILED
    assert "thrown it away" in stages["echo"].text


def test_access_control_that_denies_reading_is_only_a_warning(mosquitto):
    mosquitto.acl("topic write edge-asd/#")
    mosquitto.start()
    stages = visit(mosquitto.url, timeout_s=2.0)
    assert stages["publish"].status is Status.OK
    assert stages["echo"].status is Status.WARNING


@pytest.mark.parametrize(
    ("issued", "trusted", "words"),
    [
        ({}, False, ("certificate", "mqtt.ca_file")),
        ({"ends_days": -0.5}, True, ("expired", "renew")),
        ({"begins_days": 1}, True, ("not yet valid", "clock")),
        ({"san": "DNS:broker.local"}, True, ("127.0.0.1", "mqtt.url")),
    ],
)
def test_a_certificate_that_is_not_believed(mosquitto, authority, issued, trusted, words):
    mosquitto.encrypt(*authority.issue("broker", **issued))
    mosquitto.start()
    ca = {"ca_file": str(authority.certificate)} if trusted else {}
    assert_fails_at(visit(mosquitto.url, **ca), "TLS", *words)


def test_a_certificate_that_is_believed(mosquitto, authority):
    mosquitto.encrypt(*authority.issue("broker"))
    mosquitto.start()
    stages = visit(mosquitto.url, ca_file=str(authority.certificate))
    assert {stage.status for stage in stages.values()} == {Status.OK}
    assert "127.0.0.1" in stages["TLS"].text
    mosquitto.kill()
    mosquitto.extra = ["allow_anonymous true"]
    mosquitto.encrypt(*authority.issue("broker", ends_days=10))
    mosquitto.start()
    stages = visit(mosquitto.url, ca_file=str(authority.certificate))
    assert stages["TLS"].status is Status.WARNING
    assert stages["echo"].status is Status.OK


def test_a_client_certificate_that_the_broker_asks_for(mosquitto, authority):
    certificate, key = authority.issue("broker")
    mosquitto.encrypt(certificate, key)
    mosquitto.extra += [f"cafile {authority.certificate}", "require_certificate true"]
    mosquitto.start()
    ca = {"ca_file": str(authority.certificate)}
    stages = visit(mosquitto.url, **ca)
    failed = [stage for stage in STAGES if stages[stage].status is Status.FAILED]
    assert failed in (["TLS"], ["CONNACK"])  # TLS 1.3 tells it only after the handshake
    own = authority.issue("hall")
    stages = visit(mosquitto.url, **ca, cert_file=str(own[0]), key_file=str(own[1]))
    assert stages["echo"].status is Status.OK
