"""Secrets go wherever they stand; everything else stays."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.support.redact import EMPTY, REDACTED, Redactor, referred_files, secrets_in

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc")),
    min_size=4,
    max_size=40,
).filter(lambda text: text not in f"{REDACTED}{EMPTY}")


@given(SECRETS, st.text(max_size=40), st.text(max_size=40))
def test_a_known_secret_is_found_however_it_is_spelt(secret, before, after):
    redactor = Redactor([secret])
    plain = redactor.text(f"{before} {secret} {after}")
    assert secret not in plain.replace(REDACTED, "") or secret in before + after
    for spelt in (quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
        assert redactor.text(f"({spelt})") == f"({REDACTED})"


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2",
        "password: two words of it hunter2",
        '"password" : "hunter2 and more"',
        "  - mqtt_password: 'hunter2'",
        "# old password: hunter2",
        "password: |\n  first\n  hunter2\nnext: 1",
        "{url: x, password: hunter2, more: y}",
        "Environment=MQTT_PASSWORD=hunter2",
        "ffmpeg -i rtsp://user:hunter2@camera/1",
        "https://hunter2@host/x",
        "http://host/x?api_key=hunter2&y=1",
        "recorder --password hunter2",
        "recorder --auth-token=hunter2",
        "Authorization: Bearer hunter2",
        "Authorization: Basic hunter2",
        "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2",
    ],
)
def test_what_looks_like_a_secret_goes(text):
    found = Redactor().text(text)
    assert "hunter2" not in found
    assert REDACTED in found
    assert found.endswith("next: 1") == text.endswith("next: 1")


@pytest.mark.parametrize(
    "text",
    [
        "mqtt.password_file: /etc/secret can be read by others",
        "password_file: credential:mqtt-password",
        "the password crosses the network",
        'password: ""',
        "password: null",
        "http://127.0.0.1:9108/metrics",
        "monitor=pump event=01890a5d type=new score=3.2",
        "keys: 3",
        "monkey: banana",
    ],
)
def test_what_is_no_secret_stays(text):
    assert Redactor().text(text) == text


def test_values_show_whether_something_was_set_or_empty():
    raw = {
        "mqtt": {"password": "hunter2", "username": "u", "password_file": "/etc/x", "token": ""},
        "http": {"tokens": ["hunter3"], "secret": None},
        "source": "exec:x rtsp://me:hunter4@camera",
    }
    assert Redactor().values(raw) == {
        "mqtt": {
            "password": REDACTED,
            "username": "u",
            "password_file": "/etc/x",
            "token": EMPTY,
        },
        "http": {"tokens": [REDACTED], "secret": None},
        "source": f"exec:x rtsp://{REDACTED}@camera",
    }
    assert set(secrets_in(raw)) == {"hunter2", "", "hunter3", "hunter4"}


def test_files_with_secrets_are_found_in_a_file_that_is_no_yaml(tmp_path):
    text = "mqtt: {password_file: /a/b, key_file: '/c'\nhttp:\n  token_file: \"/d\"  # x\n: ["
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)
    (tmp_path / "name").write_text("x")
    found = referred_files(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert [str(path) for path in found] == ["/a/b", "/c", "/d", str(tmp_path / "name")]
    assert referred_files("password_file: credential:x", {}) == []


def test_a_very_long_word_takes_no_time():
    assert Redactor(["hunter2"]).text("a" * 300_000) == "a" * 300_000
