"""Windows become what the scorers read, streaming or clip by clip."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.sound import RATE, blocks_of, machine
from support.tiny import HOP, SIZE, WINDOW, write_tiny_bundle

from edge_asd.audio import level_dbfs
from edge_asd.bundle import Bundle, Golden
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import OnnxEngine, open_networks
from edge_asd.errors import EngineError
from edge_asd.records import Window
from edge_asd.score.views import concatenate
from edge_asd.window import Windower


def streamed(networks, samples):
    windower, embedder = Windower(WINDOW, HOP, RATE), WindowEmbedder(networks)
    blocks = blocks_of(samples, range(777, len(samples), 777))
    return concatenate([embedder.embed(w) for block in blocks for w in windower.push(block)])


def assert_alike(a, b):
    assert len(a) == len(b)
    assert_allclose(a.levels_dbfs, b.levels_dbfs, atol=1e-4)
    for name, array in a.embeddings.items():
        assert_allclose(array, b.embeddings[name], rtol=1e-4, atol=1e-5)
    for name, array in a.features.items():
        assert_allclose(array, b.features[name], rtol=1e-4, atol=1e-4)


def test_a_view_holds_embeddings_features_and_the_level(tiny_networks):
    samples = machine("pump", 90.0)[:WINDOW]
    view = WindowEmbedder(tiny_networks).embed(Window(samples, 0, 0, 0.0))
    assert view.embeddings["tiny"].shape == (1, 1, SIZE)
    assert view.features["log_mel"].shape == (1, 256)
    assert view.levels_dbfs[0] == pytest.approx(level_dbfs(samples), abs=1e-3)


def test_a_stream_and_a_clip_give_the_same_views(tiny_networks):
    samples = machine("pump", 90.0)[: WINDOW + 20 * HOP]
    starts, views, padded = WindowEmbedder(tiny_networks).embed_clip(samples)
    assert (starts, padded) == ([n * HOP for n in range(21)], False)
    assert_alike(streamed(tiny_networks, samples), views)


def test_clips_do_not_depend_on_those_before(tiny_networks):
    first, second = machine("pump", 90.0)[: 2 * WINDOW], machine("pump", 90.0)[-2 * WINDOW - 99 :]
    embedder = WindowEmbedder(tiny_networks)
    embedder.embed_clip(first)
    _, after, _ = embedder.embed_clip(second)
    _, alone, _ = WindowEmbedder(tiny_networks).embed_clip(second)
    assert_alike(after, alone)


def test_a_short_clip_is_repeated_to_fill_a_window(tiny_networks):
    samples = machine("pump", 90.0)[: WINDOW // 3]
    starts, views, padded = WindowEmbedder(tiny_networks).embed_clip(samples)
    assert (starts, padded, len(views)) == ([0], True, 1)


def test_networks_that_miss_their_golden_vectors_never_score(tiny_bundle):
    golden = tiny_bundle.golden
    wrong = Golden(golden.waveforms, {"tiny": golden.embeddings["tiny"][::-1].copy()})
    bundle = Bundle(tiny_bundle.manifest, tiny_bundle.networks, wrong, {}, tiny_bundle.sha256)
    with pytest.raises(EngineError, match="misses golden vector 0"):
        open_networks(bundle)


def test_a_network_that_the_runtime_refuses_is_an_engine_error(tiny_bundle):
    broken = Bundle(tiny_bundle.manifest, {"tiny": b"junk"}, tiny_bundle.golden, {}, "0" * 64)
    with pytest.raises(EngineError, match="tiny-1/tiny: ONNX Runtime refuses"):
        open_networks(broken)


def test_an_embedding_that_is_no_number_is_an_engine_error(tiny_networks):
    samples = np.full(WINDOW, np.nan, np.float32)
    with pytest.raises(EngineError, match="not finite"):
        WindowEmbedder(tiny_networks).embed(Window(samples, 0, 0, 0.0))


def test_inputs_that_do_not_fit_are_an_engine_error(tiny_bundle):
    engine = OnnxEngine(tiny_bundle.networks["tiny"], "tiny")
    with pytest.raises(EngineError, match="tiny: inference failed"):
        engine.embed({"spectrum": np.zeros((1, 3, 1), np.float32)})
    engine.close()


def test_another_network_is_another_embedding(tmp_path, tiny_networks):
    other = open_networks(write_tiny_bundle(tmp_path / "o.asd", seed=5))
    window = Window(machine("pump", 90.0)[:WINDOW], 0, 0, 0.0)
    ours = WindowEmbedder(tiny_networks).embed(window).embeddings["tiny"]
    theirs = WindowEmbedder(other).embed(window).embeddings["tiny"]
    assert np.abs(ours - theirs).max() > 0.1
