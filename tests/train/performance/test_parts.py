"""A run keeps what it has: parts may fail, and what was interrupted goes on."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

from benchmarks.performance import __main__ as command
from benchmarks.performance import parts
from benchmarks.performance.parts import PARTS, Outcome, Part, Setting


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path / "run", None)


@pytest.fixture
def ran(monkeypatch):
    """Parts that were run, in order, and what becomes of them."""

    class Ran(list):
        problems: dict[str, str]
        interrupt_at: str | None = None

        def __call__(self, part, _setting):
            if part.name == self.interrupt_at:
                raise KeyboardInterrupt
            self.append(part.name)
            problem = self.problems.get(part.name, "")
            return Outcome(None if problem else {"turn": len(self)}, 1.0, problem)

    found = Ran()
    found.problems = {}
    monkeypatch.setattr(command, "run", found)
    return found


def measured(setting, *only, again=False):
    setting.folder.mkdir(exist_ok=True)
    file = setting.folder / "performance.json"
    command.measure(setting, file, set(only), again=again)
    return json.loads(file.read_text())


def test_a_part_that_fails_leaves_the_others(setting, ran):
    ran.problems["contest"] = "exit code 1: it fell over"
    found = measured(setting)
    assert found["complete"]
    assert found["parts"]["contest"]["figures"] is None
    assert found["parts"]["contest"]["problem"] == "exit code 1: it fell over"
    assert all(part["figures"] for name, part in found["parts"].items() if name != "contest")


def test_what_was_interrupted_goes_on_and_what_is_complete_begins_anew(setting, ran):
    names = [part.name for part in PARTS]
    ran.interrupt_at = names[3]
    with pytest.raises(KeyboardInterrupt):
        measured(setting)
    assert ran == names[:3]
    ran.interrupt_at = None
    assert measured(setting)["complete"]
    assert ran == names
    measured(setting)
    assert ran == names + names


def test_what_was_interrupted_begins_anew_when_asked_to(setting, ran):
    names = [part.name for part in PARTS]
    ran.interrupt_at = names[1]
    with pytest.raises(KeyboardInterrupt):
        measured(setting)
    ran.interrupt_at = None
    measured(setting, again=True)
    assert ran == names[:1] + names


def test_one_part_is_measured_again_and_the_others_are_kept(setting, ran):
    before = measured(setting)
    after = measured(setting, "roof")
    assert ran[len(PARTS) :] == ["roof"]
    changed = [name for name in before["parts"] if before["parts"][name] != after["parts"][name]]
    assert changed == ["roof"]
    assert after["complete"]


def test_an_unknown_part_is_refused_with_those_there_are():
    with pytest.raises(SystemExit, match="tea: unknown; there are prepare, contest"):
        command._chosen("roof,tea")


def stand_in(monkeypatch, script):
    """Run this in place of a part's process."""
    popen = parts.subprocess.Popen
    monkeypatch.setattr(
        parts.subprocess,
        "Popen",
        lambda _command, **options: popen([sys.executable, "-c", script], **options),
    )


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("print('so far so good'); raise SystemExit('no such file')", "exit code 1: no such file"),
        ("import os; print('here'); os.abort()", "ended by signal 6: here"),
        ("import time; time.sleep(600)", "not finished after 1 s"),
        ("pass", "it left no figures"),
    ],
)
def test_why_a_part_has_no_figures_is_said(setting, monkeypatch, script, problem):
    stand_in(monkeypatch, "import sys; sys.stdout.reconfigure(line_buffering=True); " + script)
    part = Part("roof", "what the core could do", 1.0, dict)
    if "sleep" not in script:
        part = dataclasses.replace(part, limit_s=300.0)
    outcome = parts.run(part, setting)
    assert outcome.figures is None
    assert outcome.problem == problem


def test_figures_of_an_earlier_run_are_not_taken_for_those_of_this_one(setting, monkeypatch):
    left = setting.folder / "parts" / "roof.json"
    left.parent.mkdir(parents=True)
    left.write_text('{"from": "before"}')
    stand_in(monkeypatch, "pass")
    assert parts.run(Part("roof", "", 300.0, dict), setting).figures is None


def test_a_part_writes_what_it_measured(setting, monkeypatch):
    (setting.folder / "parts").mkdir(parents=True)
    part = Part("tea", "", 1.0, lambda given: {"folder": given.folder.name}, pinned=False)
    monkeypatch.setattr(parts, "PARTS", (part,))
    parts.run_here("tea", setting)
    assert json.loads((setting.folder / "parts" / "tea.json").read_text()) == {"folder": "run"}
