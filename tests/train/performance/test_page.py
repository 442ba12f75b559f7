"""The page says what was measured: what was met, what was not and why, and what is missing."""

from __future__ import annotations

import copy
import re

import pytest
from PIL import Image

from benchmarks.performance.figures import Run, number
from benchmarks.performance.page import text_of, write_page
from benchmarks.performance.targets import straight_line, verdicts

PIPELINES = [
    f"pipeline, {engine}, {fft}"
    for engine in ("onnxruntime fp32", "openvino bf16")
    for fft in ("fftw", "scipy")
]
ENGINES = ["engine, onnxruntime fp32", "engine, openvino bf16", "engine, torch fp32"]
MS = {
    "alternative": 28.0,
    **dict(zip(PIPELINES, (8.0, 8.5, 4.0, 4.5), strict=True)),
    **dict(zip(ENGINES, (7.4, 3.5, 24.0), strict=True)),
}


def spread(value):
    return {"median": value, "low": 0.9 * value, "high": 1.1 * value}


def contestant(name):
    stages = {"features": 0.5, "inference": 0.9 * MS[name]} if name.startswith("pipe") else {}
    return {
        "windows_per_s": spread(1e3 / MS[name]),
        "ms": spread(MS[name]),
        "cpu_ms": MS[name],
        "stages_ms": stages,
    }


def bench(**changes):
    lateness = {"count": 90, "p50": 8.0, "p99": 20.0, "worst": 30.0}
    points = [
        {"monitors": n, "busy": 0.01 * n, "lateness_ms": lateness, "sustained": n <= 80}
        for n in (20, 40, 60, 80, 85)
    ]
    latency = {"count": 3, "p50": 9.0, "p99": 12.0, "worst": 12.0}
    delivery = {"monitors": 1, "cpu_share": 0.02, "delays_ms": [8.0, 9.0, 12.0]}
    delivery["latency_ms"] = latency
    details = {
        "capacity": {"monitors": 80, "hop_s": 1.0, "points": points},
        "scale": {"cpu_shares": [[1, 0.015], [12, 0.13]], "monitors": 70},
        "latency": delivery,
        "loaded": delivery | {"monitors": 56, "cpu_share": 0.6},
        "cost": {"cold_start_s": [1.4, 1.5, 1.6]},
    }
    fields = {
        "bundle": "featex-1",
        "hop_s": 1.0,
        "engine": "onnxruntime",
        "precision": "fp32",
        "reason": "as configured",
        "engine_windows_per_s": 130.0,
        "pipeline_windows_per_s": 110.0,
        "pipeline_ratio": 0.85,
        "front_end_share": 0.07,
        "monitors_per_core": 80,
        "daemon_monitors_per_core": 70,
        "latency_ms": {"p50": 9.0, "p99": 12.0},
        "latency_loaded_ms": {"p50": 20.0, "p99": 300.0},
        "cpu_share": 0.015,
        "pss_mb": 120.0,
        "rss_mb": 150.0,
        "cold_start_s": 1.5,
        "not_measured": {"energy": "the board has no meter"},
        "details": details,
    }
    return fields | changes


def figures():
    """A run in which every target is met."""
    ratios = {one: {two: spread(MS[two] / MS[one]) for two in MS} for one in MS}
    aucs = {name: {"fan": 0.9, "pump": 0.8} for name in ("alternative", "openvino bf16")}
    return {
        "prepare": {
            "steps": 40,
            "minutes": 2.5,
            "machines": 7,
            "clips": 100,
            "parameters": 2_552_562,
            "macs": 457_853_696,
            "window_s": 10.0,
        },
        "contest": {
            "rounds": 40,
            "windows": 320,
            "parity": {"tolerance": 0.01, "windows": 40, "largest": {PIPELINES[0]: 6e-5}},
            "absent": {},
            "versions": {"torch": "2.13.0"},
            "contestants": {name: contestant(name) for name in MS},
            "ratios": ratios,
        },
        "roof": {
            "flop_per_s": {"fp32": {"numpy": 1e11, "torch": 2e11}, "bf16": {"torch": 4e11}},
            "peak_flop_per_s": {"fp32": 2e11, "bf16": 4e11},
            "bytes_per_s": 3e10,
            "macs": 457_853_696,
            "bound_ms": {"fp32": 4.6, "bf16": 2.3},
        },
        "steady": {
            "engine": "onnxruntime fp32",
            "fft": "fftw",
            "windows": 6000,
            "at_h": [0.5, 1.0, 1.6],
            "cpu_ms": [8.0, 8.1, 8.0],
            "rss_mb": [110.0, 110.0, 110.0],
            "last_to_first": 1.0,
            "grown_mb": 0.0,
        },
        "bench-featex": bench(),
        "bench-general": bench(bundle="general-2"),
        "accuracy": {"simulated": aucs, "real": {"featex-1": aucs}, "absent": {"featex-1": {}}},
    }


def run_of(measured, **problems):
    parts = {
        name: {"figures": one, "problem": "", "seconds": 60.0, "at": "2026-01-02T03:05:00+00:00"}
        for name, one in measured.items()
    }
    for name, problem in problems.items():
        parts[name] |= {"figures": None, "problem": problem}
    machine = {
        "cpu": "a processor",
        "python": "3.11.2",
        "versions": {"numpy": "2.2.6"},
        "cpu_flags": ["avx512_bf16"],
        "kernel": "6.1",
    }
    begun = "2026-01-02T03:04:05+00:00"
    return {"begun": begun, "commit": "abc1234", "machine": machine, "parts": parts}


ROW = r"^\| (.+) \| (.+) \| (met|\*\*not met\*\*|not measured) \|$"


def rows(text):
    """Verdicts by target, as the table of the page has them."""
    found = re.findall(ROW, text, re.MULTILINE)
    return {target: (measured, verdict) for target, measured, verdict in found}


def test_a_run_that_meets_everything_is_said_to():
    text = text_of(Run(run_of(figures())))
    found = rows(text)
    assert len(found) == len(verdicts(Run(run_of(figures()))))
    assert {verdict for _, verdict in found.values()} == {"met"}
    assert "What was not reached" not in text


WORSE = {
    "0.85 of engine-only": lambda f: slower(f, PIPELINES[1], 9.5),
    "0.90 of engine-only": lambda f: slower(f, PIPELINES[0], 8.6),
    "Front end at most 15 %": lambda f: front_end(f, PIPELINES[1], 1.2),
    "Front end at most 8": lambda f: front_end(f, PIPELINES[0], 0.7),
    "2.8 times": lambda f: slower(f, "alternative", 20.0),
    "6 times": lambda f: [slower(f, name, 5.5) for name in PIPELINES[2:]],
    "simulated machines": lambda f: f["accuracy"]["simulated"]["openvino bf16"].update(fan=0.88),
    "under 2 % of one core": lambda f: f["bench-general"].update(cpu_share=0.03),
    "under 200 MB": lambda f: f["bench-featex"].update(pss_mb=230.0),
    "under 3 s": lambda f: f["bench-featex"].update(cold_start_s=3.5),
    "p99 under 100 ms": lambda f: f["bench-featex"].update(latency_ms={"p50": 9.0, "p99": 120.0}),
    "p99 under 500 ms": lambda f: f["bench-general"].update(
        latency_loaded_ms={"p50": 9.0, "p99": 700.0}
    ),
    "linear in monitors": lambda f: f["bench-featex"]["details"]["capacity"]["points"][1].update(
        busy=0.6
    ),
    "flat in time": lambda f: f["steady"].update(last_to_first=1.2),
}


def slower(measured, name, ms):
    contest = measured["contest"]
    contest["contestants"][name]["ms"] = spread(ms)
    contest["contestants"][name]["windows_per_s"] = spread(1e3 / ms)
    medians = {one: found["ms"]["median"] for one, found in contest["contestants"].items()}
    for one, ratios in contest["ratios"].items():
        for other in ratios:
            ratios[other] = spread(medians[other] / medians[one])


def front_end(measured, name, ms):
    measured["contest"]["contestants"][name]["stages_ms"]["features"] = ms


@pytest.mark.parametrize("target", WORSE)
def test_an_unmet_target_is_said_to_be_unmet_and_why(target):
    measured = copy.deepcopy(figures())
    WORSE[target](measured)
    text = text_of(Run(run_of(measured)))
    unmet = [name for name, (_, verdict) in rows(text).items() if verdict == "**not met**"]
    assert any(target in name for name in unmet)
    reasons = text.split("## What was not reached, and why")[1].split("\n## ")[0]
    assert all(f"*{name}*" in " ".join(reasons.split()) for name in unmet)


@pytest.mark.parametrize("part", figures())
def test_the_page_comes_without_a_part_and_says_so(part):
    text = text_of(Run(run_of(figures(), **{part: "exit code 1: it fell over"})))
    assert f"*{part}* is missing on this page: exit code 1: it fell over." in " ".join(text.split())
    judged = rows(text)
    assert not any(verdict == "**not met**" for _, verdict in judged.values())


def test_without_any_figures_no_target_is_met():
    parts = dict.fromkeys(figures(), "it fell over")
    judged = verdicts(Run(run_of(figures(), **parts)))
    assert {one.met for one in judged} == {None}
    assert all("not measured" in one.measured for one in judged)


def test_a_machine_that_was_busy_is_said_to_have_been():
    found = run_of(figures())
    assert "Something else was running" not in text_of(Run(found))
    found["machine"]["load_before"] = 3.5
    assert "Something else was running" in text_of(Run(found))


def test_an_engine_that_the_machine_does_not_have_is_no_failure():
    measured = figures()
    contest = measured["contest"]
    contest["absent"] = {"openvino bf16": "this processor does not compute in bf16"}
    for name in [name for name in MS if "bf16" in name]:
        del contest["contestants"][name], contest["ratios"][name]
    found = rows(text_of(Run(run_of(measured))))
    ((measured_text, verdict),) = (found[name] for name in found if "6 times" in name)
    assert verdict == "not measured"
    assert "this processor does not compute in bf16" in measured_text


def test_a_target_beyond_the_engine_alone_is_called_out_of_reach():
    measured = figures()
    slower(measured, "alternative", 20.0)  # 3.33 ms at six times, the engine alone takes 3.5
    text = " ".join(text_of(Run(run_of(measured))).split())
    assert "so that nothing around the engine could reach it" in text


def test_every_picture_is_drawn_and_shown(tmp_path):
    page = tmp_path / "performance.md"
    write_page(page, run_of(figures()))
    shown = re.findall(r"!\[.+\]\((.+)\)", page.read_text())
    assert len(shown) == 4
    for name in shown:
        with Image.open(tmp_path / name) as picture:
            assert picture.width >= 1000
            assert len(picture.convert("RGB").getcolors(2**20)) > 50  # not an empty page
    write_page(page, run_of(figures(), steady="it fell over"))
    assert "steady.png" not in page.read_text()
    assert not (tmp_path / "performance" / "steady.png").exists()


def test_a_straight_line_is_found_and_what_lies_off_it():
    slope, offset, apart = straight_line([1, 2, 3, 4], [0.3, 0.5, 0.7, 0.9])
    assert (slope, offset, apart) == pytest.approx((0.2, 0.1, 0.0))
    assert straight_line([1, 2, 3], [0.1, 0.5, 0.3])[2] > 0.1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0000123, "0.0000123"),
        (0.0, "0.00"),
        (9.996, "10.0"),
        (99.96, "100"),
        (123.4, "123"),
        (12345.6, "12 346"),
    ],
)
def test_figures_keep_three_digits_and_no_power_of_ten(value, text):
    assert number(value) == text


def test_a_part_of_another_state_of_the_code_is_named():
    found = run_of(figures())
    assert "Measured again later" not in text_of(Run(found))
    found["parts"]["roof"]["commit"] = "0badc0d"
    text = " ".join(text_of(Run(found)).split())
    assert "Measured again later, with `ONLY=`: roof at 03:05 UTC (commit 0badc0d)." in text
