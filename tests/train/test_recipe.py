"""A recipe is typed, whole and refuses what it does not know."""

from __future__ import annotations

import pytest

from edge_asd.errors import ConfigError
from edge_asd_train.recipe import Recipe, load_recipe


def write(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_published_recipe_is_the_published_one():
    recipe = load_recipe("published")
    assert (recipe.epochs, recipe.batch, recipe.steps) == (10, 64, None)
    optimiser = recipe.optimiser
    assert (optimiser.learning_rate, optimiser.schedule) == (1e-3, "constant")
    assert (optimiser.beta1, optimiser.beta2, optimiser.eps, optimiser.l2) == (
        0.9,
        0.999,
        1e-7,
        1e-5,
    )
    assert (recipe.loss.supervised, recipe.loss.statex, recipe.loss.featex) == (1, 0, 1)
    assert not recipe.gain.per_machine
    assert recipe.gain.jitter_db == 0
    assert recipe.background.probability == 0


def test_the_general_recipe_normalises_levels_as_a_device_does():
    recipe = load_recipe("general")
    assert recipe.gain.per_machine
    assert (recipe.gain.reference_dbfs, recipe.gain.jitter_db) == (-26, 6)
    assert (recipe.window_samples, recipe.hop_samples) == (160_000, 15_872)
    assert [one.licence for one in recipe.provenance] == ["CC BY 3.0"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: x\nsteps: 1\nlearning_rate: 1\n", "learning_rate"),
        ("name: x\nsteps: 1\noptimiser: {momentum: 1}\n", "optimiser.momentum"),
        ("name: x\nsteps: 1\naugment: {mixup: 1.5}\n", "augment.mixup"),
        ("name: x\nsteps: 1\nepochs: 1\n", "steps or epochs"),
        ("name: x\n", "steps or epochs"),
        ("name: x\nsteps: 1\nhop_s: 0.9\n", "hop_s"),
        ("name: x\nsteps: 1\nwindow_s: 0.5\n", "hop_s exceeds"),
        ("name: x\nsteps: 1\nbackground: {snr_db: [9, 3]}\n", "snr_db"),
        ("name: x\nsteps: 1\nloss: {supervised: 0, featex: 0}\n", "weight zero"),
        ("- 1\n", "mapping"),
        ("name: [\n", "not YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, named):
    with pytest.raises(ConfigError, match=named) as caught:
        load_recipe(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="general, published"):
        load_recipe("generel")


def test_a_recipe_survives_being_written_down():
    recipe = load_recipe("general")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_changes_are_validated_and_steps_replace_epochs():
    recipe = load_recipe("published").changed(steps=5, seed=None)
    assert (recipe.steps, recipe.epochs, recipe.seed) == (5, None, 0)
    with pytest.raises(ConfigError, match="max_minutes"):
        recipe.changed(max_minutes=-1)


def test_epochs_count_whole_batches():
    assert load_recipe("published").total_steps(clips=640) == 100
    assert load_recipe("published").total_steps(clips=3) == 10
