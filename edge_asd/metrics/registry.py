"""A registry that can forget what it shows of one monitor."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

_OF_HISTOGRAMS = "le"


class Registry(CollectorRegistry):
    """Keeps hold of every metric with a label ``monitor``; safe to use from every thread."""

    def __init__(self) -> None:
        super().__init__()
        self._labelled: list[Counter | Gauge | Histogram] = []

    def register(self, collector: Collector) -> None:
        """Show a metric from now on."""
        super().register(collector)
        if isinstance(collector, Counter | Gauge | Histogram):
            self._labelled.append(collector)

    def forget_monitor(self, monitor: str) -> None:
        """Remove every series of a monitor, as when the operator has removed it."""
        for metric in self._labelled:
            for values in _series_of(metric, monitor):
                metric.remove(*values)


def _series_of(metric: Counter | Gauge | Histogram, monitor: str) -> set[tuple[str, ...]]:
    """The values of the labels, in their order, of every series that names the monitor."""
    return {
        tuple(value for name, value in sample.labels.items() if name != _OF_HISTOGRAMS)
        for family in metric.collect()
        for sample in family.samples
        if sample.labels.get("monitor") == monitor
    }
