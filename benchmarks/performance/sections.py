"""Sections of the page that show one part of the run each; nothing where it is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.performance.figures import ALTERNATIVE, Run, number, percent, spread
from benchmarks.performance.markdown import item, paragraph, picture, table

_ALTERNATIVE = (
    "`benchmarks/alternative.py` is what an engineer would write first, and well: a loop keeps the"
    " last window of sound, recomputes all its features with every hop (`np.fft.rfft` of the"
    " window, the framed short-time transform, `np.abs`, mel bands as a matrix product of that same"
    " transform), calls the trained network in torch eagerly (inference mode, no gradients, one"
    " thread) and measures the distances to the references with NumPy. *channels last* is the same"
    " for somebody who knows which order of memory torch's convolutions like. Both sides learned"
    " the same references, keep to the same core, hear the same sound and take turns of some"
    " windows, in an order drawn anew for every round; ratios are taken within rounds. The pipeline"
    " does more meanwhile: it hears whether the machine runs, decides, and explains itself."
)

_STAGES = (
    "Features are the spectrum of the whole window, the frames of the spectrogram that are new, and"
    " the log-mel statistics that one of the scorers reads. All else is cutting windows, hearing"
    " whether the machine runs, scoring by three scorers, and deciding."
)

_DAEMON = (
    "The real daemon in a process of its own, a real mosquitto beside it, sound from files in real"
    " time. A number of monitors is sustained when the 99th percentile of their lateness stays"
    " under half a hop; *pipelines alone* are those of one thread in real time, to which the whole"
    " daemon adds capture, books, HTTP and MQTT. *PSS* counts what processes share once."
)

_Words = Callable[[Any], str]


def contest(run: Run, pictures: Sequence[str]) -> list[str]:
    """Everybody's windows a second."""
    found = run.part("contest")
    if found is None:
        return []
    rows = []
    for name, one in found["contestants"].items():
        ratio = run.ratio(name, ALTERNATIVE)
        figures = (one["ms"]["median"], one["cpu_ms"])
        times = "1" if ratio is None else spread(ratio)
        rows.append((name, spread(one["windows_per_s"]), *map(number, figures), times))
    columns = ("on one core", "windows/s", "ms a window", "processor, ms", "times the alternative")
    told = [_parity(found)]
    if "alternative, librosa" not in found["contestants"]:
        told.append("librosa was not installed; where it is, it takes part as well.")
    told += [f"`{name}` took no part: {why}." for name, why in found["absent"].items()]
    shown = picture(pictures, "contest", "Windows a second: alternative, pipeline, engines alone")
    return [paragraph(_ALTERNATIVE), table(columns, rows), *map(paragraph, told), *shown]


def _parity(found: Mapping[str, Any]) -> str:
    parity = found["parity"]
    apart = {True: [0.0], False: []}
    for name, value in parity["largest"].items():
        apart["bf16" not in name].append(value)
    loose = f", those in bf16 by {max(apart[False]):.1e}" if apart[False] else ""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{versions}; {found['rounds']} rounds, {found['windows']} windows each. Before them all"
        f" scored the same {parity['windows']} windows: scores in fp32 differ from those of the"
        f" alternative by at most {max(apart[True]):.1e}{loose} (1 is the standard deviation of"
        f" normal scores; more than {parity['tolerance']:g} in fp32 would have ended the run)."
    )


def stages(run: Run) -> list[str]:
    """What a window consists of, and what the core could do."""
    found, roof = run.part("contest"), run.part("roof")
    parts = []
    if found is not None:
        pipelines = {n: one for n, one in found["contestants"].items() if one["stages_ms"]}
        columns = ("pipeline", "features, ms", "inference, ms", "all else, ms", "window, ms")
        rows = [_stages_row(run, name, one) for name, one in pipelines.items()]
        parts += [paragraph(_STAGES), table((*columns, "of engine-only windows/s"), rows)]
    if roof is not None:
        parts.append(paragraph(_roof(run, roof)))
    return parts


def _stages_row(run: Run, name: str, one: Mapping[str, Any]) -> Sequence[str]:
    _, engine, fft = name.split(", ")
    features, inference = one["stages_ms"]["features"], one["stages_ms"]["inference"]
    whole = one["ms"]["median"]
    ratio = run.ratio(name, f"engine, {engine}")
    values = (features, inference, whole - features - inference, whole)
    return (f"{engine}, {fft}", *map(number, values), spread(ratio) if ratio else "")


def _roof(run: Run, roof: Mapping[str, Any]) -> str:
    rates = "; ".join(
        f"{precision}: " + ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in found.items())
        for precision, found in roof["flop_per_s"].items()
    )
    bounds = []
    for precision, bound in roof["bound_ms"].items():
        engine = run.fastest("engine", precision)
        reached = ""
        if engine is not None:
            took = run.contestant(engine)["ms"]["median"]
            name = engine.removeprefix("engine, ")
            reached = f" ({name} takes {number(took)} ms, {percent(bound / took, 2)} of the peak)"
        bounds.append(f"{number(bound)} ms in {precision}{reached}")
    return (
        "The roof: GFLOP/s of large matrix products on one core, by who multiplies, "
        f"{rates}; a copy moves {roof['bytes_per_s'] / 1e9:.0f} GB/s. The"
        f" {roof['macs'] / 1e6:.0f} M multiply-accumulates of a window are two operations each, so"
        f" that a window takes at least {', '.join(bounds)}. Convolutions over few channels and"
        " narrow maps do not reach the rate of square products."
    )


def daemon(run: Run, pictures: Sequence[str]) -> list[str]:
    """What ``edge-asd bench`` gave."""
    benches = run.benches()
    if not benches:
        return []
    rows: list[tuple[str, str, _Words]] = [
        ("engine alone, windows/s", "engine_windows_per_s", number),
        ("whole pipeline, windows/s", "pipeline_windows_per_s", number),
        ("ratio", "pipeline_ratio", number),
        ("front end, of the engine's time", "front_end_share", percent),
        ("monitors that one core sustains, pipelines alone", "monitors_per_core", str),
        ("… as a whole daemon", "daemon_monitors_per_core", str),
        ("last sample to PUBACK, one monitor, p50 / p99, ms", "latency_ms", _p50_p99),
        ("… at 80 % of the daemon's capacity, p50 / p99, ms", "latency_loaded_ms", _p50_p99),
        ("one monitor, share of one core", "cpu_share", percent),
        ("memory, PSS, MB", "pss_mb", number),
        ("memory, RSS, MB", "rss_mb", number),
        ("cold start to READY, s", "cold_start_s", number),
        ("why this engine", "reason", str),
    ]
    cells = [
        (title, *(_cell(one, key, words) for one in benches.values())) for title, key, words in rows
    ]
    whys = [
        item(f"{name}, `{key}`: {why}.")
        for name, bench in benches.items()
        for key, why in bench.get("not_measured", {}).items()
    ]
    parts = [paragraph(_DAEMON), table(("`edge-asd bench`", *benches), cells)]
    parts += ["Not measured:", "\n".join(whys)] if whys else []
    parts += picture(pictures, "monitors", "Share of a core, and lateness, by number of monitors")
    return parts + picture(pictures, "latency", "How many events took longer than so long")


def _cell(bench: Mapping[str, Any], key: str, words: _Words) -> str:
    value = bench.get(key)
    return "" if value is None else words(value)


def _p50_p99(value: Mapping[str, float]) -> str:
    return f"{number(value['p50'])} / {number(value['p99'])}"


def steady(run: Run, pictures: Sequence[str]) -> list[str]:
    """Hours of sound."""
    found = run.part("steady")
    if found is None:
        return []
    hours = number(found["at_h"][-1], 2)
    text = (
        f"One monitor's pipeline on {hours} h of sound, as fast as it goes ({found['windows']}"
        f" windows, {found['engine']}, {found['fft']}): a window of the last quarter costs"
        f" {number(found['last_to_first'])} times one of the first, and memory grew by"
        f" {found['grown_mb']:.1f} MB. The whole daemon over a million windows is `make soak`"
        " ([reliability.md](reliability.md))."
    )
    return [paragraph(text), *picture(pictures, "steady", "Cost of a window over hours of sound")]


def accuracy(run: Run) -> list[str]:
    """AUC by machine and engine."""
    found = run.part("accuracy")
    if found is None:
        return []
    told = (
        "AUC of the same network on every engine, each with the references that it learned itself,"
        " on the same clips. Differences between engines matter here, not how good a briefly"
        " trained network is; [results.md](results.md) has that of the bundle that ships."
    )
    parts = [paragraph(told), _aucs("simulated machines", found["simulated"])]
    for label, engines in found["real"].items():
        parts.append(_aucs(f"real machines, {label}", engines))
    if found.get("no_recordings"):
        parts.append(paragraph(f"Real machines: not measured, {found['no_recordings']}."))
    return parts + [
        paragraph(f"{label} on {name}: {why}.")
        for label, absent in found["absent"].items()
        for name, why in absent.items()
    ]


def _aucs(title: str, engines: Mapping[str, Mapping[str, float]]) -> str:
    machines = next(iter(engines.values()))
    rows = [(name, *(f"{one[name]:.4f}" for one in engines.values())) for name in machines]
    rows.append(("mean", *(f"{np.mean(list(one.values())):.4f}" for one in engines.values())))
    return table((title, *engines), rows)
