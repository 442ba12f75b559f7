"""What is shown of a monitor can be forgotten, and nothing else goes with it."""

from __future__ import annotations

from prometheus_client import generate_latest

from edge_asd.metrics.metrics import Metrics
from edge_asd.metrics.registry import Registry
from edge_asd.metrics.reload import ReloadMetrics


def test_every_series_of_a_monitor_goes_and_no_other():
    registry = Registry()
    metrics = Metrics(registry, version="1")
    metrics.init_monitor("fan", queue_capacity=3)
    before = sorted(generate_latest(registry).decode().splitlines())
    metrics.init_monitor("pump", queue_capacity=3)
    metrics.scored("pump", 3.0)
    assert 'monitor="pump"' in generate_latest(registry).decode()
    registry.forget_monitor("pump")
    after = sorted(generate_latest(registry).decode().splitlines())
    moving = ("process_", "python_gc")
    assert [line for line in after if not line.startswith(moving)] == [
        line for line in before if not line.startswith(moving)
    ]
    registry.forget_monitor("nobody")
    metrics.init_monitor("pump", queue_capacity=3)
    labels = {"monitor": "pump", "result": "scored"}
    assert registry.get_sample_value("edge_asd_windows_total", labels) == 0


def test_a_refused_reload_is_shown_until_one_succeeds():
    registry = Registry()
    metrics = ReloadMetrics(registry, started_at=100.0)

    def shown():
        names = ("last_reload_successful", "last_reload_success_timestamp_seconds")
        return [registry.get_sample_value(f"edge_asd_config_{name}") for name in names]

    assert shown() == [1, 100]
    metrics.refused()
    assert shown() == [0, 100]
    metrics.took(changed=False, at=200.0)
    assert shown() == [1, 200]
    for result in ("applied", "unchanged", "refused"):
        found = registry.get_sample_value("edge_asd_config_reloads_total", {"result": result})
        assert found == (result != "applied")
