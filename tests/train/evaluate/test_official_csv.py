"""Official CSV files are matched by the names of clips; whatever is wrong is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scored import sections, write_truth

from edge_asd.errors import DataError, StorageError, UsageError
from edge_asd_train.evaluate.official_csv import evaluate_csv, read_sections, write_scores
from edge_asd_train.evaluate.rules import evaluate

SCORES = "anomaly_score_fan_section_00_test.csv"


@pytest.fixture
def given():
    """Two machines of two sections."""
    return sections()


@pytest.fixture
def folders(tmp_path, given):
    """Scores, ground truth and domains as the layouts of 2022 have them."""
    write_scores(tmp_path / "scores", given)
    return (tmp_path / "scores", *write_truth(tmp_path, given))


def edit(folder, name, change):
    """Rewrite the rows of a file."""
    path = folder / name
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    return path


def assert_same(read, given):
    for one, other in zip(read, given, strict=True):
        assert (one.machine, one.section, one.names) == (other.machine, other.section, other.names)
        for field in ("scores", "anomalous", "domains", "decisions"):
            assert_array_equal(getattr(one, field), getattr(other, field))


def test_what_is_written_is_read_back_to_the_last_bit(folders, given):
    assert_same(read_sections(*folders, 2022), given)


def test_evaluation_of_files_is_that_of_the_scores(folders, given):
    evaluation = evaluate_csv(*folders, 2022)
    assert evaluation.official == evaluate(given, 2022).official
    low, high = evaluation.ci95
    assert low < evaluation.official < high
    assert evaluate_csv(*folders, 2022) == evaluation


def test_rows_are_matched_by_name(folders, given):
    edit(folders[0], SCORES, lambda rows: rows[::-1])
    edit(folders[2], "ground_truth_pump_section_01_test.csv", lambda rows: rows[5:] + rows[:5])
    assert_same(read_sections(*folders, 2022), given)


def test_empty_lines_blanks_and_a_byte_order_mark_are_no_rows(folders, given):
    edit(folders[0], SCORES, lambda rows: ["\ufeff" + rows[0].replace(",", " , "), "", *rows[1:]])
    assert_same(read_sections(*folders, 2022), given)


def test_decisions_may_be_absent_altogether_but_not_in_part(folders):
    decisions = sorted(folders[0].glob("decision_result_*"))
    decisions[0].unlink()
    with pytest.raises(DataError, match=r"1 of 4 files.*decision_result_fan_section_00_test\.csv"):
        read_sections(*folders, 2022)
    for path in decisions[1:]:
        path.unlink()
    assert all(section.decisions is None for section in read_sections(*folders, 2022))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "1 of 80 clips .* first is section_00_0079.wav"),
        (lambda rows: [*rows, rows[3]], "row 81: section_00_0003.wav is listed twice.* row 4"),
        (lambda rows: [*rows, "other.wav,1"], "row 81: other.wav is not in the ground truth"),
        (lambda rows: [*rows[:6], "section_00_0006.wav,nan", *rows[7:]], "row 7: 'nan' .* finite"),
        (lambda rows: [*rows[:6], "section_00_0006.wav,-inf", *rows[7:]], "row 7: '-inf' .* fini"),
        (lambda rows: ["file,score", *rows], "row 1: 'score' is not a number"),
        (lambda rows: [*rows[:2], "section_00_0002.wav", *rows[3:]], "row 3: expected 2 cells"),
        (lambda rows: [*rows[:2], rows[2] + ",1", *rows[3:]], "row 3: more than two cells"),
        (lambda _: [], "no rows in it"),
    ],
)
def test_an_unusable_score_is_named_by_file_and_row(folders, change, message):
    path = edit(folders[0], SCORES, change)
    with pytest.raises(DataError, match=message) as refused:
        evaluate_csv(*folders, 2022)
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("folder", [1, 2])
def test_labels_and_domains_are_zero_or_one(folders, folder):
    name = "ground_truth_pump_section_00_test.csv"
    path = edit(folders[folder], name, lambda rows: [*rows[:1], "section_00_0001.wav,2", *rows[2:]])
    with pytest.raises(DataError, match="row 2: '2' is neither 0 nor 1") as refused:
        read_sections(*folders, 2022)
    assert str(path) in str(refused.value)


def test_missing_surplus_and_double_files_are_refused(folders):
    path = folders[0] / SCORES
    seeded = folders[0] / "anomaly_score_DCASE2023T2fan_section_00_test_seed13711_id(0_)_Eval.csv"
    seeded.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="one system a folder"):
        read_sections(*folders, 2022)
    seeded.unlink()
    path.rename(folders[0] / "anomaly_score_fan_section_07_test.csv")
    with pytest.raises(DataError, match=r"1 of 4 files are missing, the first is " + SCORES):
        read_sections(*folders, 2022)
    path.write_bytes((folders[0] / "anomaly_score_fan_section_07_test.csv").read_bytes())
    with pytest.raises(DataError, match=r"section_07_test.csv: there is no ground truth"):
        read_sections(*folders, 2022)


def test_ground_truth_of_one_split_needs_the_domains_of_that_split_only(folders, given):
    for kind in ("anomaly_score", "decision_result"):
        (folders[0] / f"{kind}_fan_section_00_test.csv").unlink()
    (folders[1] / "ground_truth_fan_section_00_test.csv").unlink()
    assert_same(read_sections(*folders, 2022), given[1:])


def test_names_of_the_baseline_are_accepted(folders, given):
    for path in list(folders[0].iterdir()):
        name = path.name.replace("_test.csv", "_test_seed13711_id(0_)_Eval.csv")
        path.rename(path.with_name(name.replace("fan", "DCASE2023T2fan")))
    assert_same(read_sections(*folders, 2023), given)


def test_names_of_another_year_are_refused(folders):
    path = folders[0] / "anomaly_score_fan_section_00_source_test.csv"
    path.write_text("a.wav,1\n")
    with pytest.raises(DataError, match="not a file name of 2022; expected anomaly_score_MACHINE"):
        read_sections(*folders, 2022)


def with_attributes(folders, *, columns):
    """Rename the clips of fan 00 in its scores, and say so in the attributes."""
    folder = folders[1].parent / "ground_truth_attributes"
    folder.mkdir()

    def longer(number):
        return f"section_00_source_test_normal_{number:04d}_car_A1_spd_{number}V"

    rows = [
        ",".join([f"section_00_{number:04d}.wav", longer(number), f"full_{number}.wav"][:columns])
        for number in range(80)
    ]
    (folder / "ground_truth_fan_section_00_test.csv").write_text("\n".join(rows))
    return longer


@pytest.mark.parametrize("columns", [2, 3])
def test_clips_may_go_by_their_names_with_attributes(folders, given, columns):
    longer = with_attributes(folders, columns=columns)

    def rename(row):
        number = int(row[11:15])
        name = longer(number) + ".wav" if columns == 2 else f"full_{number}.wav"
        return name + row[19:]

    edit(folders[0], SCORES, lambda rows: sorted(map(rename, rows)))
    assert_same(read_sections(*folders, 2023), given)
    with pytest.raises(DataError, match="is not in the ground truth"):
        read_sections(*folders, 2022)


def test_a_clip_under_both_of_its_names_is_listed_twice(folders):
    longer = with_attributes(folders, columns=2)
    edit(folders[0], SCORES, lambda rows: [*rows, f"{longer(4)}.wav,1.0"])
    with pytest.raises(DataError, match=r"row 81: section_00_source.* is listed twice.* row 5"):
        read_sections(*folders, 2024)


def test_an_attribute_name_of_two_clips_is_refused(folders):
    with_attributes(folders, columns=2)
    edit(
        folders[1].parent / "ground_truth_attributes",
        "ground_truth_fan_section_00_test.csv",
        lambda rows: [*rows, "section_00_0000.wav," + rows[1].split(",")[1]],
    )
    with pytest.raises(DataError, match=r"row 81: .* stands for section_00_0001.wav already"):
        read_sections(*folders, 2023)


def of_2021(given):
    """The same clips under names that tell the domain, source clips first."""
    renamed = []
    for one in given:
        order = np.argsort(one.domains, kind="stable")
        domains = np.array(["source", "target"])[one.domains]
        renamed.append(
            dataclasses.replace(
                one,
                names=tuple(f"section_{one.section}_{domains[row]}_{row:04d}.wav" for row in order),
                **{
                    field: getattr(one, field)[order]
                    for field in ("scores", "anomalous", "domains", "decisions")
                },
            )
        )
    return renamed


def test_the_two_files_of_a_section_of_2021_become_one_section(tmp_path, given):
    renamed = of_2021(given)
    write_scores(tmp_path / "scores", renamed, 2021)
    labels = tmp_path / "labels"
    labels.mkdir()
    for one in renamed:
        for number, domain in enumerate(("source", "target")):
            name = f"ground_truth_{one.machine}_section_{one.section}_{domain}_test.csv"
            chosen = np.flatnonzero(one.domains == number)
            rows = (f"{one.names[row]},{int(one.anomalous[row])}\n" for row in chosen)
            (labels / name).write_text("".join(rows))
    assert_same(read_sections(tmp_path / "scores", labels, None, 2021), renamed)


def test_a_clip_of_2021_tells_its_domain(tmp_path, given):
    with pytest.raises(DataError, match=r"section_00_0000.wav: a clip of 2021"):
        write_scores(tmp_path, given, 2021)


@pytest.fixture
def of_2020(given):
    """The first machine, clips named as in 2020 and without domains."""
    return [
        dataclasses.replace(
            one,
            names=tuple(f"id_{one.section}_{row:08d}.wav" for row in range(80)),
            domains=np.zeros(80),
        )
        for one in given
    ]


def test_2020_has_a_file_an_identifier(tmp_path, of_2020):
    write_scores(tmp_path / "scores", of_2020, 2020)
    labels, _ = write_truth(tmp_path, of_2020, name="{}_id_{}")
    assert_same(read_sections(tmp_path / "scores", labels, None, 2020), of_2020)


def test_2020_may_have_one_list_of_all_labels(tmp_path, of_2020):
    write_scores(tmp_path / "scores", of_2020, 2020)
    rows = []
    for machine in ("fan", "pump"):
        rows.append(machine)
        for one in of_2020:
            if one.machine == machine:
                pairs = zip(one.names, one.anomalous, strict=True)
                rows += [f"{name},normal_{name},{int(label)}" for name, label in pairs]
    path = tmp_path / "eval_data_list.csv"
    path.write_text("\n".join(rows))
    assert_same(read_sections(tmp_path / "scores", tmp_path, None, 2020), of_2020)
    path.write_text("\n".join([*rows, rows[-1]]))
    with pytest.raises(DataError, match=r"row 323: id_01_00000079.wav is listed twice"):
        read_sections(tmp_path / "scores", tmp_path, None, 2020)
    path.write_text("\n".join(rows[1:]))
    with pytest.raises(DataError, match="row 1: expected id_NN"):
        read_sections(tmp_path / "scores", tmp_path, None, 2020)


def test_absent_folders_and_useless_requests_are_refused(folders, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        evaluate_csv(tmp_path / "nowhere", *folders[1:], 2022)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no ground_truth_ files of 2021"):
        read_sections(folders[0], tmp_path / "empty", None, 2021)
    with pytest.raises(UsageError, match="need the folder of the domains"):
        evaluate_csv(folders[0], folders[1], None, 2022)
    with pytest.raises(UsageError, match="rules of 2023"):
        evaluate_csv(*folders, 2023, compat=True)


def test_a_file_that_is_no_text_is_refused(folders):
    (folders[0] / SCORES).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_sections(*folders, 2022)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, given):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_scores(tmp_path / "file", given)
