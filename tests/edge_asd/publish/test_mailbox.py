"""What waits in memory is bounded, the newest is kept, and a state is forgotten only when it is."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_asd.publish.mailbox import MAX_REPLIES, MAX_TELEMETRY, Mailbox, Reply

NOTHING = frozenset()


def test_of_too_much_telemetry_the_oldest_goes():
    mailbox = Mailbox()
    lost = sum(mailbox.post("t", b"%d" % number) for number in range(MAX_TELEMETRY + 5))
    assert lost == 5
    assert [int(p) for _, p in mailbox.take_telemetry()] == list(range(5, MAX_TELEMETRY + 5))
    assert mailbox.take_telemetry() == []


def test_of_too_many_answers_the_oldest_goes():
    mailbox = Mailbox()
    lost = sum(mailbox.reply(Reply("t", b"%d" % n, None)) for n in range(MAX_REPLIES + 2))
    assert lost == 2
    assert mailbox.take_reply().payload == b"2"


def test_a_new_connection_gets_every_state_and_no_old_telemetry():
    mailbox = Mailbox()
    mailbox.set_retained("a", b"1")
    assert mailbox.take_state(NOTHING) == ("a", b"1")
    mailbox.post("t", b"")
    mailbox.mark_all()
    assert mailbox.take_state(NOTHING) == ("a", b"1")
    assert mailbox.take_telemetry() == []


steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "forget", "send", "taken", "refused", "connect"]), st.integers(0, 2)
    )
)


@example([("set", 0), ("send", 0), ("forget", 0), ("send", 0), ("taken", 0), ("connect", 0)])
@example([("forget", 0), ("send", 0), ("set", 0), ("forget", 0), ("taken", 0), ("connect", 0)])
@example([
    ("forget", 0), ("send", 0), ("set", 0), ("send", 0), ("forget", 0), ("send", 0),
    ("taken", 0), ("taken", 0), ("connect", 0),
])  # fmt: skip
@settings(max_examples=300)
@given(steps)
def test_whatever_happens_the_broker_ends_up_with_what_was_last_said(steps):
    mailbox, wanted, broker = Mailbox(), {}, {}
    under_way = []
    for number, (step, which) in enumerate(steps):
        topic = "abc"[which]
        if step == "set":
            wanted[topic] = b"%d" % number
            mailbox.set_retained(topic, wanted[topic])
        elif step == "forget":
            wanted.pop(topic, None)
            mailbox.forget(topic)
        elif step == "send" and (state := mailbox.take_state(NOTHING)):
            under_way.append(state)
        elif step == "taken" and under_way:
            sent, payload = under_way.pop(0)
            broker[sent] = payload
            mailbox.taken(sent, payload)
        elif step == "refused" and under_way:
            mailbox.refused(under_way.pop(0)[0])
        elif step == "connect":
            under_way.clear()
            mailbox.mark_all()
        assert mailbox.topics() == wanted.keys()
        has = {topic: payload for topic, payload in broker.items() if payload}
        assert has == wanted or not mailbox.settled
    mailbox.mark_all()
    while state := mailbox.take_state(NOTHING):
        broker[state[0]] = state[1]
        mailbox.taken(*state)
    assert {topic: payload for topic, payload in broker.items() if payload} == wanted
    # What is forgotten is not sent to another broker, or for ever.
    mailbox.mark_all()
    assert mailbox.unsent == bool(wanted)
