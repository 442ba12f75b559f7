"""Tables say what the evaluations hold, in per cent."""

from __future__ import annotations

import dataclasses
import json
import statistics

import pytest
from scored import sections

from edge_asd.errors import DataError
from edge_asd_train.evaluate.rules import RULES, evaluate
from edge_asd_train.evaluate.tables import comparison_json, comparison_table, evaluation_table


def cells(text):
    """The rows of a markdown table, the first one its titles."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [rows[0], *rows[2:]]


@pytest.fixture
def seeds():
    """Three seeds of one method: other scores of the same clips."""
    return [evaluate(sections(seed=seed), 2023) for seed in range(3)]


def percent(value):
    return f"{100 * value:.2f}"


@pytest.mark.parametrize("year", sorted(RULES))
def test_an_evaluation_is_a_row_a_section_and_two_means(year):
    evaluation = dataclasses.replace(evaluate(sections(), year), ci95=(0.5, 0.625))
    text = evaluation_table(evaluation)
    assert f"score {percent(evaluation.official)} %** (95 % interval 50.00 to 62.50)" in text
    assert f"rules of {year}, 320 clips" in text
    titles, *rows = cells(text)
    assert [row[:2] for row in rows[:4]] == [
        ["fan", "00"], ["fan", "01"], ["pump", "00"], ["pump", "01"],
    ]  # fmt: skip
    column = titles.index("AUC (all)")
    assert rows[1][column] == percent(evaluation.sections[1].values["auc"])
    assert rows[4][column] == percent(evaluation.hmean("auc"))
    assert rows[5][column] == percent(evaluation.mean("auc"))
    assert all(len(row) == len(titles) for row in rows)


def test_decisions_are_shown_where_all_sections_have_them():
    decided, undecided = sections(), sections(decided=False)
    assert "recall (target)" in evaluation_table(evaluate(decided, 2022))
    mixed = [decided[0], *undecided[1:]]
    assert "recall" not in evaluation_table(evaluate(mixed, 2022))


def test_methods_are_compared_by_mean_and_deviation_over_seeds(seeds):
    titles, first, second = cells(comparison_table({"ours": seeds, "base|line": seeds[:1]}))
    assert titles[:3] == ["method", "seeds", "official"]
    assert titles[-2:] == ["fan", "pump"]
    scores = [100 * seed.official for seed in seeds]
    assert first[2] == f"{statistics.mean(scores):.2f} ± {statistics.stdev(scores):.2f}"
    assert second[:3] == ["base\\|line", "1", percent(seeds[0].official)]
    assert second[-1] == percent(seeds[0].machine_official("pump"))
    assert second[titles.index("pAUC")] == percent(seeds[0].hmean("pauc"))


def test_the_json_of_a_comparison_holds_the_same(seeds):
    result = json.loads(json.dumps(comparison_json({"ours": seeds, "baseline": seeds[:1]})))
    ours, baseline = result["methods"]["ours"], result["methods"]["baseline"]
    official = [seed.official for seed in seeds]
    assert ours["seeds"] == 3
    assert ours["official"]["mean"] == pytest.approx(statistics.mean(official))
    assert ours["official"]["std"] == pytest.approx(statistics.stdev(official))
    assert list(ours["terms"]) == ["auc_source", "auc_target", "pauc"]
    assert baseline["terms"]["auc_target"] == {"mean": seeds[0].hmean("auc_target"), "std": None}
    assert baseline["machines"]["fan"]["mean"] == seeds[0].machine_official("fan")


def test_only_like_is_compared_with_like(seeds):
    for other in (evaluate(sections(), 2022), evaluate(sections(("fan",)), 2023)):
        with pytest.raises(DataError, match="same rules on the same sections"):
            comparison_table({"ours": seeds, "other": [other]})
    for nothing in ({}, {"ours": []}):
        with pytest.raises(DataError, match="nothing to compare"):
            comparison_json(nothing)
