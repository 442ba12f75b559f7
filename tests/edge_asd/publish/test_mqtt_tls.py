"""A broker that asks for certificates gets them, and only a broker that we trust gets events."""

from __future__ import annotations

import pytest
from brokers import eventually
from devices import Device
from support.certificates import Authority

from edge_asd.health import Health

pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.fixture
def guarded(mosquitto, authority):
    """A broker that takes only clients with a certificate of the authority; names come from it."""
    mosquitto.encrypt(*authority.issue("broker"))
    mosquitto.acl("user hall", "topic readwrite edge-asd/#")
    mosquitto.extra += [
        f"cafile {authority.certificate}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    ]
    mosquitto.start()
    return mosquitto


def device(tmp_path, broker, authority, name, **dates):
    certificate, key = authority.issue(name, **dates)
    files = {"cert_file": str(certificate), "key_file": str(key)}
    return Device(tmp_path / name, broker.url, ca_file=str(authority.certificate), **files)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_device_with_a_certificate_delivers(guarded, authority, tmp_path, protocol):
    certificate, key = authority.issue("hall")
    with Device(
        tmp_path / "s",
        guarded.url,
        ca_file=str(authority.certificate),
        cert_file=str(certificate),
        key_file=str(key),
        protocol=protocol,
    ) as sender:
        wanted = sender.record(20)
        sender.wait_idle()
        assert sender.sink.health()[0] is Health.HEALTHY
        results = ("no_subscribers", "delivered")
        found = [
            sender.metric("mqtt_publish_total", **{"class": "event_new", "result": result})
            for result in results
        ]
        assert sum(found) == len(wanted)


def test_a_device_without_one_is_turned_away_and_keeps_its_events(guarded, authority, tmp_path):
    with Device(tmp_path / "s", guarded.url, ca_file=str(authority.certificate)) as stranger:
        stranger.record(2)
        eventually(
            lambda: stranger.metric("mqtt_connect_attempts_total", result="unreachable") >= 2
        )
        assert not stranger.sink.connected
        status, text = stranger.sink.health()
        assert status is Health.WARNING
        assert "mqtt.cert_file" in text
        assert stranger.store.outbox.stats().messages == 2


def test_a_certificate_that_has_expired_keeps_the_events_until_there_is_a_new_one(
    guarded, authority, tmp_path
):
    with device(tmp_path, guarded, authority, "hall", begins_days=-30, ends_days=-1) as late:
        late.record(3)
        eventually(lambda: "may not accept the certificate" in late.sink.health()[1])
        eventually(lambda: late.metric("mqtt_connect_attempts_total", result="unreachable") >= 2)
        assert late.store.outbox.stats().messages == 3
    with device(tmp_path, guarded, authority, "hall") as renewed:
        renewed.wait_idle()


def test_a_certificate_of_another_device_may_not_publish(guarded, authority, tmp_path):
    with device(tmp_path, guarded, authority, "other") as other:
        other.record(1)
        refused = {"class": "event_new", "result": "refused"}
        eventually(lambda: other.metric("mqtt_publish_total", **refused) >= 1)
        eventually(lambda: other.sink.health()[0] is Health.CRITICAL)
        assert other.store.outbox.stats().messages == 1


def test_a_broker_of_another_authority_gets_nothing(mosquitto, authority, tmp_path):
    mosquitto.encrypt(*Authority(tmp_path / "other").issue("broker"))
    mosquitto.start()
    with device(tmp_path, mosquitto, authority, "hall") as careful:
        careful.record(1)
        eventually(lambda: careful.metric("mqtt_connect_attempts_total", result="unreachable"))
        eventually(lambda: "certificate verify failed" in careful.sink.health()[1])
        assert careful.store.outbox.stats().messages == 1


def test_a_broker_whose_certificate_is_for_another_host_gets_nothing(
    mosquitto, authority, tmp_path
):
    mosquitto.encrypt(*authority.issue("broker", san="IP:127.0.0.2"))
    mosquitto.start()
    with device(tmp_path, mosquitto, authority, "hall") as careful:
        careful.record(1)
        eventually(lambda: careful.metric("mqtt_connect_attempts_total", result="unreachable"))
        eventually(lambda: "IP address mismatch" in careful.sink.health()[1])
        assert careful.store.outbox.stats().messages == 1
