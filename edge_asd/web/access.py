"""Who may ask: on loopback anybody, unless there is a token; elsewhere whoever knows the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence

from edge_asd.errors import ConfigError
from edge_asd.secrets import read_secret

MIN_TOKEN = 16
"""Characters of a token at least: a shorter one could be tried out."""

_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")
_BEARER = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)
_KEY = "http.token_file"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Token:
    """What a client has to know; its text is not kept, so that it cannot get into any output.

    Args:
        text: The token.

    Raises:
        ConfigError: It is too short, or cannot stand in a header.
    """

    def __init__(self, text: str) -> None:
        if not _TOKEN.fullmatch(text):
            raise ConfigError(
                f"{_KEY}: the token must be one line of printable ASCII characters without spaces; "
                "make one with: openssl rand -hex 32"
            )
        if len(text) < MIN_TOKEN:
            raise ConfigError(
                f"{_KEY}: the token has {len(text)} characters, and needs {MIN_TOKEN}; "
                "make one with: openssl rand -hex 32"
            )
        self._digest = _digest(text)

    def admits(self, headers: Sequence[str]) -> bool:
        """Whether a request with these ``Authorization`` headers knows it.

        The comparison takes the same time whatever differs, and however long it is.
        """
        matches = [_BEARER.fullmatch(header.strip()) for header in headers]
        if len(matches) != 1 or matches[0] is None:
            return False
        return hmac.compare_digest(_digest(matches[0][1]), self._digest)


def read_token(reference: str | None, environ: Mapping[str, str]) -> Token | None:
    """The token of the operator's file; None where there is none.

    Args:
        reference: ``credential:NAME`` or the path of a file.
        environ: Where ``CREDENTIALS_DIRECTORY`` stands.

    Raises:
        ConfigError: It cannot be read, can be read by others, or is no token.
    """
    text = read_secret(reference, environ, key=_KEY)
    return None if text is None else Token(text)


def listen_address(listen: str, token: Token | None) -> tuple[Address, int]:
    """Where to listen.

    Args:
        listen: ``address:port`` or ``[address]:port``.
        token: What clients have to know.

    Raises:
        ConfigError: It is no address, or one beyond loopback without a token.
    """
    host, _, port_text = listen.rpartition(":")
    try:
        port = int(port_text)
        bracketed = host.startswith("[") and host.endswith("]")
        address = ipaddress.ip_address(
            "127.0.0.1" if host == "localhost" else host[1:-1] if bracketed else host
        )
    except ValueError:
        address, port, bracketed = ipaddress.ip_address("127.0.0.1"), -1, False
    if bracketed != (address.version == 6) or not 0 <= port <= 65535:
        raise ConfigError(
            f"http.listen: {listen!r} is not an address: write 127.0.0.1:9108 or [::1]:9108"
        )
    if token is None and not address.is_loopback:
        raise ConfigError(
            f"http.listen: {listen} is reachable from the network and needs a token: name a file "
            f"with one in {_KEY} (openssl rand -hex 32), or listen on 127.0.0.1"
        )
    return address, port


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()
