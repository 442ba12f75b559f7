"""Where the broker is and how to speak to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edge_asd.errors import ConfigError
from edge_asd.publish.topics import topic_segment

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


def client_id_for(device: str) -> str:
    """Derive the client identifier from the name of the device: stable, one a device."""
    return f"edge-asd-{topic_segment(device)}"


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Connection settings, checked when they are made.

    Raises:
        ConfigError: A value is wrong; the text names the key.
    """

    url: str
    """``mqtt://host[:port]`` or ``mqtts://host[:port]``."""
    client_id: str
    """Never shared: a broker disconnects the older of two clients with one identifier."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    cert_file: str | None = None
    """Certificate of this device, for brokers that ask for one."""
    key_file: str | None = None
    keepalive_s: int = 30
    """A dead connection is noticed after one and a half to two times this."""
    protocol: str = "auto"
    """``auto`` speaks MQTT 5 and falls back to 3.1.1; ``5`` or ``3.1.1`` speaks that only."""
    host: str = field(init=False)
    port: int = field(init=False)
    tls: ssl.SSLContext | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scheme, host, port = _parse_url(self.url)
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", port)
        if self.protocol not in ("auto", "5", "3.1.1"):
            raise ConfigError(f"mqtt.protocol: {self.protocol!r} is not auto, 5 or 3.1.1")
        if self.password is not None and self.username is None:
            raise ConfigError("mqtt.username: missing, but there is a password: set both")
        if not 5 <= self.keepalive_s <= 3600:
            raise ConfigError(f"mqtt.keepalive_s: {self.keepalive_s} is not within 5 to 3600")
        object.__setattr__(self, "tls", self._tls_context(scheme))

    @property
    def address(self) -> str:
        """Host and port for texts and logs."""
        return f"{self.host}:{self.port}"

    def _tls_context(self, scheme: str) -> ssl.SSLContext | None:
        files = (
            ("ca_file", self.ca_file),
            ("cert_file", self.cert_file),
            ("key_file", self.key_file),
        )
        if scheme == "mqtt":
            for key, path in files:
                if path is not None:
                    raise ConfigError(f"mqtt.{key}: needs an encrypted connection: use mqtts://")
            return None
        if self.key_file is not None and self.cert_file is None:
            raise ConfigError("mqtt.cert_file: missing, but there is a key_file: set both")
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"mqtt.ca_file: {self.ca_file}: {_why(error)}: give a readable PEM file"
            ) from error
        context.sslsocket_class = _TidySocket
        if self.cert_file is not None:
            try:
                # An encrypted key must fail here, not ask on a terminal that nobody watches.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"mqtt.cert_file: {self.cert_file}, key_file {self.key_file}: {_why(error)}: "
                    "give readable, unencrypted PEM files that belong together"
                ) from error
        return context


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the sink waits for what, seconds."""

    backoff_s: tuple[float, float] = (1.0, 60.0)
    """First and longest wait between attempts; full jitter below."""
    connect_s: float = 10.0
    """For a broker that accepts and stays silent."""
    puback_s: float = 30.0
    """For an acknowledgement, before the connection is given up."""
    will_delay_s: int = 10
    """A drop shorter than this is not announced as ``offline`` (MQTT 5)."""
    stable_s: float = 10.0
    """A connection that lasted this long starts the waits over: two clients with one identifier
    must not disconnect each other at full speed."""


DEFAULT_TIMING = Timing()


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho drops the open socket instead."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - inherited
        """Agree on the encryption."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _parse_url(url: str) -> tuple[str, str, int]:
    """Split into scheme, host and port."""
    example = "write mqtt://host:1883 or mqtts://host:8883"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"mqtt.url: {url!r}: {error}: {example}") from error
    if parts.username is not None or parts.password is not None:
        # The address may hold a password, so it is not repeated here.
        raise ConfigError("mqtt.url: has a user name in it: use mqtt.username and password_file")
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or extra or port == 0:
        raise ConfigError(f"mqtt.url: {url!r} is not the address of a broker: {example}")
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]
