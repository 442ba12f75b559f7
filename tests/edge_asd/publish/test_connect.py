"""Secrets that others can read are refused before anything connects."""

from __future__ import annotations

import subprocess

import pytest

from edge_asd.config import parse_config
from edge_asd.errors import ConfigError
from edge_asd.publish.connect import broker_settings


@pytest.fixture
def pair(tmp_path):
    """A certificate and its key."""
    certificate, key = tmp_path / "device.pem", tmp_path / "device.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    key.chmod(0o600)
    certificate.chmod(0o644)
    return certificate, key


def settings(**mqtt):
    section = {"url": "mqtts://broker"} | {k: str(v) for k, v in mqtt.items()}
    return broker_settings(parse_config({"mqtt": section}, "test"), {})


def test_without_a_broker_there_is_nothing_to_settle():
    assert broker_settings(parse_config({}, "test"), {}) is None


def test_a_private_key_is_used_if_only_its_owner_can_read_it(pair):
    certificate, key = pair
    assert settings(cert_file=certificate, key_file=key).key_file == str(key)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o666])
def test_a_private_key_that_others_can_read_is_refused_with_the_remedy(pair, mode):
    certificate, key = pair
    key.chmod(mode)
    with pytest.raises(ConfigError, match=r"mqtt\.key_file: .*device\.key .*chmod 600"):
        settings(cert_file=certificate, key_file=key)


def test_a_key_within_the_certificate_s_file_is_no_exception(pair):
    certificate, key = pair
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    with pytest.raises(ConfigError, match=r"mqtt\.cert_file: .*chmod 600"):
        settings(cert_file=certificate)
    certificate.chmod(0o600)
    assert settings(cert_file=certificate).key_file is None


def test_a_key_may_be_a_credential_of_systemd(pair, tmp_path):
    certificate, key = pair
    key.chmod(0o640)  # as systemd shows its own, whose access is in a list
    config = parse_config(
        {
            "mqtt": {
                "url": "mqtts://broker",
                "cert_file": str(certificate),
                "key_file": "credential:device.key",
            }
        },
        "test",
    )
    found = broker_settings(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert found.key_file == str(key)
    with pytest.raises(ConfigError, match="LoadCredential"):
        broker_settings(config, {})


def test_a_key_that_is_missing_is_told(pair, tmp_path):
    with pytest.raises(ConfigError, match=r"mqtt\.key_file: .*No such file"):
        settings(cert_file=pair[0], key_file=tmp_path / "nowhere")
