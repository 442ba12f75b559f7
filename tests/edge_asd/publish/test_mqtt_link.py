"""One connection to a real broker."""

from __future__ import annotations

import socket

import pytest

from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_records import Opening, Protocol
from edge_asd.publish.mqtt_settings import MqttSettings


@pytest.mark.broker
@pytest.mark.parametrize("protocol", list(Protocol))
def test_an_event_does_not_wait_until_what_was_sent_before_is_confirmed(mosquitto, protocol):
    mosquitto.start()
    settings = MqttSettings(mosquitto.url, "edge-asd-test")
    link = Link(settings, "will", protocol, timeout_s=60.0, will_delay_s=1)
    wake, other = socket.socketpair()
    with wake, other:
        assert link.open(wake, lambda: True).result is Opening.ACCEPTED
        connection = link._client.socket()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        link.abort("done")
