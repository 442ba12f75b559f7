"""First shot: which faults of a machine that it never heard a method hears, by their severity."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.simulate import KINDS, Fault
from edge_asd_train.checkpoint import load_checkpoint, save_checkpoint
from edge_asd_train.cli import main
from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.datasets.simulated_options import Options
from edge_asd_train.datasets.simulated_set import DESCRIPTION, write_simulated_set
from edge_asd_train.evaluate.contest import ScoredSection
from edge_asd_train.evaluate.rank import auc
from edge_asd_train.evaluate.severity import grade
from edge_asd_train.loop import CHECKPOINT

FIRST, SECOND = KINDS[:2]


def heard(machine, normals, anomalies):
    """A section with these scores; anomalies are (score, fault name, severity)."""
    count = len(normals) + len(anomalies)
    paths = [Path(f"{machine}/{number:04d}.wav") for number in range(count)]
    clips = tuple(
        ClipFile(path, machine, "00", "test", "source", anomalous=number >= len(normals))
        for number, path in enumerate(paths)
    )
    scores = np.array([*normals, *(score for score, _, _ in anomalies)], np.float64)
    wrong = zip(paths[len(normals) :], anomalies, strict=True)
    faults = {path: Fault(name, severity) for path, (_, name, severity) in wrong}
    return ScoredSection(machine, "00", clips, scores, 0.0), faults


def graded(*sections):
    every = [heard(str(number), *section) for number, section in enumerate(sections)]
    return grade(
        [section for section, _ in every],
        {path: fault for _, faults in every for path, fault in faults.items()},
    )


def bins(found):
    return [(one.low, one.high, one.graded.auc, one.graded.clips) for one in found.severity]


def test_clips_of_a_bin_are_compared_with_the_normals_of_their_own_machine():
    loud = ([10.0, 11.0], [(12.0, "leak", 0.35), (12.0, "leak", 0.3)])
    quiet = ([0.0, 1.0], [(0.5, "leak", 0.39), (2.0, "hum", 0.5), (3.0, "hum", 0.55)])
    found = graded(loud, quiet)
    assert bins(found) == [(0.3, 0.4, 0.75, 3), (0.5, 0.6, 1.0, 2)]
    assert list(found.faults) == ["hum", "leak"]
    assert (found.faults["leak"].auc, found.faults["leak"].clips) == (0.75, 3)
    assert found.audible_from == 0.5


def test_a_machine_with_many_clips_counts_as_much_as_one_with_few():
    many = ([0.0], [(1.0, "leak", 0.8)] * 9)
    few = ([0.0], [(-1.0, "leak", 0.8)])
    assert bins(graded(many, few)) == [(0.8, 0.9, 0.5, 10)]


@pytest.mark.parametrize(
    ("severities", "edges"),
    [
        ([0.0, 0.1, 0.19], [0.0, 0.1]),
        ([0.3, 0.6, 0.7], [0.3, 0.6]),  # the highest of all opens no bin of its own
        ([0.7], [0.7]),
        ([0.95, 1.0], [0.9]),
    ],
)
def test_bins_lie_between_the_lowest_and_the_highest_severity(severities, edges):
    found = graded(([0.0], [(1.0, "leak", severity) for severity in severities]))
    assert [one.low for one in found.severity] == edges


@pytest.mark.parametrize(
    ("areas", "begin"),
    [
        ((1.0, 1.0, 1.0), 0.3),
        ((0.0, 1.0, 1.0), 0.4),
        ((1.0, 0.0, 1.0), 0.5),  # what is heard must be heard from there on
        ((1.0, 1.0, 0.0), None),
    ],
)
def test_faults_are_audible_from_where_on_they_stay_it(areas, begin):
    wrong = [(2.0 * area - 1.0, "leak", 0.35 + 0.1 * bin_) for bin_, area in enumerate(areas)]
    found = graded(([0.0], wrong))
    assert found.audible_from == begin
    assert found.as_json()["audible_from"] == begin
    assert ("below 90 %" in found.as_markdown()) == (begin is None)


CLIPS = st.lists(st.tuples(st.floats(-3, 3), st.sampled_from("ab"), st.floats(0, 1)), min_size=1)


@given(CLIPS)
def test_every_clip_is_in_one_bin_and_one_fault(wrong):
    normals = [-1.0, 0.0, 1.0]
    found = graded((normals, wrong))
    assert sum(one.graded.clips for one in found.severity) == len(wrong)
    assert sum(one.clips for one in found.faults.values()) == len(wrong)
    # The AUC of one machine over all clips is the mean of those of the bins, by their clips.
    truth = [False] * 3 + [True] * len(wrong)
    whole = auc([*normals, *(score for score, _, _ in wrong)], truth)
    parts = [one.graded.auc * one.graded.clips for one in found.severity]
    assert sum(parts) / len(wrong) == pytest.approx(whole)
    assert found.severity[0].low <= min(severity for _, _, severity in wrong) + 1e-6


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Two machines of two kinds, clips of 0.7 s."""
    out = tmp_path_factory.mktemp("simulated") / "set"
    write_simulated_set(out, Options(clips=6, seed=3, machines=2, duration_s=0.7))
    return out


@pytest.fixture
def trained(tmp_path, finished_run):
    """A copy of the run that says that other machines were in its training."""

    def told(**sources):
        run = shutil.copytree(finished_run, tmp_path / "run")
        checkpoint = load_checkpoint(run / CHECKPOINT)
        save_checkpoint(run / CHECKPOINT, dataclasses.replace(checkpoint, sources=sources))
        return run

    return told


@pytest.fixture
def figures(command, simulated, tmp_path):
    """What ``evaluate --first-shot`` prints as JSON."""

    def told(*words):
        common = ("--data", simulated, "--out", tmp_path / "out", "--first-shot", "--json")
        done = command(*words, *common)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return told


def test_only_kinds_that_were_left_out_are_measured(tmp_path, figures, trained):
    run = trained(simulated_machines=4, left_out_kinds=[FIRST, "gearbox"])
    found = figures("--run", run)
    assert set(found["machines"]) == {FIRST}
    assert found["notes"] == [f"not measured: {SECOND}; training heard machines of their kinds"]
    first_shot = found["first_shot"]
    assert (first_shot["left_out"], first_shot["heard"]) == ([FIRST], [])
    assert set(first_shot["severity"][0]) == {"from", "to", "auc", "clips"}
    assert sum(one["clips"] for one in first_shot["severity"]) == 4
    assert sum(one["clips"] for one in first_shot["faults"].values()) == 4
    assert found["data"]["clips"] == 14
    out = tmp_path / "out"
    assert json.loads((out / "evaluation.json").read_text()) == found
    report = (out / "evaluation.md").read_text()
    assert "**First shot: AUC" in report
    assert "| severity | AUC | clips |" in report
    assert not (out / f"anomaly_score_{SECOND}_section_00_test.csv").exists()
    header = (out / "severity.png").read_bytes()[:24]
    assert struct.unpack(">II", header[16:]) == (1200, 550)


def test_a_bundle_tells_what_its_training_left_out(tmp_path, figures, trained):
    run = trained(simulated_machines=4, left_out_kinds=[SECOND], data="hall")
    bundle = tmp_path / "tiny-1.asd"
    done = CliRunner().invoke(main, ["export", "--run", str(run), "--out", str(bundle)])
    assert done.exit_code == 0, done.output
    found = figures("--bundle", bundle, "--no-pictures")
    assert set(found["machines"]) == {SECOND}
    assert "machines in hall too" in found["notes"][1]
    run_found = figures("--run", run, "--no-pictures")
    assert run_found["first_shot"]["faults"].keys() == found["first_shot"]["faults"].keys()
    for one, other in zip(
        run_found["first_shot"]["severity"], found["first_shot"]["severity"], strict=True
    ):
        assert one == pytest.approx(other)


def test_all_kinds_are_measured_when_asked_for_and_the_report_says_so(tmp_path, figures, trained):
    run = trained(simulated_machines=4, left_out_kinds=[FIRST])
    found = figures("--run", run, "--all-kinds", "--no-pictures")
    assert set(found["machines"]) == {FIRST, SECOND}
    assert (found["first_shot"]["left_out"], found["first_shot"]["heard"]) == ([FIRST], [SECOND])
    report = (tmp_path / "out" / "evaluation.md").read_text()
    assert f"measured, but not first-shot: {SECOND}; training heard" in report
    assert "**First shot" not in report


def test_a_baseline_heard_no_kind_and_is_measured_on_all(figures):
    found = figures("--baseline", "log-mel", "--no-pictures")
    assert set(found["machines"]) == {FIRST, SECOND}
    assert found["first_shot"]["left_out"] == sorted([FIRST, SECOND])
    assert found["notes"] == []


@pytest.fixture
def refused(command, tmp_path):
    """The one line of an error."""

    def line(code, *words):
        done = command(*words, "--out", tmp_path / "out")
        assert done.exit_code == code, done.output
        (line,) = [line for line in done.stderr.splitlines() if line.strip()]
        assert not (tmp_path / "out").exists()
        return line

    return line


def test_a_network_that_heard_every_kind_is_refused_with_the_remedy(
    refused, finished_run, simulated
):
    line = refused(65, "--run", finished_run, "--data", simulated, "--first-shot")
    assert "fit --leave-out KINDS" in line
    assert "--all-kinds" in line


def test_a_data_set_that_tells_no_severities_is_refused(refused, data):
    line = refused(65, "--baseline", "log-mel", "--data", data, "--first-shot")
    assert "dataset.json: no such file" in line


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda told: told.pop("anomalies"), "anomalies: Field required"),
        (lambda told: told["machines"].pop(FIRST), "or nothing; take away"),
        (lambda told: told["anomalies"].popitem(), "or nothing; take away"),
        (lambda told: next(iter(told["anomalies"].values())).update(severity=2), "less than"),
        (lambda told: next(iter(told["anomalies"].values())).update(severity="x"), "valid number"),
    ],
)
def test_a_description_that_does_not_fit_the_clips_is_refused(
    tmp_path, refused, simulated, change, named
):
    copy = shutil.copytree(simulated, tmp_path / "copy")
    told = json.loads((copy / DESCRIPTION).read_text())
    change(told)
    (copy / DESCRIPTION).write_text(json.dumps(told))
    assert named in refused(65, "--baseline", "log-mel", "--data", copy, "--first-shot")


def test_what_does_not_go_together_is_refused(refused, simulated, data):
    common = ("--baseline", "log-mel", "--data", simulated)
    assert "belongs to --first-shot" in refused(2, *common, "--all-kinds")
    line = refused(2, *common, "--first-shot", "--ground-truth", data)
    assert "no --ground-truth" in line
