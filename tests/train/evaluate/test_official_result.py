"""Official result files: their rows, and the faults of the tool of 2022 on request only."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
from scored import sections

from edge_asd.errors import StorageError
from edge_asd_train.evaluate.official_result import write_result
from edge_asd_train.evaluate.rules import HalfWidths, evaluate, harmonic_mean


@pytest.fixture
def written(tmp_path):
    """Write a result and read its rows back."""

    def write(evaluation):
        path = tmp_path / "results" / "system_result.csv"
        write_result(path, evaluation)
        assert b"\r" not in path.read_bytes()
        return list(csv.reader(path.read_text().splitlines()))

    return write


def row_of(rows, title, machine=None):
    """The first row of a title, below a machine's name if one is given."""
    start = 0 if machine is None else rows.index([machine])
    return next(row for row in rows[start:] if row[:1] == [title])


def test_sections_and_the_score_stand_in_the_file_to_the_last_bit(written):
    evaluation = evaluate(sections(), 2023)
    rows = written(evaluation)
    values = evaluation.of("pump")[1].values
    cells = dict(zip(row_of(rows, "section"), row_of(rows, "01", "pump"), strict=True))
    assert float(cells["AUC (source)"]) == values["auc_source"]
    assert float(cells["pAUC"]) == values["pauc"]
    assert float(cells["F1 score (target)"]) == values["f1_target"]
    assert float(row_of(rows, "official score")[2]) == evaluation.official


def test_rows_of_a_domain_hold_that_domain(written):
    evaluation = evaluate(sections(), 2022)
    rows = written(evaluation)
    for domain in ("source", "target"):
        cells = row_of(rows, f"{domain} harmonic mean", "pump")
        values = [part.values for part in evaluation.of("pump")]
        assert float(cells[2]) == harmonic_mean([part[f"auc_{domain}"] for part in values])
        assert float(cells[3]) == harmonic_mean([part["pauc"] for part in values])
        assert float(cells[5]) == harmonic_mean([part[f"recall_{domain}"] for part in values])


def test_the_faults_of_2022_change_the_rows_of_domains_and_the_width_only(written):
    right = dataclasses.replace(evaluate(sections(), 2022), half_widths=HalfWidths(0.02, 0.00002))
    rows, faulty = written(right), written(dataclasses.replace(right, compat2022=True))
    differing = {one[0] for one, other in zip(rows, faulty, strict=True) if one != other}
    assert differing == {
        "source harmonic mean",
        "target harmonic mean",
        "official score ci95",
    }
    first = right.sections[0].values["auc_source"]
    assert float(row_of(faulty, "source harmonic mean", "fan")[2]) == pytest.approx(first)
    assert float(row_of(rows, "official score ci95")[2]) == 0.02
    assert float(row_of(faulty, "official score ci95")[2]) == 0.00002


def test_a_single_section_leaves_the_faulty_source_row_empty(written):
    single = evaluate(sections(("fan",), ("00",)), 2022)
    rows = written(dataclasses.replace(single, compat2022=True))
    assert row_of(rows, "source harmonic mean")[2:] == [""] * 5


def test_without_decisions_their_cells_are_empty(written):
    rows = written(evaluate(sections(decided=False), 2022))
    assert row_of(rows, "00", "fan")[5:] == [""] * 6
    assert row_of(rows, "harmonic mean", "fan")[4:] == [""] * 3
    assert float(row_of(rows, "harmonic mean", "fan")[3]) > 0.5


def test_2021_lists_each_domain_by_itself(written):
    evaluation = evaluate(sections(), 2021)
    rows = written(evaluation)
    assert row_of(rows, "section") == [
        "section", "domain", "AUC", "pAUC", "precision", "recall", "F1 score",
    ]  # fmt: skip
    start = rows.index(["fan"]) + 2
    assert [row[:2] for row in rows[start : start + 4]] == [
        ["00", "source"], ["01", "source"], ["00", "target"], ["01", "target"],
    ]  # fmt: skip
    values = [part.values for part in evaluation.of("fan")]
    aucs = [part[f"auc_{domain}_own"] for domain in ("source", "target") for part in values]
    assert [float(row[2]) for row in rows[start : start + 4]] == aucs
    assert float(row_of(rows, "arithmetic mean", "fan")[2]) == pytest.approx(np.mean(aucs))


def test_2020_lists_identifiers_and_their_average(written):
    evaluation = evaluate(sections(), 2020)
    rows = written(evaluation)
    assert rows[:2] == [["fan"], ["id", "AUC", "pAUC"]]
    values = [part.values for part in evaluation.of("fan")]
    assert float(row_of(rows, "Average", "fan")[2]) == np.mean([part["pauc"] for part in values])
    assert float(row_of(rows, "official score")[2]) == evaluation.official


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_result(tmp_path / "file" / "result.csv", evaluate(sections(), 2022))
