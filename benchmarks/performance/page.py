"""``docs/performance.md`` from the figures of a run: words stand here, numbers never."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.performance import sections
from benchmarks.performance.figures import Run
from benchmarks.performance.markdown import item, paragraph, table
from benchmarks.performance.targets import Verdict, verdicts
from edge_asd.bench.machine import summary

_QUIET = 0.5
"""Load of the last minute up to which a machine counts as idle."""

NOT_MEASURED = [
    paragraph(
        "TensorRT, the Jetson boards and every other accelerator: there was none, and no figure of"
        " theirs is claimed. Whoever has one measures all figures of the daemon on this page with"
        " one command. It builds the plan first, holds it against the golden vectors, and leaves"
        " nothing behind:"
    ),
    """\
```
edge-asd bench --json > bench.json                             # the bundle that ships
edge-asd bench --bundle FILE.asd --engine tensorrt --json      # another one, TensorRT asked for
```""",
    paragraph(
        "Energy is part of that where the board has a meter. Microphones are no part of this page:"
        " sound came from files in real time; [results.md](results.md) has live microphones."
    ),
]

COMMANDS = """\
```
make bench RECORDINGS=DIR        # DIR holds mimii_ch0/ and drone_prop/; without it: simulated machines alone
make bench ONLY=contest,roof     # these parts once more, the others as they are
make bench PAGE_ONLY=1           # the page once more
```"""  # noqa: E501 - lines of the page


def write_page(path: Path, found: Mapping[str, Any]) -> None:
    """Write the page and its pictures.

    Args:
        path: Of the page; pictures lie in a folder of its name.
        found: As ``performance.json`` has it.
    """
    from benchmarks.performance.pictures import draw  # noqa: PLC0415 - the text alone is quick

    run = Run(found)
    pictures = draw(path.with_suffix(""), run)
    path.write_text(text_of(run, pictures), encoding="utf-8")


def text_of(run: Run, pictures: Sequence[str] = ()) -> str:
    """The page.

    Args:
        run: What was measured.
        pictures: Those that were drawn, by name.
    """
    judged = verdicts(run)
    parts = [
        ("# Performance", _head(run)),
        ("## Targets", _targets(judged)),
        ("## What was not reached, and why", _disappointments(run, judged)),
        ("## Against the obvious alternative", sections.contest(run, pictures)),
        ("## Where the time of a window goes", sections.stages(run)),
        ("## The daemon", sections.daemon(run, pictures)),
        ("## Flat in time", sections.steady(run, pictures)),
        ("## The same decisions", sections.accuracy(run)),
        ("## What is not measured", NOT_MEASURED),
        ("## Measuring again", _again(run)),
    ]
    return "\n\n".join("\n\n".join([title, *texts]) for title, texts in parts if texts) + "\n"


def _head(run: Run) -> list[str]:
    found, machine = run.found, run.found["machine"]
    begun = datetime.fromisoformat(found["begun"])
    minutes = sum(part["seconds"] for part in found["parts"].values()) / 60
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    flags = ", ".join(machine.get("cpu_flags", []))
    wrote = (
        f"`make bench` wrote this page from one run, which began on {begun:%d %B %Y} at"
        f" {begun:%H:%M} UTC and took {minutes:.0f} minutes (commit {found['commit']}). The words"
        " are a template; every number is of that run."
    )
    where = (
        f"Machine: {summary(machine)}; {flags}. Python {machine['python']}, {versions}. Load of the"
        f" last minute before it began: {machine.get('load_before', 'unknown')}."
    )
    texts = [wrote, where, _material(run.part("prepare"))]
    if machine.get("load_before", 0.0) > _QUIET:
        texts.append(
            "**Something else was running when the run began**: rates are lower and delays longer"
            " than the machine's own; ratios within the run suffer less."
        )
    texts.append(_measured_again(found))
    return [paragraph(text) for text in texts if text]


def _material(material: Mapping[str, Any] | None) -> str:
    if material is None:
        return ""
    parameters = f"{material['parameters']:,}".replace(",", " ")
    return (
        "The network under test is FeatEx as published (recipe `published`, windows of"
        f" {material['window_s']:g} s, {parameters} parameters, {material['macs'] / 1e6:.0f} M"
        f" multiply-accumulates a window), trained for {material['minutes']:.1f} minutes"
        f" ({material['steps']} steps) on {material['machines']} simulated machines of"
        f" {material['clips']} clips each. That is brief: accuracy would gain by more, speed does"
        " not depend on the weights. The daemon is measured with the bundle that ships, too."
    )


def _measured_again(found: Mapping[str, Any]) -> str:
    """Which parts are of another state of the code, by `ONLY`."""
    again = [
        f"{name} at {datetime.fromisoformat(part['at']):%H:%M} UTC (commit {part['commit']})"
        for name, part in found["parts"].items()
        if part.get("commit", found["commit"]) != found["commit"]
    ]
    return f"Measured again later, with `ONLY=`: {', '.join(again)}." if again else ""


def _targets(judged: Sequence[Verdict]) -> list[str]:
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = [(one.target, one.measured, words[one.met]) for one in judged]
    told = "Medians of the turns of one run; in parentheses the 10th to 90th percentile."
    return [table(("target", "measured", ""), rows), told]


def _disappointments(run: Run, judged: Sequence[Verdict]) -> list[str]:
    points = [f"*{one.target}*: {one.measured}. {one.why}" for one in judged if one.met is False]
    points += [f"*{name}* is missing on this page: {why}." for name, why in run.missing().items()]
    return ["\n".join(item(point.strip()) for point in points)] if points else []


def _again(run: Run) -> list[str]:
    took = [f"{name} {part['seconds']:.0f} s" for name, part in run.found["parts"].items()]
    told = (
        "Network and data are made once and kept in `runs/bench`. What is interrupted goes on with"
        " the next call; a part that fails leaves the others, and its log lies in"
        f" `runs/bench/parts`. This run: {', '.join(took)}."
    )
    return [COMMANDS, paragraph(told)]
