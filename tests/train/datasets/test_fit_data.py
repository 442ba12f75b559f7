"""``fit --data`` on real layouts: classes, gain groups, and what it refuses before training."""

from __future__ import annotations

import pytest
import soundfile
from click.testing import CliRunner
from tones import tone

from edge_asd.errors import DataError, UsageError
from edge_asd_train.cli import main
from edge_asd_train.datasets import ClipStore
from edge_asd_train.prepare import Sources, prepare


def write(path, seed=0, seconds=0.7):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(500, seed, seconds), 16_000)


@pytest.fixture
def root(tmp_path):
    """One machine of two sections, one speed in the source domain, another in the target domain."""
    root, seed = tmp_path / "set", 0
    for section in ("00", "01"):
        for domain, speed in (("source", 5), ("target", 7)):
            for number in range(2):
                name = f"section_{section}_{domain}_train_normal_{number:04d}_vel_{speed}.wav"
                write(root / "fan" / "train" / name, seed := seed + 1)
            name = f"section_{section}_{domain}_test_normal_0000_vel_9.wav"
            write(root / "fan" / "test" / name, seed := seed + 1)
    return root


def silent_progress(_title, _total):
    return lambda: None


def test_classes_are_those_of_training_clips_and_gain_goes_by_section(root, tmp_path, recipe):
    clips, noise = prepare(tmp_path, recipe, Sources(root), progress=silent_progress)
    assert sorted(clips.classes) == [
        f"fan/{section}/vel={speed}/{domain}"
        for section in ("00", "01")
        for speed, domain in ((5, "source"), (7, "target"))
    ]
    assert sorted(clips.machine_names) == ["fan/00", "fan/01"]
    assert (len(clips), noise) == (8, None)


def test_the_layout_is_the_users_choice(root, tmp_path, recipe):
    sources = Sources(root, layout="plain")
    with pytest.raises(DataError, match="at least two"):  # one plain machine is one class
        prepare(tmp_path, recipe, sources, progress=silent_progress)
    with pytest.raises(UsageError, match="layout 1999"):
        prepare(tmp_path, recipe, Sources(root, layout="1999"), progress=silent_progress)


def test_one_class_beside_noise_will_do(root, tmp_path, recipe):
    write(tmp_path / "noise" / "rain" / "1.wav")
    sources = Sources(root, noise=tmp_path / "noise", layout="plain")
    clips, _ = prepare(tmp_path, recipe, sources, progress=silent_progress)
    assert clips.classes == ("fan/00", "noise/rain")


def test_fit_refuses_bad_clips_or_leaves_them_out(root, tmp_path, recipe):
    bad = root / "fan" / "train" / "section_00_source_train_normal_0001_vel_5.wav"
    bad.write_text("no audio")
    tiny, out = tmp_path / "tiny.yaml", tmp_path / "run"
    tiny.write_text(recipe.model_dump_json())  # JSON is YAML
    arguments = ["fit", "--recipe", tiny, "--data", root, "--layout", "2022"]
    arguments = [str(argument) for argument in [*arguments, "--out", out, "--steps", 1]]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 65
    assert bad.name in refused.stderr.splitlines()[-1]
    assert bad.name in (out / "data" / "findings.csv").read_text()
    done = CliRunner().invoke(main, [*arguments, "--invalid", "skip"])
    assert done.exit_code == 0, done.output
    assert len(ClipStore.open(out / "clips")) == 7
