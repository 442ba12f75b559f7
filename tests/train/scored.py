"""Scored test clips of invented machines."""

from __future__ import annotations

import numpy as np

from edge_asd_train.evaluate.sections import SectionScores


def section(machine="fan", number="00", *, clips=80, seed=0, decided=True):
    """Clips of both domains and labels in equal number; anomalies score one deviation higher."""
    rng = np.random.default_rng(seed)
    index = np.arange(clips)
    anomalous, domains = index % 2 == 1, index // 2 % 2
    scores = rng.normal(size=clips) + anomalous + 0.5 * domains
    return SectionScores(
        machine,
        number,
        tuple(f"section_{number}_{clip:04d}.wav" for clip in index),
        scores,
        anomalous,
        domains,
        scores > 0.8 if decided else None,
    )


def sections(machines=("fan", "pump"), numbers=("00", "01"), *, seed=0, **options):
    """Every section of some machines; another seed gives other scores of the same clips."""
    return [
        section(machine, number, seed=100 * seed + 10 * place + int(number), **options)
        for place, machine in enumerate(machines)
        for number in numbers
    ]


def write_truth(folder, given, *, name="{}_section_{}_test"):
    """The official folders of labels and domains; returns both."""
    labels, domains = folder / "ground_truth_data", folder / "ground_truth_domain"
    for target, of in ((labels, "anomalous"), (domains, "domains")):
        target.mkdir(parents=True, exist_ok=True)
        for one in given:
            rows = zip(one.names, getattr(one, of), strict=True)
            text = "".join(f"{clip},{int(value)}\n" for clip, value in rows)
            (target / f"ground_truth_{name.format(one.machine, one.section)}.csv").write_text(text)
    return labels, domains
