"""Who listens where after the configuration has changed."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from edge_asd.config import MonitorConfig
from edge_asd.worker.feed import Feed
from edge_asd.worker.feeding import Wanted, arrange, wanted_sources

SOURCES = st.sampled_from(["alsa:one", "alsa:two", "file:/a.wav", "exec:rec", "sim:pump"])
SECTIONS = st.lists(
    st.builds(
        MonitorConfig,
        name=st.sampled_from("abcdef"),
        source=SOURCES,
        channel=st.integers(0, 3),
        settle_s=st.sampled_from([5.0, 10.0]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda section: section.name,
)


def running(sections, done=()):
    """The sources of a daemon that started with these monitors."""
    feeds = []
    for at, wanted in enumerate(wanted_sources(sections)):
        monitors = [SimpleNamespace(name=s.name, config=s) for s in wanted.monitors]
        feed = Feed(None, monitors, live=True, channels=wanted.channels)
        feed.done = at in done
        feeds.append(feed)
    return feeds


@given(SECTIONS, SECTIONS, st.sets(st.integers(0, 4)))
def test_everybody_has_one_seat_at_the_right_source(before, after, done):
    feeds = running(before, done)
    seating = arrange(feeds, after)
    seated = [(feed.source, section) for feed, found in seating.kept.items() for section in found]
    seated += [(wanted.source, section) for wanted in seating.opened for section in wanted.monitors]
    assert sorted(section.name for _, section in seated) == sorted(s.name for s in after)
    assert all(source == section.source for source, section in seated)
    for feed, sections in seating.kept.items():
        # What cannot be done with a source that goes on is not asked of it.
        if not feed.done:
            assert feed.channels >= Wanted(feed.source, sections).channels
        else:
            there = {monitor.name for monitor in feed.monitors}
            assert {section.name for section in sections} <= there


@given(SECTIONS, SECTIONS)
def test_no_source_is_opened_twice(before, after):
    seating = arrange(running(before), after)
    sources = [feed.source for feed in seating.kept] + [w.source for w in seating.opened]
    assert len(sources) == len(set(sources)) == len({section.source for section in after})


@given(SECTIONS)
def test_who_stays_as_he_was_stays_where_he_was(sections):
    feeds = running(sections)
    seating = arrange(feeds, sections)
    assert seating.opened == ()
    assert list(seating.kept) == feeds


@given(SECTIONS, SECTIONS)
def test_a_source_is_opened_anew_only_where_it_must_be(before, after):
    feeds = running(before)
    seating = arrange(feeds, after)
    for wanted in seating.opened:
        here = [feed for feed in feeds if feed.source == wanted.source]
        assert not here or all(feed.channels < wanted.channels for feed in here)
