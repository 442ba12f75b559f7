"""The sound of one monitor's alerts on its way to the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_asd.config import EvidenceConfig
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.evidence.tap import Clip, Tap
from edge_asd.profile import Profile
from edge_asd.records import Event, FloatArray


class Clips:
    """Keeps the latest sound, and hands over what an alert asks for; not thread-safe.

    Args:
        desk: Where clips go.
        config: What is kept.
        span_s: What an alert may rest on, seconds of audio before it is raised.
        profile: The profile in force.
    """

    def __init__(
        self,
        desk: EvidenceDesk,
        config: EvidenceConfig,
        *,
        span_s: float,
        profile: Callable[[], Profile],
    ) -> None:
        self._desk, self._config = desk, config
        self._span_s, self._profile = span_s, profile
        self._tap: Tap | None = None
        self._rate: int | None = None  # of the source

    def open(self, rate: int) -> None:
        """Begin with sound of this rate, hertz; clips under way end here."""
        self.finish()
        self._tap, self._rate = None, rate
        if self._config.enabled:
            self._tap = Tap(rate, self._config.before_s, self._config.after_s, self._span_s)

    def span(self, span_s: float) -> None:
        """An alert may rest on so much sound from now on; clips under way end here."""
        self._span_s = span_s
        if self._rate is not None:
            self.open(self._rate)

    def configure(self, config: EvidenceConfig) -> None:
        """Keep this from now on; clips under way end here."""
        if config != self._config:
            self._config = config
            if self._rate is not None:
                self.open(self._rate)

    def push(self, mono: FloatArray, start: int, captured_at: float) -> None:
        """Take in sound (n,) of the monitor's channel."""
        if self._tap is not None:
            self._submit(self._tap.push(mono, start, captured_at))

    def want(self, event: Event, begin_s: float, end_s: float, parts: Mapping[str, float]) -> None:
        """Ask for the sound that an alert rests on, from ``begin_s`` to ``end_s`` of the stream."""
        if self._tap is not None and not self._tap.want(event, begin_s, end_s, dict(parts)):
            self._desk.miss(event.id)

    def finish(self) -> None:
        """Nothing more is heard: alerts whose sound is not complete keep what there is."""
        if self._tap is not None:
            self._submit(self._tap.finish())

    def _submit(self, clips: list[Clip]) -> None:
        for clip in clips:
            self._desk.submit(clip, self._profile())
