"""The alternative scores as the product does, or there is no contest."""

from __future__ import annotations

import copy
from datetime import datetime, timezone

import numpy as np
import pytest
import torch

from benchmarks.alternative import Alternative, Hearing, NumpyFrontEnd, mel_filters, references_of
from benchmarks.performance import contest
from edge_asd.bench.subject import prepare
from edge_asd.engine import open_networks
from edge_asd.features import mel_filterbank
from edge_asd_train.checkpoint import Checkpoint
from edge_asd_train.export import Label, export_bundle, trained_network
from edge_asd_train.learner import Learner
from edge_asd_train.recipe import Recipe


class TinyMaterial:
    """A bundle of half-second windows with weights as they were drawn."""

    def __init__(self, folder):
        fields = {"name": "tiny", "window_s": 0.5, "hop_s": 0.48, "steps": 1}
        recipe = Recipe.model_validate(fields)
        learner = Learner(recipe, 3).state_dict()
        about = {"classes": ("a", "b", "c"), "sources": {}, "losses": {}}
        self._checkpoint = Checkpoint(
            recipe, step=1, seconds=0.0, finished=True, learner=learner, optimiser={}, **about
        )
        now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        label = Label("tiny", "1")
        self._bundle = export_bundle(folder / "tiny-1.asd", self._checkpoint, label, now=now)

    def bundle(self):
        return self._bundle

    def checkpoint(self):
        return self._checkpoint


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return TinyMaterial(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="module")
def subject(material):
    networks = open_networks(material.bundle())
    yield prepare(networks, lambda _done, _what: None)
    networks.close()


@pytest.fixture(autouse=True)
def threads():
    """A contest keeps torch to one thread; the tests after it need not."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_everybody_scores_as_the_alternative_does_and_takes_every_turn(material):
    found = contest.measure(material, rounds=2, windows=3)
    names = list(found["contestants"])
    assert names[0] == contest.ALTERNATIVE
    assert {"pipeline, onnxruntime fp32, scipy", "engine, torch fp32"} <= set(names)
    exact = {name: apart for name, apart in found["parity"]["largest"].items() if "fp32" in name}
    assert exact
    assert max(exact.values()) < 1e-3
    assert all(one["windows_per_s"]["low"] > 0 for one in found["contestants"].values())
    for one in names:
        assert set(found["ratios"][one]) == set(names) - {one}


def test_an_alternative_with_other_weights_ends_the_contest(material, subject):
    network = trained_network(material.checkpoint())
    wrong = copy.deepcopy(network)
    with torch.no_grad():
        wrong.spectrogram_branch.dense.weight.mul_(-1.0)
    rate = subject.manifest.sample_rate

    def entrant(name, net):
        plain = Alternative(Hearing(net, NumpyFrontEnd(rate)), subject.manifest, subject.profile)
        for _, samples in contest.hops(subject, until_full=True):
            plain.push(samples)
        return contest.Contestant(name, lambda hop: plain.push(hop[1]))

    stream = contest.hops(subject)
    sound = [next(stream) for _ in range(4)]
    same = contest.check_parity([entrant("a", network), entrant("b", network)], sound)
    assert same == {"b": 0.0}
    with pytest.raises(ValueError, match="b: a score differs"):
        contest.check_parity([entrant("a", network), entrant("b", wrong)], sound)


def test_the_alternative_refuses_what_it_does_not_know(subject):
    level_alone = subject.manifest.model_copy(update={"scorers": subject.manifest.scorers[2:]})
    with pytest.raises(ValueError, match="scorers level"):
        references_of(level_alone, subject.profile)
    (network,) = subject.manifest.networks
    halved = {"spectrogram": network.inputs["spectrogram"]}
    other = network.model_copy(update={"inputs": halved})
    with pytest.raises(ValueError, match="features of FeatEx"):
        references_of(subject.manifest.model_copy(update={"networks": (other,)}), subject.profile)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_mel_filters_are_those_of_the_product(rate):
    expected = mel_filterbank(rate, 1024, 128, 0.0, rate / 2)
    np.testing.assert_allclose(mel_filters(rate), expected, atol=1e-7)


def test_the_sound_goes_on_where_it_ended(subject):
    stream = contest.hops(subject)
    found = [next(stream) for _ in range(3)]
    hop = subject.manifest.hop_samples
    first = subject.manifest.window_samples - hop
    assert [start for start, _ in found] == [first, first + hop, first + 2 * hop]
    heard = np.concatenate([samples for _, samples in found])
    np.testing.assert_array_equal(heard, subject.sound[first : first + 3 * hop])
