"""The broker, one stage after the other: DNS, TCP, TLS, CONNACK, publish, echo.

The first stage that fails is the place to look; those after it are skipped. A message to a topic of
its own is what proves that messages arrive: a broker that speaks MQTT 3.1.1 acknowledges what it
throws away. The client has an identifier of its own, so that the daemon keeps its connection.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from edge_asd.config import Config
from edge_asd.doctor.certificates import SOON_S
from edge_asd.doctor.findings import Finding, failed, of_error, ok, skipped, warning
from edge_asd.errors import EdgeAsdError
from edge_asd.publish.connect import broker_settings
from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_records import Opening, Outgoing, Protocol
from edge_asd.publish.mqtt_settings import MqttSettings
from edge_asd.publish.topics import Topics

STAGES = ("DNS", "TCP", "TLS", "CONNACK", "publish", "echo")
TIMEOUT_S = 5.0

_FAILURE = 0x80
_STEP_S = 0.1


def examine_broker(
    config: Config, environ: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> Iterator[Finding]:
    """Go through the stages as far as they succeed.

    Args:
        config: The operator's file.
        environ: Of the process: systemd's credentials.
        timeout_s: For each stage.
    """
    try:
        settings = broker_settings(config, environ)
    except EdgeAsdError as error:
        yield of_error("broker", error)
        return
    if settings is None:
        yield skipped("broker", "none is configured")
        return
    done = 0
    for finding in _Broker(settings, Topics(config.device), timeout_s).stages():
        yield finding
        done += 1
    for stage in STAGES[done:]:
        yield skipped(f"broker: {stage}", "not tried: the stage before it failed")


class _Broker:
    """One visit."""

    def __init__(self, settings: MqttSettings, topics: Topics, timeout_s: float) -> None:
        self._settings = replace(settings, client_id=f"{settings.client_id}-doctor")
        self._token = secrets.token_hex(4)
        self._topic = f"{topics.base}/doctor/{self._token}"
        self._base, self._timeout_s = topics.base, timeout_s
        self._wake, self._other = socket.socketpair()

    def stages(self) -> Iterator[Finding]:
        """One finding a stage, up to the first that failed."""
        try:
            for stage in (self._dns, self._tcp, self._tls):
                finding = stage()
                yield finding
                if finding.exit_code:
                    return
            yield from self._mqtt()
        finally:
            self._wake.close()
            self._other.close()

    def _dns(self) -> Finding:
        name, host = "broker: DNS", self._settings.host
        try:
            found = socket.getaddrinfo(host, self._settings.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            text = f"{host}: {_why(error)}"
            return failed(name, text, "correct mqtt.url, or the resolver (resolvectl query)")
        addresses = sorted({str(entry[4][0]) for entry in found})
        return ok(name, f"{host} is {', '.join(addresses)}")

    def _tcp(self) -> Finding:
        name, address = "broker: TCP", self._settings.address
        try:
            with self._connected() as connection:
                return ok(name, f"{address} from {connection.getsockname()[0]}")
        except TimeoutError:
            remedy = "does a firewall drop it? is the machine on, and the address right?"
            return failed(name, f"{address}: no answer within {self._timeout_s:g} s", remedy)
        except OSError as error:
            remedy = "is the broker running, and does it listen on this port and not only on its "
            return failed(name, f"{address}: {_why(error)}", f"{remedy}own machine?")

    def _tls(self) -> Finding:
        name, context = "broker: TLS", self._settings.tls
        if context is None:
            return skipped(name, "mqtt:// is not encrypted")
        try:
            with (
                self._connected() as plain,
                context.wrap_socket(plain, server_hostname=self._settings.host) as encrypted,
            ):
                return _examined_certificate(name, encrypted)
        except ssl.SSLCertVerificationError as error:
            return failed(name, f"certificate: {error.verify_message}", _trust(error))
        except TimeoutError:
            remedy = "is it the port for TLS? 8883 by custom"
            return failed(name, "no answer to the handshake", remedy)
        except OSError as error:
            remedy = "is it the port for TLS? does the broker ask for mqtt.cert_file?"
            return failed(name, _why(error), remedy)

    def _mqtt(self) -> Iterator[Finding]:
        link, text = self._open()
        name = "broker: CONNACK"
        if link is None:
            remedy = "check mqtt.username and mqtt.password_file, and the broker's log"
            yield failed(name, text, remedy)
            return
        try:
            who = f"as {self._settings.username}" if self._settings.username else "without a login"
            yield ok(name, f"accepted {who}, MQTT {link.protocol.value}")
            yield from self._deliver(link)
        finally:
            link.close(self._wake)

    def _open(self) -> tuple[Link | None, str]:
        """A connection, or why there is none."""
        older = self._settings.protocol == "3.1.1"
        both = self._settings.protocol == "auto"
        text = ""
        for protocol in (Protocol.V5, Protocol.V3_1_1) if both else (_only(older=older),):
            link = Link(
                self._settings,
                self._topic,
                protocol,
                timeout_s=self._timeout_s,
                will_delay_s=0,
                clock=time.monotonic,
            )
            opened = link.open(self._wake, lambda: True)
            if opened.result is Opening.ACCEPTED:
                return link, ""
            text = text or opened.text
            if not opened.try_older:
                break
        return None, text

    def _deliver(self, link: Link) -> Iterator[Finding]:
        """Send a message to a topic of ours, and wait for it."""
        link.subscribe([self._topic])
        self._until(link, lambda: not link.unanswered)
        refused = link.take_refusals() or {}
        number = link.publish(Outgoing(self._topic, self._token.encode(), qos=1, retain=False))
        acks = {}
        heard: list[bytes] = []

        def step() -> bool:
            acks.update({ack.mid: ack for ack in link.take_acks()})
            heard.extend(message.payload for message in link.take_incoming())
            return number in acks and (bool(heard) or self._hopeless(link, acks[number].code))

        self._until(link, step)
        ack = acks.get(number) if number is not None else None
        name, allow = "broker: publish", f"allow this user to write {self._base}/#"
        if ack is None:
            text = f"{self._topic}: not acknowledged ({link.down or 'no answer'})"
            yield failed(name, text, f"{allow}; look into the broker's log")
            return
        if ack.code >= _FAILURE:
            yield failed(name, f"{self._topic}: refused: {ack.text}", allow)
            return
        yield ok(name, f"{self._topic}: acknowledged")
        yield self._echo(link, heard=self._token.encode() in heard, refused=bool(refused))

    def _echo(self, link: Link, *, heard: bool, refused: bool) -> Finding:
        name = "broker: echo"
        if heard:
            text = "the message came back; proven is this topic only: whether the broker lets "
            text += f"{self._base}/+/event through is not tried, because subscribers would hear it"
            return ok(name, text)
        why = "the subscription was refused" if refused else "the message did not come back"
        if link.protocol is Protocol.V3_1_1:
            text = f"{why}: with MQTT 3.1.1 the broker may have thrown it away"
            return failed(name, text, f"allow this user to write and to read {self._base}/#")
        text = f"{why}: this user may write, but not read; only commands need to be read"
        return warning(name, text, f"allow this user to read {self._base}/#")

    def _hopeless(self, link: Link, code: int) -> bool:
        """Whether the broker has said that nothing will come back."""
        return link.protocol is Protocol.V5 and code != 0

    def _until(self, link: Link, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not done() and link.down is None:
            if time.monotonic() > deadline:
                return
            link.step(self._wake, _STEP_S)

    def _connected(self) -> socket.socket:
        address = (self._settings.host, self._settings.port)
        return socket.create_connection(address, self._timeout_s)


def _only(*, older: bool) -> Protocol:
    return Protocol.V3_1_1 if older else Protocol.V5


def _examined_certificate(name: str, encrypted: ssl.SSLSocket) -> Finding:
    certificate: dict[str, Any] = dict(encrypted.getpeercert() or {})
    named = ", ".join(value for _, value in certificate.get("subjectAltName", ()))
    ends = str(certificate.get("notAfter", ""))
    text = f"{encrypted.version()}, certificate for {named or 'no name'}, until {ends}"
    if ends and ssl.cert_time_to_seconds(ends) - time.time() < SOON_S:
        return warning(name, text, "have a new certificate issued for the broker")
    return ok(name, text)


def _trust(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message.lower()
    if "expired" in message:
        return "renew the broker's certificate; if it is not expired, set this machine's clock"
    if "not yet valid" in message:
        return "set this machine's clock (timedatectl)"
    if "hostname" in message or "ip address" in message:
        return "write mqtt.url with a name that is in the broker's certificate"
    return "name the authority that signed the broker's certificate in mqtt.ca_file"


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
