"""Whoever does not know the token learns nothing; beyond loopback there is no way without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.errors import ConfigError
from edge_asd.web.access import MIN_TOKEN, Token, listen_address, read_token

TOKEN = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [TOKEN],
        [f"Basic {TOKEN}"],
        [f"Bearer {TOKEN} "[:-2]],
        [f"Bearer {TOKEN}x"],
        [f"Bearer {TOKEN.upper()}"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        [f"Bearer {TOKEN}, Bearer {TOKEN}"],
        [f"Bearer \xff{TOKEN}"],
    ],
)
def test_anything_else_than_the_token_is_not_let_in(headers):
    assert not Token(TOKEN).admits(headers)


@pytest.mark.parametrize(
    "header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN}", f" Bearer {TOKEN} "]
)
def test_the_token_is_let_in_however_the_scheme_is_spelt(header):
    assert Token(TOKEN).admits([header])


@given(st.lists(st.text(max_size=80), max_size=3))
def test_guesses_are_refused_and_nothing_is_raised(headers):
    assert not Token(TOKEN).admits(headers)


def refusal(text):
    with pytest.raises(ConfigError, match="openssl rand") as refused:
        Token(text)
    return str(refused.value)


@given(st.text(max_size=MIN_TOKEN + 8))
def test_what_makes_no_good_token_is_refused_without_being_repeated(text):
    printable = bool(text) and all("!" <= letter <= "~" for letter in text)
    if printable and len(text) >= MIN_TOKEN:
        assert Token(text).admits([f"Bearer {text}"])
    else:  # what is said is the same for every such text
        assert refusal(text) == refusal("z" * len(text) if printable else " ")


def test_a_token_does_not_show_itself():
    token = Token(TOKEN)
    shown = repr(token) + str(vars(token))
    assert TOKEN not in shown


def test_a_token_is_read_from_a_file_only_its_owner_can_read(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"http\.token_file: .*chmod 600"):
        read_token(str(path), {})
    path.chmod(0o600)
    assert read_token(str(path), {}).admits([f"Bearer {TOKEN}"])
    assert read_token(None, {}) is None


def test_a_token_is_read_from_a_credential(tmp_path):
    (tmp_path / "http-token").write_text(TOKEN)
    token = read_token("credential:http-token", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert token.admits([f"Bearer {TOKEN}"])


@pytest.mark.parametrize("listen", ["0.0.0.0:9108", "192.168.1.5:0", "[::]:9108"])
def test_beyond_loopback_there_has_to_be_a_token(listen):
    with pytest.raises(ConfigError, match=r"needs a token: name a file .*http\.token_file"):
        listen_address(listen, None)
    address, port = listen_address(listen, Token(TOKEN))
    assert not address.is_loopback
    assert port in (0, 9108)
