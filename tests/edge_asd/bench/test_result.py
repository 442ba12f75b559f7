"""What scripts read, what people read, and what is drawn say the same."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.benched import DELAYS_S, empty_result, whole_result

from edge_asd.bench.picture import draw
from edge_asd.bench.result import Quantiles, Spread
from edge_asd.bench.scale import fitting, more_than_one
from edge_asd.bench.text import lines_of

PROMISED = [
    *("engine_windows_per_s", "pipeline_windows_per_s", "pipeline_ratio", "monitors_per_core"),
    *("latency_ms", "cpu_share", "rss_mb", "cold_start_s", "engine", "precision", "machine"),
]


def no_nan(text):
    raise AssertionError(f"{text} is no JSON")


@pytest.mark.parametrize("result", [whole_result(), empty_result()], ids=["whole", "empty"])
def test_json_has_the_promised_keys_first_and_is_strict(result):
    fields = json.loads(json.dumps(result.to_json()), parse_constant=no_nan)
    assert list(fields)[: len(PROMISED)] == PROMISED


def test_the_ratio_is_the_quotient_of_the_two_figures_beside_it():
    fields = whole_result().to_json()
    want = fields["pipeline_windows_per_s"] / fields["engine_windows_per_s"]
    assert fields["pipeline_ratio"] == want
    assert fields["front_end_share"] == 0.12
    assert fields["cold_start_s"] == 1.5
    assert fields["latency_ms"] == {"p50": 14.0, "p99": pytest.approx(88.48)}


def test_the_gpu_is_named_where_one_scores():
    machine = {"board": "Orin", "kernel": "5.15", "gpu": {"gpu": "Ampere", "version": "10.3.0"}}
    assert (
        "Orin, ? of ? cores, Ampere, TensorRT 10.3.0" in lines_of(whole_result(machine=machine))[2]
    )


def test_what_was_not_measured_is_null_and_says_why():
    fields = empty_result().to_json()
    for key in set(PROMISED) - {"engine", "precision", "machine"}:
        assert fields[key] is None, key
    assert fields["not_measured"]["latency_ms"] == "mosquitto is missing"
    text = "\n".join(lines_of(empty_result()))
    assert "latency_ms: mosquitto is missing" in text


def test_people_are_told_every_figure_that_scripts_get():
    text = "\n".join(lines_of(whole_result()))
    for shown in ("100.0", "85.0", "0.850", "12.0 %", "70", "76 monitors", "too many", "1.80 %"):
        assert shown in text, shown
    for shown in ("76 MB", "117 MB", "1.50 s", "14.0, 88.5, 90.0 ms", "60 monitors", "5.10 W"):
        assert shown in text, shown
    assert "busy before (load 0.7)" in text


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=300))
def test_quantiles_lie_in_order_between_the_delays(delays_s):
    found = Quantiles.of_seconds(delays_s)
    assert found.count == len(delays_s)
    assert 1e3 * min(delays_s) <= found.p50 <= found.p99 * (1 + 1e-12)
    assert found.p99 <= found.worst == pytest.approx(1e3 * max(delays_s))
    below = np.mean(1e3 * np.asarray(delays_s) <= found.p99 * (1 + 1e-9) + 1e-9)
    assert below >= 0.99 - 1 / len(delays_s)


@given(st.lists(st.floats(0.01, 1e4), min_size=1))
def test_a_spread_holds_its_median(values):
    found = Spread.of(values)
    assert min(values) * (1 - 1e-9) <= found.low <= found.median * (1 + 1e-9)
    assert found.median <= found.high * (1 + 1e-9) <= max(values) * (1 + 1e-8)


@given(st.floats(0.0, 0.05), st.floats(0.002, 0.1), st.integers(2, 64))
def test_the_monitors_that_fit_are_read_off_the_line_through_two_daemons(alone, each, number):
    fits = fitting((1, alone + each), (number, alone + number * each))
    assert alone + fits * each <= 1.0 + 1e-6 or fits == 1
    assert alone + (fits + 1) * each >= 1.0 - 1e-6


@given(st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.integers(2, 64))
def test_however_busy_the_machine_was_some_monitor_fits(few, more, number):
    assert fitting((1, few), (number, max(more, 1e-6))) >= 1
    assert 4 <= more_than_one(few) <= 64


@pytest.mark.parametrize(
    ("result", "colours"), [(whole_result(), 8), (empty_result("it is so " * 30), 2)]
)
def test_the_picture_shows_something(result, colours):
    with Image.open(io.BytesIO(draw(result))) as image:
        assert image.size == (1200, 760)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) >= colours
    assert 0.001 < (pixels != 255).any(axis=1).mean() < 0.5


def test_the_pictures_delays_are_those_that_were_measured():
    assert whole_result().latency.delays_ms == tuple(1e3 * delay for delay in DELAYS_S)
