"""A bundle is written only when ONNX Runtime and torch agree."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tones import tone, tones

from edge_asd.bundle import load_bundle
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import EngineRequest, OnnxEngine, cosine_distance, open_networks
from edge_asd.errors import BundleError, DataError, EngineError
from edge_asd.score import cross_fit, fit_detector
from edge_asd.score.views import concatenate
from edge_asd_train import parity
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.cli import main
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.datasets.fingerprint import clips_fingerprint
from edge_asd_train.export import Extras, Label, export_bundle
from edge_asd_train.loop import CHECKPOINT, Run
from edge_asd_train.parity import golden_waveforms, network_inputs, parity_distance
from edge_asd_train.recipe import Recipe
from edge_asd_train.references import clusters_of, machine_centres

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
LABEL = Label("tiny", "1")


@pytest.fixture(scope="module")
def recipe():
    """As everywhere, but once for all tests: nothing here changes a run."""
    fields = {"name": "tiny", "window_s": 0.5, "hop_s": 0.032, "steps": 6, "batch": 6}
    fields |= {"batch_norm_batches": 3, "checkpoint_steps": 100}
    fields |= {"gain": {"per_machine": True, "jitter_db": 3}, "loss": {"subclusters": 2}}
    return Recipe.model_validate(fields)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore.create(tmp_path_factory.mktemp("store") / "clips", [tones()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe, store):
    """Folder of a finished run, without clips."""
    folder = tmp_path_factory.mktemp("run")
    sources = {"simulated_machines": 3, "data": None, "noise": "sounds", "clips": 12}
    Run(folder, recipe, Batches(store, recipe), sources=sources).train()
    return folder


@pytest.fixture(scope="module")
def checkpoint(trained):
    return load_checkpoint(trained / CHECKPOINT)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, checkpoint):
    """The bundle of the run in fp32."""
    path = tmp_path_factory.mktemp("plain") / "tiny-1.asd"
    return export_bundle(path, checkpoint, LABEL, now=NOW)


def test_a_bundle_says_what_is_in_it(plain, recipe):
    bundle = load_bundle(plain.path)
    assert bundle.sha256 == plain.sha256
    manifest = bundle.manifest
    (network,) = manifest.networks
    assert bundle.label == "tiny-1"
    assert manifest.created_at == "2026-01-02T03:04:05Z"
    assert (manifest.window_samples, manifest.hop_samples) == (8000, 512)
    assert (network.id, network.embedding_size, network.segments) == ("featex", 256, 1)
    assert network.parameters > 2_000_000
    assert network.macs > 1_000_000
    assert manifest.recipe["optimiser"]["eps"] == recipe.optimiser.eps
    assert [scorer.kind for scorer in manifest.scorers] == ["centres", "neighbours", "level"]
    assert [one.licence for one in manifest.provenance] == ["Apache-2.0", "unknown"]
    assert manifest.metrics["training"]["steps"] == recipe.steps
    assert bundle.golden.waveforms.shape == (10, 8000)


def test_the_engine_reproduces_the_golden_vectors_in_any_batch(plain, recipe):
    bundle = plain
    engine = OnnxEngine(bundle.networks["featex"], "featex")
    inputs = network_inputs(bundle.golden.waveforms, recipe)
    want = bundle.golden.embeddings["featex"]
    for size in (1, 3, 10):
        got = engine.embed({name: array[:size] for name, array in inputs.items()})
        np.testing.assert_allclose(got, want[:size], rtol=1e-3, atol=1e-4 * np.abs(want).max())
    assert np.ptp(want, axis=0).max() > 0  # they are not all the same


def test_a_network_that_differs_is_refused_and_nothing_is_written(
    tmp_path, checkpoint, monkeypatch
):
    honest = parity.embed
    monkeypatch.setattr(parity, "embed", lambda *given: honest(*given)[:, :, ::-1].copy())
    with pytest.raises(BundleError, match="from torch"):
        export_bundle(tmp_path / "tiny-1.asd", checkpoint, LABEL, now=NOW)
    assert not (tmp_path / "tiny-1.asd").exists()


def test_the_parity_distance_is_the_largest_cosine_distance(plain, recipe):
    bundle = plain
    inputs = network_inputs(bundle.golden.waveforms, recipe)
    turned = bundle.golden.embeddings["featex"].copy()
    turned[3] *= -1
    distance = parity_distance(bundle.networks["featex"], inputs, turned)
    assert distance == pytest.approx(2.0, abs=1e-4)


def test_an_unfinished_run_is_refused(tmp_path, recipe, store):
    Run(tmp_path, recipe, Batches(store, recipe)).train(stop=lambda: True)
    with pytest.raises(DataError, match="--resume"):
        export_bundle(tmp_path / "x-1.asd", load_checkpoint(tmp_path / CHECKPOINT), LABEL, now=NOW)


def test_golden_waveforms_are_the_same_every_time_and_lie_around_the_reference(recipe):
    first, second = (golden_waveforms(recipe) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    level = 10 * np.log10(np.mean((first / 32768.0) ** 2, axis=1))
    assert (np.abs(level + 26) < 7).all()


# fp16


@pytest.fixture(scope="module")
def halved(tmp_path_factory, checkpoint, store):
    """The bundle of the run with everything in it."""
    path = tmp_path_factory.mktemp("half") / "half-1.asd"
    extras = Extras("fp16", store)
    return export_bundle(path, checkpoint, LABEL, now=NOW, extras=extras)


def test_an_fp16_bundle_holds_both_precisions_and_says_how_far_each_is_off(halved):
    bundle = load_bundle(halved.path)
    (network,) = bundle.manifest.networks
    exact, half = network.precisions
    assert (exact.precision, half.precision) == ("fp32", "fp16")
    assert (exact.bytes, half.bytes) == tuple(
        len(bundle.network("featex", precision)) for precision in ("fp32", "fp16")
    )
    assert half.bytes < 0.6 * exact.bytes
    assert exact.cosine_distance < 1e-6 < half.cosine_distance < 1e-4
    assert (exact.parity_tolerance, half.parity_tolerance) == (1e-4, 1e-3)
    assert set(bundle.manifest.files) >= {"networks/featex.onnx", "networks/featex.fp16.onnx"}


def test_an_fp16_bundle_scores_like_fp32(halved):
    rng = np.random.default_rng(0)
    clips = [tone(500, seed, seconds=0.5) / 32768.0 for seed in range(12)]
    clips += [rng.normal(scale=0.1, size=8000)]  # something else
    scores = {}
    for precision in ("fp32", "fp16"):
        networks = open_networks(halved, EngineRequest(precision=precision))
        embedder = WindowEmbedder(networks)
        views = [embedder.embed_clip(clip.astype(np.float32))[1] for clip in clips]
        normal = concatenate(views[:10])
        folds = np.arange(10) % 2
        excluded = [folds == fold for fold in range(2)]
        standards, _ = cross_fit(halved.manifest, normal, folds, excluded, 0)
        detector = fit_detector(halved.manifest, normal, None, standards, np.random.default_rng(0))
        scores[precision] = detector.score(concatenate(views[10:])).scores
        networks.close()
    np.testing.assert_allclose(scores["fp16"], scores["fp32"], rtol=0.02, atol=0.05)
    assert scores["fp16"][-1] > 2 * np.abs(scores["fp16"][:-1]).max()


def test_an_fp16_network_that_misses_its_golden_vectors_is_not_opened(halved):
    turned = {"featex": -halved.golden.embeddings["featex"]}
    golden = dataclasses.replace(halved.golden, embeddings=turned)
    with pytest.raises(EngineError, match=r"misses golden vector 0 .*tolerance 1e-03"):
        open_networks(dataclasses.replace(halved, golden=golden), EngineRequest(precision="fp16"))


def test_an_fp16_network_that_is_too_far_off_is_refused_and_nothing_is_written(
    tmp_path, checkpoint, monkeypatch
):
    monkeypatch.setitem(parity.MAX_DISTANCE, "fp16", 1e-9)
    with pytest.raises(BundleError, match=r"x-1.asd: the fp16 network is .* nothing was written"):
        export_bundle(tmp_path / "x-1.asd", checkpoint, LABEL, now=NOW, extras=Extras("fp16"))
    assert not (tmp_path / "x-1.asd").exists()


def test_an_fp16_network_that_only_rounding_spoils_is_refused(tmp_path, checkpoint, monkeypatch):
    # Rounded, not merely run by ONNX Runtime, which computes in fp32 on most processors.
    honest = parity.rounded_network
    monkeypatch.setattr(parity, "rounded_network", lambda half: scrambled(honest(half)))
    with pytest.raises(BundleError, match="the fp16 network is"):
        export_bundle(tmp_path / "x-1.asd", checkpoint, LABEL, now=NOW, extras=Extras("fp16"))


def scrambled(network):
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string(network)
    for one in model.graph.initializer:
        array = numpy_helper.to_array(one)
        if array.ndim == 2:
            one.CopyFrom(numpy_helper.from_array(array[::-1].copy(), one.name))
    return model.SerializeToString()


def test_a_bundle_without_fp16_says_so_when_it_is_asked_for(plain):
    with pytest.raises(BundleError, match="holds no fp16 network featex; use fp32"):
        open_networks(plain, EngineRequest(precision="fp16"))


# References, fingerprint, metrics


def test_every_machine_leaves_centres_that_lie_among_its_own_sounds(halved, checkpoint, store):
    bundle = halved
    assert set(bundle.references) == {"tone-0", "tone-1", "tone-2"}
    assert bundle.manifest.references.clusters == 8  # two windows of each of four clips
    networks = open_networks(bundle)
    level = store.machine_levels_dbfs()
    for machine, name in enumerate(store.machine_names):
        gain = np.float32(10 ** ((-26.0 - level[machine]) / 20))
        window = store.window(int(np.flatnonzero(store.machines == machine)[0]), 0, 8000) * gain
        inputs = network_inputs(np.rint(window * 32768)[None].astype(np.int16), checkpoint.recipe)
        z = networks.embed({f"featex/{key}": value for key, value in inputs.items()})["featex"][0]
        own = cosine_distance(bundle.references[name], z).min()
        others = [
            cosine_distance(centres, z).min()
            for other, centres in bundle.references.items()
            if other != name
        ]
        assert own < 1e-4  # the window is one of its centres, but for the rounding to 16 bits
        assert own < min(others)
    networks.close()


def test_the_same_run_gives_the_same_bytes(tmp_path, halved, checkpoint, store):
    extras = Extras("fp16", store)
    again = export_bundle(tmp_path / "b-1.asd", checkpoint, LABEL, now=NOW, extras=extras)
    assert again.path.read_bytes() == halved.path.read_bytes()


def test_clips_of_another_run_are_refused(tmp_path, checkpoint, store):
    other = dataclasses.replace(store, classes=("x", "y", "z"))
    with pytest.raises(DataError, match="other classes"):
        export_bundle(
            tmp_path / "tiny-1.asd", checkpoint, LABEL, now=NOW, extras=Extras(clips=other)
        )


# The command


@pytest.fixture
def finished(tmp_path, trained):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / CHECKPOINT).symlink_to(trained / CHECKPOINT)
    return folder


def exported(tmp_path, finished, *arguments, name="own-1.asd", env=None):
    command = ["export", "--run", finished, "--out", tmp_path / name, *arguments]
    return CliRunner().invoke(main, [str(one) for one in command], env=env)


def evaluation(path, **changes):
    result = {
        "rules": 2023,
        "official": 0.7125,
        "hmean": {"auc_source": 0.8},
        "ci95": [0.68, 0.74],
        "machines": {"fan": {}},
        "method": "run, ldn",
        "scorer": "ldn",
        "engine": "onnx",
        "network": {"label": "run", "sha256": "0" * 64},
        "data": {"folder": "simset", "layout": "2023", "clips": 10, "fingerprint": "1" * 64},
    }
    path.write_text(json.dumps(result | changes))
    return path


def test_the_command_takes_measured_figures_into_the_manifest(tmp_path, finished):
    first = evaluation(tmp_path / "a.json")
    second = evaluation(tmp_path / "b.json", official=0.5, engine="torch")
    done = exported(tmp_path, finished, "--metrics", first, "--metrics", second)
    assert done.exit_code == 0, done.output
    assert "a.json: measured on run, not on this checkpoint" in done.stderr
    found = load_bundle(tmp_path / "own-1.asd").manifest.metrics["evaluations"]
    assert [(one["official"], one["engine"]) for one in found] == [
        (0.7125, "onnx"),
        (0.5, "torch"),
    ]
    assert (found[0]["scorer"], found[0]["data"]["folder"]) == ("ldn", "simset")
    assert "machines" not in found[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "no result of evaluate"),
        ('{"official": 0.5, "data": {}, "network": null}', "not measured on a network"),
        ('{"official": null, "data": {}, "network": {}}', "no official score"),
        ('{"official": NaN, "data": {}, "network": {}}', "no official score"),
    ],
)
def test_figures_that_are_none_are_refused(tmp_path, finished, text, says):
    path = tmp_path / "e.json"
    path.write_text(text)
    done = exported(tmp_path, finished, "--metrics", path)
    assert done.exit_code == 65
    assert says in done.stderr
    assert not (tmp_path / "own-1.asd").exists()


def test_the_time_of_creation_can_be_given(tmp_path, finished):
    given = exported(tmp_path, finished, "--created-at", "2026-03-04T06:06:07+01:00")
    assert given.exit_code == 0, given.output
    assert load_bundle(tmp_path / "own-1.asd").manifest.created_at == "2026-03-04T05:06:07Z"
    epoch = exported(tmp_path, finished, name="o-2.asd", env={"SOURCE_DATE_EPOCH": "86400"})
    assert epoch.exit_code == 0, epoch.output
    assert load_bundle(tmp_path / "o-2.asd").manifest.created_at == "1970-01-02T00:00:00Z"
    for options in ({"env": {"SOURCE_DATE_EPOCH": "x"}}, {}):
        arguments = () if options else ("--created-at", "yesterday")
        wrong = exported(tmp_path, finished, *arguments, name="w-1.asd", **options)
        assert wrong.exit_code == 2
        assert ("SOURCE_DATE_EPOCH" if options else "--created-at") in wrong.stderr


def test_clips_that_are_gone_cost_the_references_and_one_line(tmp_path, finished, store):
    without = exported(tmp_path, finished)
    assert without.exit_code == 0, without.output
    assert "without references and data fingerprint: " in without.stderr
    manifest = load_bundle(tmp_path / "own-1.asd").manifest
    assert (manifest.references, manifest.data_fingerprint) == (None, None)
    (finished / "clips").symlink_to(Path(store.samples.filename).parent)
    with_clips = exported(tmp_path, finished, "--precision", "fp16", name="own-2.asd")
    assert with_clips.exit_code == 0, with_clips.output
    assert "without" not in with_clips.stderr
    bundle = load_bundle(tmp_path / "own-2.asd")
    assert len(bundle.references) == 3
    assert len(bundle.manifest.data_fingerprint) == 64
    assert bundle.networks_fp16


# References of many machines, and of faulty ones


def test_faulty_clips_leave_no_centres(store, recipe):
    def embed(windows):  # the spectrum in 16 bands
        power = np.abs(np.fft.rfft(windows)[:, :4000]).reshape(len(windows), 1, 16, -1)
        return power.mean(axis=-1).astype(np.float32)

    whole = machine_centres(store, recipe, embed, 16)
    faulty = np.zeros(len(store), bool)
    faulty[np.flatnonzero(store.labels == 1)[:3]] = True
    fewer = machine_centres(dataclasses.replace(store, faulty=faulty), recipe, embed, 16)
    assert {name: len(z) for name, z in whole.items()} == dict.fromkeys(whole, 8)
    assert {name: len(z) for name, z in fewer.items()} == {"tone-0": 8, "tone-1": 2, "tone-2": 8}
    np.testing.assert_array_equal(fewer["tone-2"], whole["tone-2"])


@pytest.mark.parametrize(("machines", "clusters"), [(1, 16), (128, 16), (400, 5), (4096, 1)])
def test_the_centres_of_many_machines_stay_within_a_mebibyte(machines, clusters):
    assert clusters_of(machines, 256) == clusters
    assert clusters == 1 or 2 * 256 * machines * clusters <= 2**20


def test_the_fingerprint_is_that_of_the_clips_in_any_order(store):
    def same_clips(order, **changes):
        arrays = ("starts", "lengths", "labels", "machines", "faulty")
        kept = {name: getattr(store, name)[order] for name in arrays}
        return clips_fingerprint(dataclasses.replace(store, **kept, **changes))

    order = np.arange(len(store))
    first = same_clips(order)
    assert same_clips(order[::-1]) == first
    assert same_clips(order[:-1]) != first
    assert same_clips(order, classes=("a", *store.classes[1:])) != first
    assert same_clips(order, samples=store.samples[::-1]) != first
