"""A wrong address or certificate is refused before anything connects."""

from __future__ import annotations

import pytest

from edge_asd.errors import ConfigError
from edge_asd.publish.mqtt_settings import MqttSettings, client_id_for


@pytest.mark.parametrize(
    ("url", "host", "port", "encrypted"),
    [
        ("mqtt://broker.local", "broker.local", 1883, False),
        ("mqtts://broker.local/", "broker.local", 8883, True),
        ("mqtt://[::1]:1884", "::1", 1884, False),
        ("mqtts://10.0.0.7:443", "10.0.0.7", 443, True),
    ],
)
def test_addresses(url, host, port, encrypted):
    made = MqttSettings(url, "c")
    assert (made.host, made.port, made.tls is not None) == (host, port, encrypted)


@pytest.mark.parametrize(
    "url",
    [
        "broker.local:1883",
        "tcp://broker:1883",
        "mqtt://",
        "mqtt://broker:0",
        "mqtt://broker:70000",
        "mqtt://broker:1883/topic",
        "mqtt://broker?x=1",
        "",
    ],
)
def test_what_is_no_address_is_refused_with_its_key(url):
    with pytest.raises(ConfigError, match=r"mqtt\.url.*mqtts://host:8883"):
        MqttSettings(url, "c")


def test_a_password_is_neither_accepted_in_the_address_nor_shown():
    with pytest.raises(ConfigError) as refused:
        MqttSettings("mqtt://press:secret@broker", "c")
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(MqttSettings("mqtt://b", "c", username="u", password="secret"))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"protocol": "4"}, r"mqtt\.protocol"),
        ({"password": "x"}, r"mqtt\.username"),
        ({"keepalive_s": 1}, r"mqtt\.keepalive_s"),
        ({"ca_file": "/nowhere.pem"}, r"mqtt\.ca_file"),
        ({"cert_file": "/nowhere.pem"}, r"mqtt\.cert_file"),
        ({"key_file": "/nowhere.pem"}, r"mqtt\.cert_file"),
    ],
)
def test_other_values_are_checked(changes, key):
    with pytest.raises(ConfigError, match=key):
        MqttSettings("mqtts://broker", "c", **changes)


def test_certificates_need_an_encrypted_connection():
    with pytest.raises(ConfigError, match="mqtts://"):
        MqttSettings("mqtt://broker", "c", ca_file="/etc/ssl/certs/ca-certificates.crt")


def test_the_client_is_named_after_the_device():
    assert client_id_for("Press Hall 3") == "edge-asd-press-hall-3"
