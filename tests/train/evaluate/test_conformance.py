"""Official results and published figures come out again; skipped where they are absent."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from support.processes import ROOT

from edge_asd_train.evaluate.official_csv import evaluate_csv
from edge_asd_train.evaluate.official_result import write_result
from edge_asd_train.evaluate.rules import RULES, Evaluation, SectionResult

CONFORMANCE = ROOT.parent / "shared" / "data" / "conformance"
OFFICIAL = CONFORMANCE / "official2022"
PUBLISHED = CONFORMANCE / "published" / "dcase2023_baseline.csv"
VARIANTS = ("cont", "ties", "neg", "const", "perfect", "reversed")
COLUMNS = {
    "AUC (source)": "auc_source",
    "AUC (target)": "auc_target",
    "pAUC (source, target)": "pauc",
}


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def evaluation(variant, **options):
    if not OFFICIAL.is_dir():
        pytest.skip("the conformance data of 2022 are not there")
    return evaluate_csv(
        OFFICIAL / "teams" / "synthetic" / variant,
        OFFICIAL / "ground_truth_data",
        OFFICIAL / "ground_truth_domain",
        2022,
        **options,
    )


def alike(row, other):
    """Whether two rows say the same, numbers to within 1e-12."""
    return len(row) == len(other) and all(map(alike_cells, row, other))


def alike_cells(cell, other):
    try:
        return abs(float(cell) - float(other)) <= 1e-12
    except ValueError:
        return cell == other


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_cell_of_the_official_tool_is_reproduced(variant, tmp_path):
    write_result(tmp_path / "result.csv", evaluation(variant, compat=True))
    got = table(tmp_path / "result.csv")
    expected = table(OFFICIAL / "teams_result" / f"{variant}_result.csv")
    assert len(got) == len(expected) > 30
    assert [pair for pair in zip(got, expected, strict=True) if not alike(*pair)] == []


def test_the_width_of_that_tool_is_reproduced_in_all_its_digits():
    # An absolute bound of 1e-12 would hide most digits of 3.6e-5.
    widths = evaluation("cont").half_widths
    assert widths.compat2022 == pytest.approx(3.6125093751263165e-05, rel=1e-9)
    assert widths.jackknife == pytest.approx(843 * 3.6125093751263165e-05, rel=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_rows_known_to_be_faulty_differ_from_that_tool(variant, tmp_path):
    write_result(tmp_path / "result.csv", evaluation(variant))
    expected = table(OFFICIAL / "teams_result" / f"{variant}_result.csv")
    faulty = {"source harmonic mean", "target harmonic mean", "official score ci95"}
    rows = zip(table(tmp_path / "result.csv"), expected, strict=True)
    assert {other[0] for row, other in rows if not alike(row, other)} <= faulty


@pytest.mark.parametrize("system", ["baseline_MAHALA", "baseline_MSE"])
def test_published_figures_aggregate_to_their_own_means_and_totals(system):
    if not PUBLISHED.is_file():
        pytest.skip("the published figures of 2023 are not there")
    with PUBLISHED.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] == system]
    machines, means = {}, {}
    for row in rows:
        target = means if row["machine"] in ("h-mean", "a-mean") else machines
        target.setdefault(row["machine"], {})[row["metric"]] = float(row["value"])
    sections = tuple(
        SectionResult(name, "00", 200, {COLUMNS[metric]: value for metric, value in of.items()})
        for name, of in machines.items()
    )
    assert len(sections) == 7
    result = Evaluation(RULES[2023], sections)
    for column, key in COLUMNS.items():
        assert result.hmean(key) == pytest.approx(means["h-mean"][column], rel=0, abs=1e-12)
        assert result.mean(key) == pytest.approx(means["a-mean"][column], rel=0, abs=1e-12)
    assert result.official == pytest.approx(means["h-mean"]["TOTAL score"], rel=0, abs=1e-12)
    every = np.mean([value for part in sections for value in part.values.values()])
    assert every == pytest.approx(means["a-mean"]["TOTAL score"], rel=0, abs=1e-12)
