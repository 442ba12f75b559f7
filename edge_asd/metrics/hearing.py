"""Metrics of how well a monitor hears: microphone, coverage, overload, evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from edge_asd.books.ledger import Account
from edge_asd.capture.status import CaptureStatus
from edge_asd.evidence.records import Cause, Usage
from edge_asd.hearing.signal_health import Flaw

MICROPHONE_FAULTS = ("no_audio", *(flaw.value for flaw in Flaw))
EVIDENCE_RESULTS = ("kept", "refused", "dropped")


class HearingMetrics:
    """Safe to use from every thread.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counts_seen: dict[tuple[str, ...], int] = {}
        self._faults: dict[str, str] = {}  # of every monitor, as shown
        m = "monitor"
        self._fault = self._gauge("microphone_fault", "1 while it has this fault.", m, "fault")
        self._flaws = self._counter(
            "signal_flawed_seconds_total",
            "Audio that no microphone that works gives.",
            *(m, "flaw"),
        )
        self._zeros = self._counter("audio_zero_seconds_total", "Audio that was digital zero.", m)
        self._noise_floor = self._gauge(
            "audio_noise_floor_dbfs", "Quietest half second of a minute, NaN before the first.", m
        )
        self._clipped = self._gauge("audio_clipped_ratio", "Share of clipped samples.", m)
        self._clipped_samples = self._counter(
            "audio_clipped_samples_total", "Samples that were cut off.", m
        )
        self._dc = self._gauge("audio_dc_ratio", "Mean of the samples.", m)
        self._drift = self._gauge(
            "capture_drift_ratio", "Rate of the source against the clock, less 1.", m
        )
        self._surplus = self._gauge(
            "capture_surplus_seconds", "Audio beyond what the clock allows.", m
        )
        self._ledger = self._gauge(
            "ledger_seconds", "What time was, since the start.", m, "account"
        )
        self._stretch = self._gauge("hop_stretch", "Hops between scored windows; 1 is normal.")
        self._init_books()
        self._stretch.set(1)

    def init_monitor(self, monitor: str) -> None:
        """Export every series of a monitor as zero."""
        self._faults.pop(monitor, None)
        for fault in MICROPHONE_FAULTS:
            self._fault.labels(monitor, fault)
        for flaw in Flaw:
            self._flaws.labels(monitor, flaw.value)
        for account in Account:
            self._ledger.labels(monitor, account.value)
        for metric in (self._clipped, self._dc, self._surplus):
            metric.labels(monitor)
        for counter in (self._zeros, self._clipped_samples):
            counter.labels(monitor)
        for unknown in (self._drift, self._noise_floor):
            unknown.labels(monitor).set(math.nan)

    def set_fault(self, monitor: str, fault: str) -> None:
        """What is wrong with the microphone; empty for nothing. Said of every block."""
        if self._faults.get(monitor) == fault:
            return
        self._faults[monitor] = fault
        for each in MICROPHONE_FAULTS:
            self._fault.labels(monitor, each).set(each == fault)

    def block(self, monitor: str, frames: int, *, clipped_ratio: float, dc: float) -> None:
        """Signal facts of a block of so many sample frames."""
        self._clipped.labels(monitor).set(clipped_ratio)
        self._clipped_samples.labels(monitor).inc(clipped_ratio * frames)
        self._dc.labels(monitor).set(dc)

    def set_noise_floor(self, monitor: str, level_dbfs: float) -> None:
        """How quiet it becomes."""
        self._noise_floor.labels(monitor).set(level_dbfs)

    def flawed(self, monitor: str, flaw: Flaw, seconds: float) -> None:
        """Count audio that is not what a microphone gives."""
        self._flaws.labels(monitor, flaw.value).inc(seconds)
        if flaw is Flaw.DIGITAL_ZERO:
            self._zeros.labels(monitor).inc(seconds)

    def set_capture(self, monitor: str, status: CaptureStatus) -> None:
        """How the source's clock compares."""
        drift = status.drift_ppm
        self._drift.labels(monitor).set(math.nan if drift is None else drift * 1e-6)
        self._surplus.labels(monitor).set(status.surplus_s)

    def set_ledger(self, monitor: str, totals: Mapping[Account, float]) -> None:
        """What the time since the start was."""
        for account in Account:
            self._ledger.labels(monitor, account.value).set(totals.get(account, 0.0))

    def set_stretch(self, hops: int) -> None:
        """Hops between scored windows."""
        self._stretch.set(hops)

    def evidence(self, result: str) -> None:
        """Count evidence; ``result`` is one of ``EVIDENCE_RESULTS``."""
        self._evidence.labels(result).inc()

    def set_evidence_usage(self, usage: Usage) -> None:
        """How much evidence there is, and what was deleted since the start."""
        self._evidence_bytes.set(usage.used_bytes)
        self._evidence_quota.set(usage.quota_bytes)
        self._evidence_stuck.set(usage.stuck)
        for cause in Cause:
            deleted = self._evidence_deleted.labels(cause.value)
            self._follow(deleted, "evidence", cause.value, count=usage.deleted.get(cause, 0))

    def set_history_dropped(self, count: int) -> None:
        """Scores that were not written down since the start."""
        self._follow(self._history_dropped, "history", count=count)

    # Construction

    def _init_books(self) -> None:
        self._evidence = self._counter(
            "evidence_clips_total", "Clips of alerts by what became of them.", "result"
        )
        self._evidence_deleted = self._counter(
            "evidence_deleted_total", "Clips deleted to make room.", "reason"
        )
        self._evidence_bytes = self._gauge("evidence_bytes", "Disk space that evidence takes.")
        self._evidence_quota = self._gauge("evidence_quota_bytes", "Disk space that it may take.")
        self._evidence_stuck = self._gauge(
            "evidence_stuck_clips", "Clips that should go and cannot be deleted."
        )
        self._history_dropped = self._counter(
            "history_dropped_scores_total", "Scores that the disk did not take in time."
        )
        for result in EVIDENCE_RESULTS:
            self._evidence.labels(result)
        for cause in Cause:
            self._evidence_deleted.labels(cause.value)

    def _follow(self, counter: Counter, *key: str, count: int) -> None:
        """Bring a counter up to a count that others keep; theirs may begin again at zero."""
        before = self._counts_seen.get(key, 0)
        counter.inc(count - before if count >= before else count)
        self._counts_seen[key] = count

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"edge_asd_{name}", text, labels, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"edge_asd_{name}", text, labels, registry=self._registry)
