"""What other thresholds would have raised, as a person and a script see it."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.processes import assert_refused, cli, lines, write_config

from edge_asd.books.history import History
from edge_asd.bundle.store import choose_bundle
from edge_asd.cli import bar as bars
from edge_asd.cli.bar import Bar
from edge_asd.config import AlertConfig
from edge_asd.preview.previewing import Tuning
from edge_asd.profile import load_profile, save_profile
from edge_asd.state_dir import StateLock
from edge_asd.steady import SteadyClock

DAY_S = 86_400.0


@dataclass
class Hall:
    """A state directory with an enrolled pump and what it heard."""

    state: Path
    profile: object
    hop_s: float
    now_s: float

    def hear(self, *stretches, monitor="pump", key=None, days_ago=2.0):
        """Stretches of (days from the start, seconds, score above the threshold)."""
        began_s = self.now_s - days_ago * DAY_S
        at_s = [began_s]
        clock = SteadyClock(lambda: at_s[0], lambda: at_s[0])
        history = History(self.state, clock)
        threshold = self.profile.calibration.threshold
        for day, seconds, above in stretches:
            at_s[0] = max(at_s[0] + 20.0, began_s + day * DAY_S)
            for _ in range(round(seconds / self.hop_s)):
                at_s[0] += self.hop_s
                history.add(
                    monitor,
                    profile_key=key or self.profile.key,
                    hop_s=self.hop_s,
                    end_s=at_s[0],
                    score=threshold + above,
                )
        history.close()


@pytest.fixture
def hall(plant, tmp_path):
    """Two hours of quiet listening make the rate count."""
    state = plant.state(tmp_path)
    bundle = choose_bundle(state, None, ["pump"])
    profile = load_profile(state, "pump", bundle)
    profile = Tuning(profile, AlertConfig(), bundle.manifest).profile
    maxima = np.random.default_rng(0).gumbel(0.0, 0.2, 240).astype(np.float32)
    profile = profile.recalibrated(maxima)
    save_profile(state, profile)
    hop_s = bundle.manifest.hop_samples / bundle.manifest.sample_rate
    return Hall(state, profile, hop_s, time.time())


def preview(shell, hall, *options):
    return shell("threshold", "--preview", "--state-dir", hall.state, *options)


def monitors(result):
    assert result.returncode == 0, result.stderr
    (answer,) = lines(result)
    assert answer["schema"] == 1
    return answer["monitors"]


def test_the_thresholds_in_force_are_shown_also_without_history(shell, hall):
    said = shell("threshold", "--state-dir", hall.state)
    assert (said.returncode, said.stderr) == (0, "")
    calibration = hall.profile.calibration
    assert f"pump: threshold {calibration.threshold:.2f}" in said.stdout
    assert "1 asked for" in said.stdout
    assert "no history yet" in said.stdout
    (row,) = monitors(shell("threshold", "--state-dir", hall.state, "--json"))
    assert row["threshold"] == calibration.threshold
    assert row["supported_per_week"] == calibration.supported_per_week
    assert (row["provisional"], row["history"]["hours"]) == (True, 0.0)
    assert "trials" not in row


def test_a_preview_tells_how_many_alerts_and_on_which_days(shell, hall):
    hall.hear(
        (0.0, 600, -1.0), (0.5, 60, 0.05), (0.5, 600, -1.0), (1.5, 120, 9.0), (1.5, 300, -1.0)
    )
    (row,) = monitors(preview(shell, hall, "--json"))
    assert row["history"]["hours"] == pytest.approx(1680 / 3600, abs=0.01)
    assert [trial["rate_per_week"] for trial in row["trials"]] == [0.1, 1.0, 10.0]
    assert [len(trial["alerts"]) for trial in row["trials"]] == [1, 2, 2]
    assert [trial["in_force"] for trial in row["trials"]] == [False, True, False]
    assert row["trials"][1]["threshold"] == row["threshold"]
    small, large = row["trials"][1]["alerts"]
    assert (small["severity"], large["severity"]) == ("warning", "alarm")
    assert large["peak"] == pytest.approx(row["threshold"] + 9.0, rel=1e-3)
    assert 60 <= small["duration_s"] <= 120  # it ends once the last 20 s were low for 20 s
    assert sum(row["trials"][1]["alerts_by_day"].values()) == 2
    assert sum(day["hours"] for day in row["days"]) == pytest.approx(
        row["history"]["hours"], abs=0.01
    )
    assert max(day["largest"] for day in row["days"]) == pytest.approx(large["peak"])


def test_a_person_sees_rates_days_alerts_and_what_to_write(shell, hall):
    hall.hear(
        (0.0, 600, -1.0), (0.5, 60, 0.05), (0.5, 600, -1.0), (1.5, 120, 9.0), (1.5, 300, -1.0)
    )
    said = preview(shell, hall)
    assert (said.returncode, said.stderr) == (0, "")
    text = said.stdout
    assert f"→                 1*       {hall.profile.calibration.threshold:.2f}" in text
    assert "provisional" in text
    days = [line for line in text.splitlines() if "┃" in line and line.startswith("  20")]
    assert 2 <= len(days) <= 3
    assert any("▶" in line for line in days)
    assert text.count("alarm    peak") >= 2
    assert "      - name: pump\n        alert:\n          false_alarms_per_week: 0.1\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_rates_and_thresholds_to_try_may_be_given(shell, hall):
    hall.hear((0.0, 600, -0.5), (0.5, 60, -0.05), (0.5, 600, -0.5))
    now = hall.profile.calibration.threshold
    options = ("--rate", "3", "--rate", 20, "--threshold", now - 0.1, "--threshold", -50)
    (row,) = monitors(preview(shell, hall, *options, "--json"))
    thresholds = [trial["threshold"] for trial in row["trials"]]
    assert thresholds == sorted(thresholds, reverse=True)
    assert {1.0, 3.0, 20.0, None} <= {trial["rate_per_week"] for trial in row["trials"]}
    by_threshold = {trial["threshold"]: trial for trial in row["trials"]}
    assert len(by_threshold[now]["alerts"]) == 0
    assert len(by_threshold[now - 0.1]["alerts"]) == 1
    (everything,) = by_threshold[-50.0]["alerts"]
    assert everything["ended_at"] is None
    text = preview(shell, hall, *options).stdout
    assert "no rate gives this threshold" in text
    assert "still going on" in text


def test_only_the_last_days_are_looked_at_if_so_wanted(shell, hall):
    hall.hear((0.0, 600, 5.0), (1.5, 600, -1.0))
    (row,) = monitors(preview(shell, hall, "--days", 1, "--json"))
    assert row["history"]["hours"] == pytest.approx(1 / 6, abs=0.01)
    assert [len(trial["alerts"]) for trial in row["trials"]] == [0, 0, 0]
    assert_refused(preview(shell, hall, "--days", 0.1), 65, "last 0.1 days")


def test_the_operators_file_decides_what_is_in_force(shell, hall, tmp_path):
    hall.hear((0.0, 600, -1.0))
    section = {"name": "pump", "source": "alsa:", "alert": {"false_alarms_per_week": 50}}
    config = write_config(tmp_path / "config.yaml", monitors=[section])
    (row,) = monitors(preview(shell, hall, "--config", config, "--json"))
    assert row["asked_per_week"] == 50
    assert [trial["rate_per_week"] for trial in row["trials"]] == [5, 50, 500]
    assert [trial["in_force"] for trial in row["trials"]] == [False, True, False]


# What is wrong is said


def test_without_history_a_preview_says_so(shell, hall):
    assert_refused(preview(shell, hall), 65, str(hall.state), "no scores of pump", "edge-asd run")


def test_history_of_another_profile_is_not_compared(shell, hall):
    hall.hear((0.0, 3600, 5.0), key="another")
    said = preview(shell, hall)
    assert_refused(said, 65, "1.0 h of history", "other profiles")
    hall.hear((0.0, 600, -1.0), days_ago=0.5)
    (row,) = monitors(preview(shell, hall, "--json"))
    assert row["history"]["other_profiles_hours"] == pytest.approx(1.0, abs=0.01)
    assert row["history"]["hours"] == pytest.approx(1 / 6, abs=0.01)
    assert [trial["alerts"] for trial in row["trials"]] == [[], [], []]
    assert "1.0 h more were scored with other profiles" in preview(shell, hall).stdout


def test_an_unknown_monitor_is_refused_with_what_is_near(shell, hall):
    assert_refused(preview(shell, hall, "--monitor", "pmup"), 2, "pmup", "did you mean pump?")
    assert_refused(preview(shell, hall, "--monitor", "xyz"), 2, "there is: pump")


def test_where_nothing_is_enrolled_that_is_said(shell, tmp_path):
    said = shell("threshold", "--state-dir", tmp_path / "nothing")
    assert_refused(said, 65, "no monitor is enrolled", "edge-asd enrol")


def test_a_monitor_that_heard_but_is_not_enrolled_any_more_is_refused(shell, hall):
    hall.hear((0.0, 60, 0.0), monitor="fan")
    said = preview(shell, hall, "--monitor", "fan")
    assert_refused(said, 65, "fan", "no profile")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--rate", "1"), "--preview"),
        (("--threshold", "1"), "--preview"),
        (("--days", "1"), "--preview"),
        (("--preview", "--rate", "0"), "--rate"),
        (("--preview", "--rate", "10001"), "--rate"),
        (("--preview", "--rate", "nan"), "nan"),
        (("--preview", "--threshold", "inf"), "inf"),
        (("--preview", "--days", "nan"), "nan"),
        (("--preview", "--days", "-1"), "--days"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused(shell, hall, options, word):
    options = options if isinstance(options, tuple) else tuple(options.split())
    assert_refused(shell("threshold", "--state-dir", hall.state, *options), 2, word)


def test_one_monitor_that_cannot_be_shown_does_not_hide_the_others(shell, hall):
    hall.hear((0.0, 600, -1.0))
    broken = hall.state / "profiles" / "broken"
    shutil.copytree(hall.state / "profiles" / "pump", broken)
    (broken / "profile.json").write_text("{}")
    said = preview(shell, hall, "--json")
    assert said.returncode == 65
    assert "broken" in said.stderr
    (answer,) = lines(said)
    assert [row["monitor"] for row in answer["monitors"]] == ["pump"]


def test_nothing_is_written_and_it_works_as_a_command_of_its_own(hall):
    hall.hear((0.0, 600, -1.0))
    before = {path: path.stat().st_mtime_ns for path in hall.state.rglob("*") if path.is_file()}
    said = cli("threshold", "--preview", "--state-dir", hall.state)
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def test_a_preview_can_be_had_while_a_daemon_holds_the_directory(hall):
    at_s = [hall.now_s - 3600.0]
    clock = SteadyClock(lambda: at_s[0], lambda: at_s[0])
    with StateLock(hall.state):
        history = History(hall.state, clock)
        for _ in range(2000):
            at_s[0] += hall.hop_s
            score = hall.profile.calibration.threshold + 1.0
            key = hall.profile.key
            history.add("pump", profile_key=key, hop_s=hall.hop_s, end_s=at_s[0], score=score)
            history.look()
        said = cli("threshold", "--preview", "--json", "--state-dir", hall.state)
        history.close()
    (row,) = monitors(said)
    assert 1700 <= row["history"]["scores"] < 2000  # without the newest minute
    assert [len(trial["alerts"]) for trial in row["trials"]] == [1, 1, 1]
    assert history.failure == ""


# Progress


class Terminal:
    def isatty(self):
        return True

    def write(self, text):
        return len(text)

    def flush(self):
        pass


def test_the_bar_appears_only_when_it_takes_more_than_a_second(monkeypatch):
    monkeypatch.setattr(bars.sys, "stderr", Terminal())
    now_s = [0.0]
    started = []
    with Bar(quiet=False, after_s=1.0, clock=lambda: now_s[0]) as bar:
        monkeypatch.setattr(bar._progress, "start", lambda: started.append(now_s[0]))
        for now_s[0] in (0.1, 0.9, 1.1, 2.0):
            bar.update(now_s[0] / 2.0, "pump")
    assert started == [1.1]
