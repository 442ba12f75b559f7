"""Evidence as the daemon sees it: clips go in, and what became of them comes out.

The work in between is done by the keeper's thread; everything here but `_done` is called by the
worker.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.bundle.manifest import Manifest
from edge_asd.config import EvidenceConfig
from edge_asd.evidence.compose import CLIP, DETAILS, SPECTROGRAM, Composer, Request
from edge_asd.evidence.keeper import Keeper, Outcome
from edge_asd.evidence.records import Usage
from edge_asd.evidence.store import EvidenceStore
from edge_asd.evidence.tap import Clip
from edge_asd.profile import Profile
from edge_asd.publish.messages import EvidenceRef
from edge_asd.steady import SteadyClock

_MEGA = 1e6
_KILO = 1e3
_DAY_S = 86400.0
_CLOSE_S = 2.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one clip."""

    monitor: str
    event_id: str
    evidence: EvidenceRef | None
    """None if nothing was kept."""
    picture: bytes | None = None
    """PNG to be published; None if it is not wanted or too large."""


class EvidenceDesk:
    """See the module.

    Args:
        config: What is kept.
        device: Name of this device.
        state_dir: Where evidence, profiles and reservoirs lie.
        manifest: Of the bundle.
        clock: Steady time, and what wall time it is.
        count: Told what became of a clip: ``kept``, ``refused`` or ``dropped``.
    """

    def __init__(
        self,
        config: EvidenceConfig,
        device: str,
        state_dir: Path,
        manifest: Manifest,
        *,
        clock: SteadyClock,
        count: Callable[[str], None],
    ) -> None:
        self._config, self._manifest, self._count = config, manifest, count

        def now() -> float:
            return clock.wall(clock.now())

        self._store = EvidenceStore(
            state_dir,
            quota_bytes=round(config.quota_mb * _MEGA),
            free_floor_bytes=round(config.free_floor_mb * _MEGA),
            keep_s=config.keep_days * _DAY_S,
            clock=now,
        )
        composer = Composer(device, state_dir, clock.wall, now)
        self._keeper = Keeper(composer, self._store, self._done)
        self._settled: queue.SimpleQueue[Settled] = queue.SimpleQueue()

    def retune(self, config: EvidenceConfig) -> None:
        """Keep this from now on; called by any thread."""
        self._config = config
        self._store.limit(
            quota_bytes=round(config.quota_mb * _MEGA),
            free_floor_bytes=round(config.free_floor_mb * _MEGA),
            keep_s=config.keep_days * _DAY_S,
        )

    def follow(self, manifest: Manifest) -> None:
        """Clips that come from now on are of alerts that this bundle raised."""
        self._manifest = manifest

    def start(self) -> None:
        """Begin to work; evidence of earlier runs is put in order first, as far as possible."""
        self._keeper.start()

    def submit(self, clip: Clip, profile: Profile) -> None:
        """Hand over the sound of an alert; never waits."""
        if not self._keeper.submit(Request(clip, profile, self._manifest)):
            self._count("dropped")

    def miss(self, event_id: str) -> None:
        """An alert has no clip, because too many waited for theirs."""
        self._keeper.miss(event_id)
        self._count("dropped")

    def settled(self) -> Iterator[Settled]:
        """What became of clips since the last call."""
        while not self._settled.empty():
            yield self._settled.get_nowait()

    @property
    def idle(self) -> bool:
        """Nothing waits, is in work, or was not yet asked for with `settled`."""
        return self._keeper.idle and self._settled.empty()

    @property
    def failure(self) -> str:
        """Why the last clip was not kept; empty when all is well."""
        return self._keeper.failure or self._store.usage().failure

    def usage(self) -> Usage:
        """How much there is, as last measured."""
        return self._store.usage()

    def close(self) -> None:
        """Keep what waits, as far as there is time."""
        self._keeper.close(_CLOSE_S)
        self._store.close()

    def _done(self, outcome: Outcome) -> None:
        """Called by the keeper's thread."""
        self._count("kept" if outcome.kept else "refused")
        self._settled.put(self._told(outcome))

    def _told(self, outcome: Outcome) -> Settled:
        kept = outcome.kept
        if kept is None:
            return Settled(outcome.monitor, outcome.event_id, None)
        root = self._store.root

        def name(file: str) -> str | None:
            return str(kept.path(file).relative_to(root)) if file in kept.files else None

        clip = kept.files[CLIP]
        reference = EvidenceRef(
            clip=name(CLIP) or CLIP,
            spectrogram=name(SPECTROGRAM),
            details=name(DETAILS),
            sha256=clip.sha256,
            bytes=clip.bytes,
        )
        picture = outcome.picture if self._config.publish_picture else None
        if picture is not None and len(picture) > self._config.picture_max_kb * _KILO:
            logger.warning(
                "monitor=%s event=%s picture not sent: %d bytes are more than picture_max_kb",
                outcome.monitor,
                outcome.event_id,
                len(picture),
            )
            picture = None
        return Settled(outcome.monitor, outcome.event_id, reference, picture)
