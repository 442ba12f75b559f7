"""Whoever wants to know when the broker has a message is told once, and nobody else is."""

from __future__ import annotations

import pytest
from brokers import eventually
from devices import EVENTS, TOPICS, Device
from hypothesis import given
from hypothesis import strategies as st
from publish_samples import message

from edge_asd.publish.receipts import LIMIT, Receipts
from edge_asd.publish.replay import Span

KEYS = st.tuples(st.sampled_from(["pump", "fan"]), st.integers(0, 3))


@given(st.lists(st.tuples(KEYS, st.sampled_from(["expect", "nobody", "received"]))))
def test_a_receipt_is_called_once_by_the_message_it_waits_for(steps):
    receipts, waiting, called, wanted = Receipts(), {}, [], []
    for number, (key, what) in enumerate(steps):
        if what == "received":
            receipts.received(*key)
            wanted += [waiting.pop(key)] if key in waiting else []
        else:
            waiting.pop(key, None)
            if what == "expect":
                waiting[key] = number
            notify = (lambda number=number: called.append(number)) if what == "expect" else None
            receipts.expect(*key, notify)
    assert called == wanted


def test_receipts_that_never_come_do_not_pile_up():
    receipts, called = Receipts(), []
    for seq in range(3 * LIMIT):
        receipts.expect("pump", seq, lambda seq=seq: called.append(seq))
    for seq in range(3 * LIMIT):
        receipts.received("pump", seq)
    assert called == list(range(2 * LIMIT, 3 * LIMIT))


@pytest.mark.broker
@pytest.mark.own_payloads
def test_the_brokers_word_is_the_receipt_and_a_message_sent_again_gives_none(mosquitto, tmp_path):
    with Device(tmp_path / "s", mosquitto.url) as device:
        called = []
        for number in range(3):
            device.store.record(
                message("new"),
                monitor="pump-1",
                topic=EVENTS,
                on_receipt=lambda number=number: called.append(number),
            )
        assert called == []  # on the disk is not at the broker
        mosquitto.start()
        eventually(lambda: called == [0, 1, 2], what="three receipts")
        device.wait_idle()
        device.store.replay(Span(), TOPICS, dry_run=False)
        eventually(
            lambda: (
                sum(
                    device.metric("mqtt_publish_total", **{"class": "event_new", "result": result})
                    or 0.0
                    for result in ("delivered", "no_subscribers")
                )
                == 6
            ),
            what="the same three once more",
        )
        assert called == [0, 1, 2]
