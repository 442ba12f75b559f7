"""From the operator's monitors to sources and who listens to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edge_asd.bundle import Bundle
from edge_asd.capture import AlsaUri, CaptureThread, capture, parse_source
from edge_asd.common import Common
from edge_asd.config import Config, MonitorConfig
from edge_asd.engine import NetworkSet
from edge_asd.monitor.monitor import Monitor
from edge_asd.observe import WINDOWS_QUEUED
from edge_asd.operators.switches import Switchboard
from edge_asd.profile import Profile, has_profile, load_profile
from edge_asd.publish.store import EventStore
from edge_asd.records import Event, MicrophoneNotice
from edge_asd.report.report import Reporter
from edge_asd.worker.feed import Feed


@dataclass(frozen=True, slots=True)
class Wanted:
    """A source, and who is to listen to it."""

    source: str
    monitors: tuple[MonitorConfig, ...]

    @property
    def channels(self) -> int:
        """How many of them a microphone must be opened with; other sources have what they have."""
        if not isinstance(parse_source(self.source), AlsaUri):
            return 1
        return 1 + max(monitor.channel for monitor in self.monitors)


def wanted_sources(monitors: Sequence[MonitorConfig]) -> list[Wanted]:
    """Every source once, in the order of the file: nothing opens a microphone twice."""
    by_source: dict[str, list[MonitorConfig]] = defaultdict(list)
    for monitor in monitors:
        by_source[monitor.source].append(monitor)
    return [Wanted(source, tuple(listening)) for source, listening in by_source.items()]


@dataclass(frozen=True, slots=True)
class Past:
    """What a monitor goes on with."""

    profile: Profile | None
    """What it learned."""
    event: Event | None
    """The alert that is open."""
    notice: MicrophoneNotice | None
    """The notice about its microphone that is open."""

    @classmethod
    def of(cls, monitor: Monitor, learned: Profile | None = None) -> Past:
        """What another object for the same monitor goes on with; called by the worker.

        Args:
            monitor: The object there is.
            learned: What it has learned with networks that are about to serve.
        """
        return cls(learned or monitor.profile, monitor.alert, monitor.hearing.open_notice)


@dataclass(frozen=True, slots=True)
class Seating:
    """Who listens where, once the configuration has changed."""

    kept: Mapping[Feed, tuple[MonitorConfig, ...]]
    """Sources that go on."""
    opened: tuple[Wanted, ...]
    """Sources that are opened anew."""


def arrange(feeds: Sequence[Feed], monitors: Sequence[MonitorConfig]) -> Seating:
    """Seat the monitors of a new configuration.

    A source goes on where it can. It cannot if a microphone has to be opened with more channels,
    and nobody new joins a recording that has been heard to its end.

    Args:
        feeds: The sources there are.
        monitors: Of the new configuration.
    """
    kept: dict[Feed, list[MonitorConfig]] = defaultdict(list)
    opened = []
    for wanted in wanted_sources(monitors):
        here = [feed for feed in feeds if feed.source == wanted.source]
        if any(not feed.done and feed.channels < wanted.channels for feed in here):
            opened.append(wanted)
            continue
        seats = {monitor.name: feed for feed in here for monitor in feed.monitors}
        running = next((feed for feed in here if not feed.done), None)
        standing = []
        for section in wanted.monitors:
            feed = seats.get(section.name, running)
            if feed is None:
                standing.append(section)
            else:
                kept[feed].append(section)
        if standing:
            opened.append(Wanted(wanted.source, tuple(standing)))
    return Seating({feed: tuple(sections) for feed, sections in kept.items()}, tuple(opened))


class Feeding:
    """Makes monitors, and the threads that read their sources.

    Args:
        common: What all parts share.
        networks: Of the bundle.
        store: Knows the alerts that were open when the daemon last stopped.
        report: The sinks.
        switchboard: Knows what operators have switched.
    """

    def __init__(
        self,
        common: Common,
        networks: NetworkSet,
        store: EventStore,
        report: Reporter,
        switchboard: Switchboard,
    ) -> None:
        self._common, self._networks = common, networks
        self._store, self._report, self._switchboard = store, report, switchboard

    def open(self, config: Config) -> list[Feed]:
        """All monitors with their sources, which are not yet started.

        Raises:
            EdgeAsdError: A profile cannot be used, or the store not be read.
        """
        found = {section.name: self.past(section.name) for section in config.monitors}
        monitors = {
            section.name: self.monitor(config, section, found[section.name])
            for section in config.monitors
        }
        feeds = []
        for wanted in wanted_sources(config.monitors):
            listening = [monitors[section.name] for section in wanted.monitors]
            known = [found[section.name].profile for section in wanted.monitors]
            thread = self.capture(wanted, known, taken=())
            self.watch(thread)
            feeds.append(Feed(thread, listening, thread.live, channels=wanted.channels))
        return feeds

    def follow(self, networks: NetworkSet) -> None:
        """Make monitors with these networks from now on."""
        self._networks = networks

    def past(self, name: str, bundle: Bundle | None = None, learned: Profile | None = None) -> Past:
        """What is on the disk of a monitor: the daemon may have been stopped during an alert.

        Args:
            name: Of the monitor.
            bundle: That is about to serve; None for the one that does.
            learned: What takes the place of the profile on the disk.

        Raises:
            EdgeAsdError: Its profile is damaged or of another bundle, or the store is not readable.
        """
        folder, bundle = self._common.state_dir, bundle or self._networks.bundle
        event, notice = self._store.open_event(name), self._store.open_notice(name)
        if learned is None and has_profile(folder, name):
            learned = load_profile(folder, name, bundle)
        return Past(
            learned,
            event.to_event() if event else None,
            notice.to_notice() if notice else None,
        )

    def monitor(
        self,
        config: Config,
        section: MonitorConfig,
        past: Past,
        networks: NetworkSet | None = None,
    ) -> Monitor:
        """A monitor that goes on where it was; ``networks`` are those that are about to serve.

        Raises:
            ConfigError: Its rules do not fit the bundle.
        """
        self._common.metrics.init_monitor(section.name, queue_capacity=WINDOWS_QUEUED)
        return Monitor(
            section,
            networks or self._networks,
            self._common.state_dir,
            self._report,
            profile=past.profile,
            open_event=past.event,
            open_notice=past.notice,
            microphone=config.microphone,
            evidence=config.evidence,
            switches=self._switchboard.of(section.name),
        )

    def capture(
        self, wanted: Wanted, profiles: Sequence[Profile | None], taken: Collection[str]
    ) -> CaptureThread:
        """A thread, not yet started, that reads a source.

        Args:
            wanted: The source.
            profiles: Of those who will listen: they know which microphone it must be.
            taken: Names of threads that there are.
        """
        first = wanted.monitors[0].name
        names = (first, *(f"{first}-{count}" for count in range(2, len(taken) + 2)))
        name = next(name for name in names if name not in taken)
        return capture(
            name,
            wanted.source,
            once=self._common.once,
            channels=wanted.channels,
            clock=self._common.clock,
            expected_identity=next((p.microphone for p in profiles if p and p.microphone), ""),
        )

    def watch(self, thread: CaptureThread) -> None:
        """Notice if a thread stands still."""
        self._common.watch.watch(thread.name, lambda: thread.progress)
