"""Metrics of how well a monitor hears: microphone, coverage, overload, evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from edge_asd.capture.status import CaptureStatus
from edge_asd.ledger import Account
from edge_asd.signal_health import Flaw

MICROPHONE_FAULTS = ("no_audio", *(flaw.value for flaw in Flaw))
EVIDENCE_RESULTS = ("kept", "refused", "dropped")


class HearingMetrics:
    """Safe to use from every thread.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        m = "monitor"
        self._fault = self._gauge("microphone_fault", "1 while it has this fault.", m, "fault")
        self._flaws = Counter(
            "edge_asd_signal_flawed_seconds_total",
            "Audio that no microphone that works gives.",
            ("monitor", "flaw"),
            registry=registry,
        )
        self._clipped = self._gauge("audio_clipped_ratio", "Share of clipped samples.", m)
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
        self._evidence = Counter(
            "edge_asd_evidence_total",
            "Evidence by what became of it.",
            ("result",),
            registry=registry,
        )
        self._evidence_bytes = self._gauge("evidence_bytes", "Disk space that evidence takes.")
        self._evidence_quota = self._gauge("evidence_quota_bytes", "Disk space that it may take.")
        self._stretch.set(1)
        for result in EVIDENCE_RESULTS:
            self._evidence.labels(result)

    def init_monitor(self, monitor: str) -> None:
        """Export every series of a monitor as zero."""
        for fault in MICROPHONE_FAULTS:
            self._fault.labels(monitor, fault)
        for flaw in Flaw:
            self._flaws.labels(monitor, flaw.value)
        for account in Account:
            self._ledger.labels(monitor, account.value)
        for metric in (self._clipped, self._dc, self._surplus):
            metric.labels(monitor)
        self._drift.labels(monitor).set(math.nan)

    def set_fault(self, monitor: str, fault: str) -> None:
        """What is wrong with the microphone; empty for nothing."""
        for each in MICROPHONE_FAULTS:
            self._fault.labels(monitor, each).set(each == fault)

    def block(self, monitor: str, *, clipped_ratio: float, dc: float) -> None:
        """Signal facts of a block."""
        self._clipped.labels(monitor).set(clipped_ratio)
        self._dc.labels(monitor).set(dc)

    def flawed(self, monitor: str, flaw: Flaw, seconds: float) -> None:
        """Count audio that is not what a microphone gives."""
        self._flaws.labels(monitor, flaw.value).inc(seconds)

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

    def set_evidence_usage(self, used_bytes: int, quota_bytes: int) -> None:
        """Disk space of evidence."""
        self._evidence_bytes.set(used_bytes)
        self._evidence_quota.set(quota_bytes)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"edge_asd_{name}", text, labels, registry=self._registry)
