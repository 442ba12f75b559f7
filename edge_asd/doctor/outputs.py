"""Where a daemon would send what it finds, and the secrets and certificates for that."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_asd.config import Config
from edge_asd.doctor.certificates import examine_dates
from edge_asd.doctor.findings import Finding, failed, of_error, ok, warning
from edge_asd.errors import EdgeAsdError
from edge_asd.publish.connect import broker_settings
from edge_asd.publish.jsonl import STDOUT
from edge_asd.publish.mqtt_settings import MqttSettings
from edge_asd.web.access import listen_address, read_token

_CONFIG = 78


def examine_mqtt(config: Config, environ: Mapping[str, str], now_s: float) -> Iterator[Finding]:
    """The broker's address, the password and the certificates; nobody is connected to."""
    wanted = config.mqtt
    if wanted is None:
        yield ok("mqtt", "no broker: events stay on this machine")
        return
    try:
        settings = broker_settings(config, environ)
    except EdgeAsdError as error:
        yield of_error("mqtt", error)
    else:
        if settings is not None:
            yield from _examine_privacy(wanted.url, settings)
    for key in ("ca_file", "cert_file"):
        path = getattr(wanted, key)
        if path:
            yield examine_dates(f"mqtt.{key}", Path(path), now_s)


def _examine_privacy(url: str, settings: MqttSettings) -> Iterator[Finding]:
    open_to_see = settings.tls is None and not _is_loopback(settings.host)
    if open_to_see and settings.password is not None:
        text = f"{url}: the password crosses the network unencrypted"
        yield warning("mqtt.url", text, "use mqtts:// and ca_file")
    else:
        yield ok("mqtt.url", url)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def examine_http(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The address of metrics and health, and its token; nothing is listened on."""
    try:
        token = read_token(config.http.token_file, environ)
        address, _ = listen_address(config.http.listen, token)
    except EdgeAsdError as error:
        yield of_error("http", error)
        return
    where = "this machine only" if address.is_loopback else "the network, with a token"
    yield ok("http.listen", f"{config.http.listen}: reachable from {where}")


def examine_jsonl(config: Config) -> Iterator[Finding]:
    """Whether the lines can be written."""
    if config.jsonl is None or config.jsonl.path == STDOUT:
        return
    path = Path(config.jsonl.path)
    target = path if path.exists() else path.parent
    if path.is_dir():
        yield failed("jsonl.path", f"{path}: is a folder", "name a file in it", _CONFIG)
    elif not target.exists():
        text = f"{path}: its folder does not exist"
        yield failed("jsonl.path", text, f"mkdir -p {path.parent}", _CONFIG)
    elif not os.access(target, os.W_OK):
        remedy = "give it to the service's user, or choose another file"
        yield failed("jsonl.path", f"{target}: cannot be written by this user", remedy, _CONFIG)
    else:
        yield ok("jsonl.path", str(path))
