"""From the operator's words about a broker to the sink that talks to it."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Mapping

from edge_asd import __version__
from edge_asd.clock import boot_id, rfc3339
from edge_asd.config import Config
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.mqtt_settings import MqttSettings, client_id_for
from edge_asd.publish.outbox import Outbox
from edge_asd.publish.payload import ModelRef
from edge_asd.publish.standing import InfoMessage, MonitorInfo
from edge_asd.publish.topics import Topics, topic_segment
from edge_asd.secrets import read_secret, secret_path


def broker_settings(config: Config, environ: Mapping[str, str]) -> MqttSettings | None:
    """How to reach the broker; None where the operator named none.

    Args:
        config: The operator's file.
        environ: Where ``CREDENTIALS_DIRECTORY`` stands.

    Raises:
        ConfigError: Its URL, password or certificates cannot be used, or others can read a secret.
    """
    wanted = config.mqtt
    if wanted is None:
        return None
    key = wanted.key_file and str(secret_path(wanted.key_file, environ, key="mqtt.key_file"))
    if wanted.cert_file and key is None:  # then the key is in the same file
        secret_path(wanted.cert_file, environ, key="mqtt.cert_file")
    return MqttSettings(
        url=wanted.url,
        client_id=client_id_for(config.device),
        username=wanted.username,
        password=read_secret(wanted.password_file, environ),
        ca_file=wanted.ca_file,
        cert_file=wanted.cert_file,
        key_file=key,
        protocol=wanted.protocol,
    )


def open_mqtt(
    config: Config, outbox: Outbox, model: ModelRef, metrics: Metrics, *, started_at: float
) -> MqttSink | None:
    """The broker's sink, not yet started; None where the operator named no broker.

    Args:
        config: The operator's file.
        outbox: What must arrive.
        model: What scores, for the birth message.
        metrics: Prometheus.
        started_at: Wall time, seconds since 1970 UTC.

    Raises:
        ConfigError: Its URL, password or certificates cannot be used.
    """
    settings = broker_settings(config, os.environ)
    if settings is None:
        return None
    return MqttSink(
        settings,
        topics=Topics(config.device),
        outbox=outbox,
        birth=birth(config, model, started_at).to_json(),
        metrics=metrics,
        rng=random.SystemRandom(),
    )


def birth(config: Config, model: ModelRef, started_at: float) -> InfoMessage:
    """What is said first on every connection.

    Args:
        config: The operator's file.
        model: What scores.
        started_at: Wall time, seconds since 1970 UTC.
    """
    names = [monitor.name for monitor in config.monitors]
    return InfoMessage(
        device=config.device,
        versions={"edge_asd": __version__, "python": platform.python_version()},
        monitors=tuple(MonitorInfo(name=n, topic_segment=topic_segment(n)) for n in names),
        model=model,
        started_at=rfc3339(started_at),
        boot_id=boot_id(),
    )
