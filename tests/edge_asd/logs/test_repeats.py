"""Lines that say the same are written once and counted; nothing that matters is held back."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from edge_asd.logs.repeats import LINES, QuietHandler, Repeats


def line(message, *args, level=logging.WARNING, name="edge_asd.part"):
    return logging.LogRecord(name, level, "part.py", 1, message, args, None)


class Log(logging.Handler):
    """What was written, and a clock that is set by hand."""

    def __init__(self, **options):
        super().__init__()
        self.now_s, self.written = 0.0, []
        self.quiet = QuietHandler(self, Repeats(clock=lambda: self.now_s, **options))

    def emit(self, record):
        self.written.append(record.getMessage())

    def say(self, *args, **options):
        self.quiet.handle(line(*args, **options))


def test_a_line_that_repeats_is_written_once_and_then_counted_every_five_minutes():
    log = Log()
    for second in range(601):
        log.now_s = float(second)
        log.say("disk full free=%d", second)
    assert log.written == [
        "disk full free=0",
        "unlogged=299 more like: disk full free=0",
        "disk full free=300",
        "unlogged=299 more like: disk full free=300",
        "disk full free=600",
    ]


def test_lines_about_different_things_are_not_repeats():
    log = Log()
    for _ in range(3):
        for monitor in ("pump", "fan"):
            log.say("monitor=%s too quiet", monitor)
    assert log.written == ["monitor=pump too quiet", "monitor=fan too quiet"]


def test_a_flood_of_ever_new_words_ends_but_errors_come_through():
    log = Log()
    for n in range(1000):
        log.say("file=%s not read", f"{n}.wav")
        log.say("file=%s lost", f"{n}.wav", level=logging.ERROR)
    assert sum("not read" in text for text in log.written) == LINES
    assert sum("lost" in text for text in log.written) == 1000


def test_what_is_exempt_is_written_every_time():
    log = Log(exempt=lambda record: "type=new" in record.msg)
    for _ in range(50):
        log.say("event=1 type=new")
    assert len(log.written) == 50


def test_what_comes_and_goes_is_told_each_time_until_it_is_too_often():
    log = Log(change=lambda record: record.msg == "broker %s")
    for n in range(100):
        log.say("broker %s", ("lost", "found")[n % 2])
    assert log.written == ["broker lost", "broker found"] * (LINES // 2)
    log.now_s = 301.0
    log.say("broker %s", "found")
    assert log.written[-2:] == ["unlogged=80 more like: broker lost", "broker found"]


def test_debugging_is_never_held_back():
    log = Log()
    for _ in range(50):
        log.say("window", level=logging.DEBUG)
    assert len(log.written) == 50


def test_what_was_held_back_is_told_at_the_end():
    log = Log()
    for _ in range(5):
        log.say("again")
    log.quiet.close()
    assert log.written == ["again", "unlogged=4 more like: again"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 3000), st.floats(0, 200)), max_size=120
    )
)
def test_no_line_is_lost_without_being_counted(lines):
    log = Log()
    for template, word, passed_s in lines:
        log.now_s += passed_s
        log.say(f"{template} %s", str(word))
    log.quiet.close()
    counted = sum(int(t.split()[0][9:]) for t in log.written if t.startswith("unlogged="))
    written = sum(not t.startswith("unlogged=") for t in log.written)
    assert counted + written == len(lines)


def test_the_table_is_bounded():
    repeats = Repeats(clock=lambda: 0.0)
    for n in range(5000):
        repeats.take(line("file=%s", str(n), level=logging.ERROR))
    assert repeats.remembered <= 514
