"""``edge-asd-train evaluate``, from clips to figures."""

from __future__ import annotations

import json
import shutil

import pytest
from scored import write_truth

from edge_asd_train.evaluate.contest import unscored

TERMS = {"auc_source", "auc_target", "pauc"}


@pytest.fixture
def figures(command):
    """What the command prints as JSON."""

    def told(*words):
        done = command(*words, "--json", "--no-pictures")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return told


def plain_folders(data, root):
    """The fan as a user might keep it: ``fan/{normal,anomaly}/NUMBER.wav``."""
    for kind, pattern in (("normal", "*/*normal*.wav"), ("anomaly", "test/*anomaly*.wav")):
        (root / "fan" / kind).mkdir(parents=True)
        for number, path in enumerate(sorted((data / "fan").glob(pattern))):
            shutil.copy(path, root / "fan" / kind / f"{number}.wav")
    return root


def test_figures_tables_csv_files_and_pictures_are_written(tmp_path, command, finished_run, data):
    out = tmp_path / "out"
    done = command("--run", finished_run, "--data", data, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert set(told["hmean"]) == TERMS
    assert set(told["machines"]) == {"fan", "pump"}
    low, high = told["ci95"]
    assert 0 <= low <= told["official"] <= high <= 1
    assert (told["scorer"], told["engine"]) == ("bundle", "torch")
    assert told["data"]["clips"] == 28
    assert "precision_source" in told["machines"]["fan"]["00"]
    assert json.loads((out / "evaluation.json").read_text()) == told
    assert "Official score" in (out / "evaluation.md").read_text()
    assert {path.name for path in out.iterdir()} == {
        *(
            f"{kind}_{machine}_section_00_test.csv"
            for kind in ("anomaly_score", "decision_result")
            for machine in ("fan", "pump")
        ),
        *("result.csv", "evaluation.json", "evaluation.md", "embeddings"),
        *("roc.png", "scores.png", "embeddings.png", "training.png"),
    }


def test_a_run_and_its_bundle_have_the_same_figures(tmp_path, figures, finished_run, bundle, data):
    common = ("--data", data, "--out", tmp_path, "--scorer", "ldn", "--scorer", "log_mel")
    run = figures("--run", finished_run, *common)
    shipped = figures("--bundle", bundle, *common)
    assert (run["engine"], shipped["engine"]) == ("torch", "onnx")
    assert run["scorer"] == shipped["scorer"] == "ldn+log_mel"
    assert run["data"] == shipped["data"]
    assert shipped["official"] == pytest.approx(run["official"], abs=1e-9)
    assert run["network"] != shipped["network"]


def test_scores_that_were_written_give_the_same_score_when_read_back(
    tmp_path, figures, finished_run, data, index
):
    out = tmp_path / "out"
    words = ("--run", finished_run, "--data", data, "--out", out, "--rules", 2023)
    told = figures(*words)
    truth, domains = write_truth(tmp_path, [one.with_truth() for one in unscored(index)])
    official = ("--ground-truth", truth, "--domains", domains)
    for words_again in (("--scores", out, "--rules", 2023, *official), (*words, *official)):
        again = figures(*words_again)
        for key in ("official", "machines", "ci95", "hmean", "rules"):
            assert again[key] == told[key]


def test_clips_whose_names_tell_nothing_are_scored_but_not_measured(
    tmp_path, figures, finished_run, data, index
):
    hidden = shutil.copytree(data, tmp_path / "hidden")
    sections = unscored(index)
    for section in sections:
        folder = hidden / section.machine / "test"
        for number, name in enumerate(section.names):
            (folder / name).rename(folder / f"section_00_{number:04d}.wav")
    out = tmp_path / "out"
    words = ("--run", finished_run, "--data", hidden, "--out", out)
    told = figures(*words)
    assert (told["official"], told["machines"]) == (None, {})
    assert "nothing" not in told["notes"][0]
    assert "no truth to compare with" in told["notes"][0]
    assert len((out / "anomaly_score_fan_section_00_test.csv").read_text().splitlines()) == 8
    assert not (out / "result.csv").exists()


def test_plain_folders_are_measured_without_domains(tmp_path, figures, finished_run, data):
    plain = plain_folders(data, tmp_path / "plain")
    told = figures("--run", finished_run, "--data", plain, "--out", tmp_path / "out")
    assert set(told["hmean"]) == {"auc", "pauc"}
    assert "fan section 00 has no AUC (target)" in told["notes"][0]


def test_a_baseline_stands_beside_the_networks(tmp_path, figures, data):
    told = figures("--baseline", "log-mel", "--data", data, "--out", tmp_path / "out")
    assert told["official"] > 0.9  # anomalies hum half an octave higher
    assert (told["scorer"], told["engine"]) == (None, None)


def test_without_json_a_table_is_printed(tmp_path, command, data):
    words = ("--baseline", "log-mel", "--data", data, "--out", tmp_path / "out")
    done = command(*words, "--no-pictures")
    assert done.exit_code == 0
    assert done.stdout.startswith("**Official score ")
    assert "| fan | 00 |" in done.stdout


@pytest.fixture
def places(tmp_path, monkeypatch, finished_run, bundle, data):
    """What the letters in the commands below stand for; all else is looked for in a new folder."""
    monkeypatch.chdir(tmp_path)
    plain_folders(data, tmp_path / "plain")
    normals = data / "fan" / "train"
    return {"R": finished_run, "B": bundle, "D": data, "N": normals, "P": tmp_path / "plain"}


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ("--data D --out O", 2, "one of --run, --bundle and --baseline"),
        ("--run R --bundle B --data D --out O", 2, "one of --run, --bundle and --baseline"),
        ("--run R --out O", 2, "give --data and --out"),
        ("--run R --data D", 2, "give --data and --out"),
        ("--run nowhere --data D --out O", 65, "no such folder"),
        ("--run D --data D --out O", 65, "no checkpoint"),
        ("--bundle nowhere --data D --out O", 65, "cannot read the bundle"),
        ("--run R --data nowhere --out O", 65, "no such folder"),
        ("--run R --data N --out O", 65, "no test clips"),
        ("--run R --data D --out O --scorer median", 78, "published, means, knn"),
        ("--run R --data D --out O --rules 2019", 2, "from 2020 to 2026"),
        ("--run R --data D --out O --layout 2020", 65, "--layout"),
        ("--run R --data D --out O --compat", 2, "--compat belongs to --scores"),
        ("--run R --data D --out O --domains D", 2, "give both"),
        ("--baseline log-mel --scorer knn --data D --out O", 2, "leave them out"),
        ("--run R --data P --out O --rules 2023", 65, "fan section 00: AUC"),
        ("--scores D --rules 2022", 2, "needs --ground-truth and --rules"),
        ("--scores D --ground-truth D --domains D", 2, "needs --ground-truth and --rules"),
        ("--scores D --run R --ground-truth D --rules 2022", 2, "name no run"),
        ("--scores D --ground-truth D --domains D --rules 2022", 65, "ground_truth_"),
    ],
)
def test_a_foreseen_error_is_one_line_and_an_exit_code(command, places, words, code, named):
    done = command(*(places.get(word, word) for word in words.split()))
    assert done.exit_code == code, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("edge-asd-train: ")
    assert named in line


def test_the_help_has_an_example(command):
    assert "edge-asd-train evaluate --run" in command("--help").output
