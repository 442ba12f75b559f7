"""Secrets are read from where nobody else can."""

import pytest

from edge_asd.errors import ConfigError
from edge_asd.secrets import read_secret


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "password"
    path.write_text("grün und still\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_private_file_is_read_without_its_final_newline(secret):
    assert read_secret(str(secret), {}) == "grün und still"


def test_only_the_final_newline_is_dropped(secret):
    secret.write_text("  two\nlines \n", encoding="utf-8")
    assert read_secret(str(secret), {}) == "  two\nlines "


def test_no_secret_is_none():
    assert read_secret(None, {}) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_file_that_others_can_touch_is_refused_with_the_remedy(secret, mode):
    secret.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret(str(secret), {})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"mqtt\.password_file: .*nowhere: No such file"):
        read_secret(str(tmp_path / "nowhere"), {})


def test_a_file_that_is_no_text_is_refused(secret):
    secret.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_secret(str(secret), {})


def test_a_credential_is_read_from_the_folder_systemd_gives(secret):
    secret.chmod(0o440)  # systemd's own mode; the folder is private
    environ = {"CREDENTIALS_DIRECTORY": str(secret.parent)}
    assert read_secret("credential:password", environ) == "grün und still"


def test_a_credential_outside_systemd_says_what_is_missing():
    with pytest.raises(ConfigError, match="LoadCredential="):
        read_secret("credential:password", {})


def test_the_secret_never_appears_in_an_error(secret):
    secret.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        read_secret(str(secret), {})
    assert "still" not in str(caught.value)
