"""From the operator's monitors to sources and who listens to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_asd.capture import AlsaUri, CaptureThread, capture, parse_source
from edge_asd.common import Common
from edge_asd.config import Config, MonitorConfig
from edge_asd.engine import NetworkSet
from edge_asd.monitor import Monitor
from edge_asd.observe import WINDOWS_QUEUED
from edge_asd.profile import Profile, has_profile, load_profile
from edge_asd.publish.store import EventStore
from edge_asd.report import Reporter
from edge_asd.worker import Feed


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


class Feeding:
    """Makes monitors, and the threads that read their sources.

    Args:
        common: What all parts share.
        networks: Of the bundle.
        store: Knows the alerts that were open when the daemon last stopped.
        report: The sinks.
    """

    def __init__(
        self, common: Common, networks: NetworkSet, store: EventStore, report: Reporter
    ) -> None:
        self._common, self._networks = common, networks
        self._store, self._report = store, report

    def open(self, config: Config) -> list[Feed]:
        """All monitors with their sources, which are not yet started.

        Raises:
            EdgeAsdError: A profile cannot be used, or the store not be read.
        """
        profiles = {section.name: self.profile(section.name) for section in config.monitors}
        monitors = {
            section.name: self.monitor(config, section, profiles[section.name])
            for section in config.monitors
        }
        feeds = []
        for wanted in wanted_sources(config.monitors):
            listening = [monitors[section.name] for section in wanted.monitors]
            known = [profiles[section.name] for section in wanted.monitors]
            thread = self.capture(wanted, known, taken=())
            feeds.append(Feed(thread, listening, thread.live, channels=wanted.channels))
        return feeds

    def profile(self, name: str) -> Profile | None:
        """What a monitor learned before.

        Raises:
            EdgeAsdError: It is damaged, or of another bundle.
        """
        folder = self._common.state_dir
        return (
            load_profile(folder, name, self._networks.bundle) if has_profile(folder, name) else None
        )

    def monitor(self, config: Config, section: MonitorConfig, profile: Profile | None) -> Monitor:
        """A monitor that goes on with the alert that was open when the daemon last stopped.

        Raises:
            StorageError: The store cannot be read.
        """
        name = section.name
        self._common.metrics.init_monitor(name, queue_capacity=WINDOWS_QUEUED)
        event, notice = self._store.open_event(name), self._store.open_notice(name)
        return Monitor(
            section,
            self._networks,
            self._common.state_dir,
            self._report,
            profile=profile,
            open_event=event.to_event() if event else None,
            open_notice=notice.to_notice() if notice else None,
            microphone=config.microphone,
            evidence=config.evidence,
        )

    def capture(
        self, wanted: Wanted, profiles: Sequence[Profile | None], taken: Collection[str]
    ) -> CaptureThread:
        """A thread, not yet started and watched from now on, that reads a source.

        Args:
            wanted: The source.
            profiles: Of those who will listen: they know which microphone it must be.
            taken: Names of threads that there are.
        """
        name = number = wanted.monitors[0].name
        for count in range(2, len(taken) + 3):
            if number not in taken:
                break
            number = f"{name}-{count}"
        thread = capture(
            number,
            wanted.source,
            once=self._common.once,
            channels=wanted.channels,
            clock=self._common.clock,
            expected_identity=next((p.microphone for p in profiles if p and p.microphone), ""),
        )
        self._common.watch.watch(thread.name, lambda: thread.progress)
        return thread
