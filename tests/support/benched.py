"""Results of a bench that nobody had to wait for."""

from __future__ import annotations

from edge_asd.bench.result import (
    BenchResult,
    Capacity,
    DaemonCost,
    Delivery,
    Energy,
    LoadPoint,
    Quantiles,
    Scale,
    Spread,
    Stages,
    Throughput,
)

DELAYS_S = (0.012, 0.014, 0.090)


def delivery(monitors=1, load=None):
    return Delivery(
        monitors,
        1,
        load,
        Quantiles.of_seconds(DELAYS_S),
        tuple(1e3 * delay for delay in DELAYS_S),
        0.021,
    )


def whole_result(**changes):
    """Everything was measured."""
    points = tuple(
        LoadPoint(n, Quantiles.of_seconds([0.013 * n / 10, 0.02 * n]), n / 75, n < 75, 6.0)
        for n in (18, 37, 70, 76)
    )
    fields = {
        "engine": "onnxruntime",
        "precision": "fp32",
        "threads": 1,
        "reason": "it is the fastest here",
        "bundle": "tiny-1",
        "hop_s": 0.256,
        "machine": {"cpu": "a processor", "cores": 2, "kernel": "6.1", "load_before": 0.7},
        "throughput": Throughput(
            Spread.of([90.0, 100.0, 110.0]),
            Spread.of([80.0, 85.0, 99.0]),
            Spread.of([0.8, 0.85, 0.9]),
            Stages(1.2, 10.0, 0.3, 0.2),
            300,
            4,
            Spread.of([200.0]),
        ),
        "capacity": Capacity(70, 0.256, points),
        "latency": delivery(),
        "scale": Scale(((1, 0.02), (12, 0.2)), 60),
        "loaded": delivery(48, 0.8),
        "cost": DaemonCost(0.018, 30.0, 76.0, 117.0, (1.5, 1.4, 1.9)),
        "energy": Energy("INA3221, rail VDD_IN", 5.1, 7.5, 0.1),
    }
    return BenchResult(**(fields | changes))


def empty_result(reason="mosquitto is missing"):
    """Nothing was."""
    nothing = dict.fromkeys(
        ("throughput", "capacity", "latency", "scale", "loaded", "cost", "energy")
    )
    keys = ("engine_windows_per_s", "monitors_per_core", "latency_ms")
    return whole_result(**nothing, missing=dict.fromkeys(keys, reason))
