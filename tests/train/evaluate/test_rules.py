"""Which clips enter which figure, and how a year makes one score of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored import section, sections

from edge_asd.errors import DataError, UsageError
from edge_asd_train.evaluate.rank import auc, pauc
from edge_asd_train.evaluate.rules import EPSILON, RULES, evaluate, harmonic_mean
from edge_asd_train.evaluate.sections import SectionScores

# Written by hand. Source: normal 1 and 4, anomalous 5; target: normal 2 and 6, anomalous 3.
# AUC source is over {1, 4 | 5, 3}: 3 of 4 pairs; target over {2, 6 | 5, 3}: 2 of 4; own domain: all
# of 2 pairs and 1 of 2; all clips {1, 4, 2, 6 | 5, 3}: 5 of 8. The highest score is normal.
HAND = SectionScores(
    "fan",
    "00",
    ("a", "b", "c", "d", "e", "f"),
    np.array([1.0, 4, 5, 2, 6, 3]),
    np.array([False, False, True, False, False, True]),
    np.array([0, 0, 0, 1, 1, 1]),
    np.array([False, True, True, False, True, False]),
)
FLOOR = 0.5 * (1 - 0.1 / 1.9)


@pytest.mark.parametrize("year", range(2022, 2027))
def test_from_2022_on_a_domain_meets_the_anomalies_of_both(year):
    values = evaluate([HAND], year).sections[0].values
    assert values["auc_source"] == 0.75
    assert values["auc_target"] == 0.5
    assert values["pauc"] == pytest.approx(FLOOR)
    assert values["auc"] == 0.625


@pytest.mark.parametrize("year", [2021, 2022, 2025])
def test_own_domain_figures_have_names_of_their_own(year):
    values = evaluate([HAND], year).sections[0].values
    assert (values["auc_source_own"], values["auc_target_own"]) == (1.0, 0.5)
    assert values["pauc_source_own"] == 1.0
    assert values["pauc_target_own"] == pytest.approx(FLOOR)


def test_each_year_averages_its_own_terms():
    assert evaluate([HAND], 2020).official == pytest.approx((0.625 + FLOOR) / 2)
    assert evaluate([HAND], 2021).official == pytest.approx(4 / (1 + 1 + 2 + 1 / FLOOR))
    for year in range(2022, 2027):
        assert evaluate([HAND], year).official == pytest.approx(3 / (4 / 3 + 2 + 1 / FLOOR))


def test_decisions_are_judged_by_domain():
    values = evaluate([HAND], 2022).sections[0].values
    assert (values["precision_source"], values["recall_source"]) == (0.5, 1.0)
    assert values["f1_source"] == pytest.approx(2 / 3)
    assert (values["precision_target"], values["recall_target"], values["f1_target"]) == (0, 0, 0)


def test_2020_knows_no_domains():
    values = evaluate([HAND], 2020).sections[0].values
    assert set(values) == {"auc", "pauc", "precision", "recall", "f1"}
    assert values["precision"] == pytest.approx(1 / 3)
    assert values["recall"] == 0.5


def test_without_decisions_there_are_no_figures_of_them():
    values = evaluate([section(decided=False)], 2023).sections[0].values
    assert not any(key.startswith(("precision", "recall", "f1")) for key in values)


@pytest.mark.parametrize("year", sorted(RULES))
def test_every_section_counts_the_same(year):
    several = sections()
    evaluation = evaluate(several, year)
    terms = [part.values[key] for part in evaluation.sections for key in RULES[year].terms]
    mean = np.mean(terms) if year == 2020 else len(terms) / np.sum(1 / np.array(terms))
    assert evaluation.official == pytest.approx(mean, abs=1e-14)
    shuffled = evaluate(several[::-1], year)
    assert shuffled.official == pytest.approx(evaluation.official, abs=1e-14)


@pytest.mark.parametrize("year", sorted(RULES))
def test_neither_row_order_nor_a_monotone_transform_matters(year):
    given_order = section()
    order = np.random.default_rng(1).permutation(len(given_order.names))
    other = SectionScores(
        "fan",
        "00",
        tuple(given_order.names[row] for row in order),
        np.exp(given_order.scores[order]) * 3 - 1,
        given_order.anomalous[order],
        given_order.domains[order],
        given_order.decisions[order],
    )
    expected = evaluate([given_order], year).sections[0].values
    assert evaluate([other], year).sections[0].values == pytest.approx(dict(expected), abs=1e-12)


def test_a_figure_of_zero_is_clipped_before_the_harmonic_mean():
    reversed_ = dataclasses.replace(section(), scores=-section().anomalous.astype(float))
    evaluation = evaluate([reversed_], 2022)
    assert evaluation.hmean("auc_source") == pytest.approx(EPSILON)
    assert evaluation.official == pytest.approx(1.5 * EPSILON)
    assert evaluate([reversed_], 2020).official == pytest.approx(FLOOR / 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=20))
def test_harmonic_mean_is_the_inverse_of_the_mean_inverse(values):
    assert harmonic_mean(values) == pytest.approx(1 / np.mean(1 / np.array(values)), rel=1e-12)


def test_json_holds_what_scripts_read():
    evaluation = dataclasses.replace(evaluate(sections(), 2022), ci95=(0.5, 0.6))
    result = json.loads(json.dumps(evaluation.as_json()))
    assert result["official"] == evaluation.official
    assert set(result["hmean"]) == {"auc_source", "auc_target", "pauc"}
    assert result["ci95"] == [0.5, 0.6]
    assert list(result["machines"]) == ["fan", "pump"]
    fan = sections()[0]
    assert result["machines"]["fan"]["00"]["pauc"] == pauc(fan.scores, fan.anomalous)
    assert result["machines"]["fan"]["00"]["auc"] == auc(fan.scores, fan.anomalous)


def test_json_of_a_year_holds_the_terms_of_that_year():
    assert set(evaluate(sections(), 2020).as_json()["mean"]) == {"auc", "pauc"}
    assert set(evaluate(sections(), 2021).as_json()["hmean"]) == set(RULES[2021].terms)


def test_an_official_score_of_a_machine_is_of_its_sections_alone():
    everything = evaluate(sections(), 2022)
    alone = evaluate(sections()[:2], 2022)
    assert everything.machine_official("fan") == alone.official


@pytest.mark.parametrize(
    ("year", "message"),
    [(2019, "from 2020 to 2026"), (2027, "from 2020 to 2026")],
)
def test_unknown_years_are_refused(year, message):
    with pytest.raises(UsageError, match=message):
        evaluate([HAND], year)


def test_a_missing_domain_is_refused_but_not_by_the_rules_of_2020():
    source = dataclasses.replace(section(), domains=np.zeros(80))
    with pytest.raises(DataError, match=r"fan section 00: AUC \(target\).*0 normal.*rules of 2020"):
        evaluate([source], 2024)
    assert evaluate([source], 2020).official > 0.5


def test_nothing_and_the_same_section_twice_are_refused():
    with pytest.raises(DataError, match="no test clips"):
        evaluate([], 2022)
    with pytest.raises(DataError, match="fan section 00 is given twice"):
        evaluate([HAND, HAND], 2022)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.array([1.0, np.nan, 3, 4, 5, 6])}, "clip b is not a finite"),
        ({"scores": np.zeros(5)}, r"scores has shape \(5,\) for 6 clips"),
        ({"names": ("a", "b", "c", "d", "a", "f")}, "clip a is listed twice"),
        ({"domains": np.array([0, 0, 0, 1, 1, 2])}, "neither 0"),
        ({"decisions": np.zeros(3)}, "decisions has shape"),
    ],
)
def test_unusable_sections_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(HAND, **change)


def test_a_section_keeps_its_own_copy():
    scores = np.arange(6.0)
    kept = dataclasses.replace(HAND, scores=scores)
    scores[0] = 99
    assert kept.scores[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        kept.scores[0] = 1
