"""A recipe is typed, whole and refuses what it does not know."""

from __future__ import annotations

import pytest

from edge_asd.errors import ConfigError
from edge_asd_train.datasets.simulated import FAULTY_CLIPS, NORMAL_CLIPS
from edge_asd_train.recipe import Recipe, load_recipe
from edge_asd_train.recipe_parts import Augment, FeatExNetwork, Trainable

PLAIN = "augment: {mixup: 0, statex: 0, featex: 0}\n"


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
    assert recipe.loss.trainable == Trainable(supervised=False, statex=True, featex=True)
    assert (recipe.loss.head, recipe.loss.subclusters) == ("adacos", 16)
    assert recipe.augment == Augment(mixup=0.5, statex=0.5, statex_time=0, featex=0.5)
    assert not recipe.gain.per_machine
    assert recipe.gain.jitter_db == 0
    assert recipe.background.probability == 0


def test_the_paper_differs_from_the_publication_in_the_weight_of_one_head():
    paper, published = load_recipe("paper"), load_recipe("published")
    assert (paper.loss.supervised, paper.loss.statex, paper.loss.featex) == (1, 1, 1)
    loss = {**published.loss.model_dump(), "statex": 1}
    assert published.changed(name="paper", loss=loss) == paper


def test_the_cpu_profile_has_the_published_losses_on_short_windows():
    profile, published = load_recipe("featex-cpu"), load_recipe("published")
    assert (profile.window_samples, profile.hop_samples) == (32_000, 15_872)
    assert (profile.steps, profile.batch) == (500, 32)
    assert profile.loss == published.loss
    assert profile.augment == published.augment
    assert (profile.gain.per_machine, profile.gain.jitter_db) == (True, 6)


@pytest.mark.parametrize("word", ["true", "false"])
def test_one_word_makes_all_heads_learn_or_none(tmp_path, word):
    loss = f"loss: {{trainable: {word}, head: adaproj}}"
    recipe = load_recipe(write(tmp_path, f"name: x\nsteps: 1\n{loss}\n"))
    wanted = word == "true"
    trainable = recipe.loss.trainable
    assert (trainable.supervised, trainable.statex, trainable.featex) == (wanted,) * 3
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_a_recipe_from_before_the_time_axis_and_adaproj_means_what_it_meant():
    old = {
        "name": "old",
        "steps": 1,
        "augment": {"mixup": 0.5, "statex": 0.5, "featex": 0.5},
        "loss": {"supervised": 1, "statex": 0, "featex": 1, "subclusters": 16, "scale": "fixed"},
    }
    recipe, published = Recipe.model_validate(old), load_recipe("published")
    assert recipe.augment == published.augment
    assert recipe.loss == published.loss


@pytest.mark.parametrize(
    ("augment", "blocks"),
    [
        ({}, (3, 9)),
        ({"featex": 0}, (3, 3)),
        ({"statex": 0}, (1, 3)),
        ({"statex": 0, "statex_time": 0.5}, (3, 9)),
        ({"statex": 0, "featex": 0}, (1, 1)),
    ],
)
def test_labels_are_split_by_the_exchanges_that_are_on(augment, blocks):
    chances = Augment(**augment)
    assert (chances.statex_blocks, chances.featex_blocks) == blocks


def test_the_general_recipe_normalises_levels_as_a_device_does():
    recipe = load_recipe("general")
    assert recipe.gain.per_machine
    assert (recipe.gain.reference_dbfs, recipe.gain.jitter_db) == (-26, 6)
    assert (recipe.window_samples, recipe.hop_samples) == (160_000, 15_872)


def test_the_general_recipe_hears_simulated_machines_alone_and_their_faults():
    recipe = load_recipe("general")
    assert (recipe.network.kind, recipe.provenance) == ("bands", ())
    assert recipe.batch == recipe.episodes.batch
    assert recipe.background.probability == 0
    # A unit has enough clips of both.
    assert recipe.episodes.normal <= sum(NORMAL_CLIPS.values())
    assert recipe.episodes.faulty <= sum(FAULTY_CLIPS.values())


def test_a_recipe_from_before_other_networks_is_that_of_featex_and_of_classes():
    recipe = Recipe.model_validate({"name": "old", "steps": 1})
    assert (recipe.network, recipe.episodes) == (FeatExNetwork(), None)
    assert recipe.network.magnitude == "linear"
    assert recipe.augment.colour_db == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: x\nsteps: 1\nlearning_rate: 1\n", "learning_rate"),
        ("name: x\nsteps: 1\noptimiser: {momentum: 1}\n", "optimiser.momentum"),
        ("name: x\nsteps: 1\naugment: {mixup: 1.5}\n", "augment.mixup"),
        ("name: x\nsteps: 1\naugment: {statex_time: 2}\n", "augment.statex_time"),
        ("name: x\nsteps: 1\nloss: {head: arcface}\n", "loss.head"),
        ("name: x\nsteps: 1\nloss: {trainable: {h1: true}}\n", "loss.trainable.h1"),
        ("name: x\nsteps: 1\nloss: {trainable: some}\n", "loss.trainable"),
        ("name: x\nsteps: 1\nepochs: 1\n", "steps or epochs"),
        ("name: x\n", "steps or epochs"),
        ("name: x\nsteps: 1\nhop_s: 0.9\n", "hop_s"),
        ("name: x\nsteps: 1\nwindow_s: 0.5\n", "hop_s exceeds"),
        ("name: x\nsteps: 1\nbackground: {snr_db: [9, 3]}\n", "snr_db"),
        ("name: x\nsteps: 1\nloss: {supervised: 0, featex: 0}\n", "weight zero"),
        ("name: x\nsteps: 1\nscorers: knn+nope\n", "scorers: .*'nope'"),
        ("name: x\nsteps: 1\nscorers: knn+knn\n", "scorers: .*twice"),
        ("name: x\nsteps: 1\nfusion: sum\n", "fusion"),
        ("name: x\nsteps: 1\nnetwork: {kind: resnet}\n", "network"),
        ("name: x\nsteps: 1\nnetwork: {kind: featex, bands: 8}\n", r"network\.featex\.bands"),
        (f"name: x\nsteps: 1\n{PLAIN}network: {{kind: bands, kernel: 4}}\n", "kernel: an odd"),
        (f"name: x\nsteps: 1\n{PLAIN}network: {{kind: bands, bands: 4}}\n", r"bands\.bands"),
        ("name: x\nsteps: 1\nnetwork: {kind: bands}\n", "augment: network bands"),
        (f"name: x\nsteps: 1\n{PLAIN}episodes: {{}}\n", "batch: 64 is not .* 224"),
        (f"name: x\nsteps: 1\n{PLAIN}episodes: {{normal: 1}}\n", r"episodes\.normal"),
        ("- 1\n", "mapping"),
        ("name: [\n", "not YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, named):
    with pytest.raises(ConfigError, match=named) as caught:
        load_recipe(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("exchange", ["featex", "statex", "statex_time", "mixup"])
def test_what_mixes_clips_is_refused_with_episodes_and_what_exchanges_branches_with_bands(exchange):
    plain = {"mixup": 0, "statex": 0, "featex": 0}
    fields = {"name": "x", "steps": 1, "batch": 224, "episodes": {}, "augment": plain}
    Recipe.model_validate(fields)
    with pytest.raises(ValueError, match=f"augment: episodes .*{exchange}"):
        Recipe.model_validate({**fields, "augment": {**plain, exchange: 0.1}})
    bands = {"name": "x", "steps": 1, "network": {"kind": "bands"}}
    if exchange == "mixup":  # two clips in one are a clip to it
        Recipe.model_validate({**bands, "augment": {**plain, exchange: 0.1}})
        return
    with pytest.raises(ValueError, match=f"augment: network bands .*{exchange}"):
        Recipe.model_validate({**bands, "augment": {**plain, exchange: 0.1}})


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="featex-cpu, general, paper, published"):
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
