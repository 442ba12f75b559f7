"""The targets, whether a run met them, and what stood in the way where it did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.performance.figures import ALTERNATIVE, PLAIN_ENGINE, Run, number, percent, spread

FEW_POINTS = 0.5
"""AUC may differ by less than so many hundredths."""
FLAT = 0.05
"""Windows at the end of hours may cost so much more than those at the beginning."""
LINEAR = 0.05
"""The cost of a number of monitors may lie so far from a straight line, of one core."""


@dataclass(frozen=True)
class Verdict:
    """A target and what became of it."""

    target: str
    measured: str
    met: bool | None
    """None where it was not measured."""
    why: str = ""
    """What stood in the way of a target that was not met."""


def verdicts(run: Run) -> list[Verdict]:
    """Of all targets, in the order of the table."""
    return [
        *_ratios_to_engine(run),
        *_front_ends(run),
        _against_alternative(run, "fp32", 2.8),
        _against_alternative(run, "bf16", 6.0),
        *_accuracies(run),
        _cost(run, "One monitor at a 1 s hop: under 2 % of one core", "cpu_share", 0.02, percent),
        _cost(run, "The whole daemon, children included (PSS): under 200 MB", "pss_mb", 200, _mb),
        _cost(run, "Cold start to READY with a warm cache: under 3 s", "cold_start_s", 3.0, _s),
        _cost(run, "Last sample to PUBACK, one monitor: p99 under 100 ms", "latency_ms", 100, _ms),
        _cost(
            run,
            "Last sample to PUBACK at 80 % of capacity: p99 under 500 ms",
            "latency_loaded_ms",
            500,
            _ms,
        ),
        _linear(run),
        _flat(run),
    ]


def _absent(target: str, part: str, run: Run) -> Verdict:
    reason = run.missing().get(part, "") or "it took no part in this run"
    return Verdict(target, f"not measured: {reason}", None)


def _ratios_to_engine(run: Run) -> Iterator[Verdict]:
    for fft, limit in (("scipy", 0.85), ("fftw", 0.90)):
        target = f"Whole pipeline at least {limit:.2f} of engine-only windows/s (fp32, {fft})"
        name = f"pipeline, onnxruntime fp32, {fft}"
        ratio = run.ratio(name, PLAIN_ENGINE)
        if ratio is None:
            yield _absent(target, "contest", run)
            continue
        met = ratio["median"] >= limit
        yield Verdict(target, spread(ratio), met, _around(run, name, limit))


def _front_ends(run: Run) -> Iterator[Verdict]:
    for fft, limit in (("scipy", 0.15), ("fftw", 0.08)):
        target = f"Front end at most {percent(limit, 2)} of the engine's time (fp32, {fft})"
        name = f"pipeline, onnxruntime fp32, {fft}"
        pipeline, engine = run.contestant(name), run.contestant(PLAIN_ENGINE)
        if pipeline is None or engine is None:
            yield _absent(target, "contest", run)
            continue
        # Features are too short to be interrupted; the engine is not, where other work goes on.
        features_ms, engine_ms = pipeline["stages_ms"]["features"], engine["cpu_ms"]
        share = features_ms / engine_ms
        why = (
            f"Features take {number(features_ms)} ms, and {percent(limit, 2)} of the engine's time"
            f" are {number(limit * engine_ms)} ms."
        )
        yield Verdict(target, percent(share), share <= limit, why)


def _around(run: Run, name: str, limit: float) -> str:
    """What stands around the engine in a window, against what may."""
    whole, stages = run.contestant(name)["ms"]["median"], run.contestant(name)["stages_ms"]
    engine = run.contestant(PLAIN_ENGINE)["ms"]["median"]
    rest = whole - stages["features"] - stages["inference"]
    text = (
        f"The engine alone takes {number(engine)} ms, so that {number(engine / limit - engine)} ms"
        f" may stand around it; features take {number(stages['features'])} ms, and cutting windows,"
        " hearing whether the machine runs, scoring and deciding"
        f" {number(rest)} ms, beside {number(stages['inference'])} ms of inference"
    )
    roof = run.part("roof")
    if roof is None:
        return f"{text}."
    used = percent(roof["bound_ms"]["fp32"] / engine, 2)
    return (
        f"{text}. The faster the engine, the harder this is: it reaches {used} of the core's peak."
    )


def _against_alternative(run: Run, precision: str, limit: float) -> Verdict:
    target = f"At least {limit:g} times the obvious alternative's windows/s ({precision})"
    name = run.fastest("pipeline", precision)
    ratio = None if name is None else run.ratio(name, ALTERNATIVE)
    if name is None or ratio is None:
        absent = (run.part("contest") or {}).get("absent", {}).get(f"openvino {precision}")
        if absent:
            return Verdict(target, f"not measured: {absent}", None)
        return _absent(target, "contest", run)
    measured = f"{spread(ratio)} ({name.removeprefix('pipeline, ')})"
    return Verdict(target, measured, ratio["median"] >= limit, _budget(run, name, precision, limit))


def _budget(run: Run, name: str, precision: str, limit: float) -> str:
    """What the target leaves for a window, against what the engine and the core can do."""
    alternative = run.contestant(ALTERNATIVE)["ms"]["median"]
    whole = run.contestant(name)["ms"]["median"]
    engine = run.contestant(run.fastest("engine", precision) or "")["ms"]["median"]
    network = run.contestant("engine, torch fp32")
    parts = f", {number(network['ms']['median'])} ms of them in the network" if network else ""
    text = (
        f"The alternative takes {number(alternative)} ms a window{parts}, so that {limit:g} times"
        f" as many windows leave {number(alternative / limit)} ms for one; the pipeline takes"
        f" {number(whole)} ms and the engine alone {number(engine)} ms"
    )
    if engine >= alternative / limit:
        text += ", so that nothing around the engine could reach it"
    roof = run.part("roof")
    if roof is None:
        return f"{text}."
    bound = roof["bound_ms"][precision]
    text += (
        f". The {roof['macs'] / 1e6:.0f} M multiply-accumulates of a window need at least"
        f" {number(bound)} ms at the core's measured peak of {_gflops(roof, precision)}; the engine"
        f" reaches {percent(bound / engine, 2)} of it."
    )
    if precision == "bf16" and "amx_bf16" not in run.found["machine"].get("cpu_flags", []):
        gain = roof["peak_flop_per_s"]["bf16"] / roof["peak_flop_per_s"]["fp32"]
        text += (
            " This processor has no matrix unit for bf16 (amx_bf16): it multiplies"
            f" {number(gain, 2)} times as fast as in fp32, where one with it gains more."
        )
    return text


def _gflops(roof: Any, precision: str) -> str:
    return f"{roof['peak_flop_per_s'][precision] / 1e9:.0f} GFLOP/s in {precision}"


def _accuracies(run: Run) -> Iterator[Verdict]:
    target = f"AUC as that of the alternative to under {FEW_POINTS:g} points, mean of the machines"
    accuracy = run.part("accuracy")
    sets = {"simulated machines": (accuracy or {}).get("simulated")}
    real = (accuracy or {}).get("real") or {}
    sets["real machines"] = next((one for one in real.values() if ALTERNATIVE in one), None)
    for name, engines in sets.items():
        titled = f"{target}: {name}"
        if not engines:
            reason = (accuracy or {}).get("no_recordings")
            told = Verdict(titled, f"not measured: {reason}", None)
            yield told if reason else _absent(titled, "accuracy", run)
            continue
        means = {
            engine: 100 * float(np.mean(list(one.values()))) for engine, one in engines.items()
        }
        expected = means.pop(ALTERNATIVE)
        worst = max(means, key=lambda engine: abs(means[engine] - expected))
        apart = abs(means[worst] - expected)
        single = max(
            100 * abs(one[machine] - engines[ALTERNATIVE][machine])
            for one in engines.values()
            for machine in one
        )
        measured = (
            f"at most {number(apart, 2)} ({worst}); a single machine at most {number(single, 2)}"
        )
        why = f"{worst} has {means[worst]:.2f}, the alternative {expected:.2f}."
        yield Verdict(titled, measured, apart < FEW_POINTS, why)


def _cost(run: Run, target: str, key: str, limit: float, words: Callable[[float], str]) -> Verdict:
    """A figure of ``edge-asd bench`` that must stay under a limit, with every bundle and engine."""
    found, unknown = {}, []
    for name, bench in run.benches().items():
        value = bench.get(key)
        if value is None:
            unknown.append(f"{name}: {bench.get('not_measured', {}).get(key, 'not measured')}")
        else:
            found[name] = value["p99"] if isinstance(value, dict) else value
    if not found:
        reasons = unknown or [why for name, why in run.missing().items() if "bench" in name]
        return Verdict(target, f"not measured: {'; '.join(reasons) or 'no bench ran'}", None)
    measured = "; ".join(f"{words(value)} ({name})" for name, value in found.items())
    above = [name for name, value in found.items() if value >= limit]
    why = " ".join(f"{name}: {_EXPLAINED[key](run.benches()[name])}." for name in above)
    return Verdict(target, measured, not above, why)


def _scoring(bench: Any) -> str:
    rate = bench.get("pipeline_windows_per_s")
    if not rate:
        return "what scoring takes was not measured"
    share = 1.0 / rate / bench["hop_s"]
    return (
        f"scoring takes {percent(share)} where windows follow each other; once a second it finds"
        " the caches cold, and the daemon is around it"
    )


def _starts(bench: Any) -> str:
    starts = bench["details"]["cost"]["cold_start_s"]
    return f"the starts took {', '.join(map(_s, starts))}"


def _delays(kind: str) -> Callable[[Any], str]:
    def told(bench: Any) -> str:
        delivery = bench["details"][kind]
        latency = delivery["latency_ms"]
        monitors = delivery["monitors"]
        return (
            f"{latency['count']} events of {monitors} monitor{'s' * (monitors > 1)}, half of them"
            f" within {_ms(latency['p50'])}, at {percent(delivery['cpu_share'])} of a core"
        )

    return told


_EXPLAINED: dict[str, Callable[[Any], str]] = {
    "cpu_share": _scoring,
    "pss_mb": lambda bench: f"{_mb(bench['rss_mb'])} are resident",
    "cold_start_s": _starts,
    "latency_ms": _delays("latency"),
    "latency_loaded_ms": _delays("loaded"),
}
"""What is said of a figure that lies above its limit."""


def straight_line(monitors: list[int], busy: list[float]) -> tuple[float, float, float]:
    """Cost of a monitor, cost without any, and the largest distance from that line.

    >>> straight_line([1, 2, 3], [0.25, 0.5, 0.75])[0]
    0.25
    """
    slope, offset = np.polyfit(monitors, busy, 1)
    apart = np.abs(np.polyval((slope, offset), monitors) - busy)
    return round(float(slope), 12), float(offset), float(apart.max())


def _linear(run: Run) -> Verdict:
    target = f"Cost linear in monitors up to capacity (within {percent(LINEAR, 1)} of a core)"
    found, why, met = [], [], True
    for name, bench in run.benches().items():
        capacity = (bench.get("details") or {}).get("capacity")
        if capacity is None:
            continue
        points = [one for one in capacity["points"] if one["sustained"]]
        if len(points) < 3:
            continue
        slope, _, apart = straight_line(
            [one["monitors"] for one in points], [one["busy"] for one in points]
        )
        met = met and apart <= LINEAR
        if apart > LINEAR:
            why.append(_bent(name, points[0], points[-1]))
        found.append(f"{percent(slope)} a monitor, off by at most {percent(apart, 2)} ({name})")
    if not found:
        return _absent(target, "bench-featex", run)
    return Verdict(target, "; ".join(found), met, " ".join(why))


def _bent(name: str, least: dict[str, Any], most: dict[str, Any]) -> str:
    """Which way the points leave the line."""
    one, other = (point["busy"] / point["monitors"] for point in (least, most))
    way = "more slowly" if other < one else "faster"
    return (
        f"{name}: a monitor takes {percent(one, 2)} of the core among {least['monitors']} and"
        f" {percent(other, 2)} among {most['monitors']}: cost grows {way} than their number."
    )


def _flat(run: Run) -> Verdict:
    target = f"Cost flat in time (last quarter at most {percent(FLAT, 1)} above the first)"
    steady = run.part("steady")
    if steady is None:
        return _absent(target, "steady", run)
    change = steady["last_to_first"] - 1.0
    measured = (
        f"{100 * change:+.1f} % over {number(steady['at_h'][-1], 2)} h of sound"
        f" ({steady['windows']} windows), memory {steady['grown_mb']:+.1f} MB"
    )
    return Verdict(target, measured, change <= FLAT, "See the picture; other work shows here, too.")


def _mb(value: float) -> str:
    return f"{value:.0f} MB"


def _s(value: float) -> str:
    return f"{number(value)} s"


def _ms(value: float) -> str:
    return f"{number(value)} ms"
