"""Clips are levelled, cut and embedded as in training, and embedded only once."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from tones import RATE, tone

from edge_asd.audio import level_dbfs
from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.evaluate.clips import ClipEmbedder
from edge_asd_train.evaluate.engines import open_embedder


@pytest.fixture
def embedder(finished_run):
    return open_embedder(finished_run, device="cpu")


@pytest.fixture
def write(tmp_path):
    """Write a clip of a fan."""

    def written(name, samples, rate=RATE):
        soundfile.write(tmp_path / name, samples, rate, subtype="PCM_16")
        return ClipFile(tmp_path / name, "fan", "00", "train")

    return written


def without_levelling(embedder):
    recipe = {**embedder.manifest.recipe, "gain": {"per_machine": False}}
    embedder.manifest = embedder.manifest.model_copy(update={"recipe": recipe})
    return embedder


@pytest.mark.parametrize(
    ("seconds", "firsts"), [(0.2, [0]), (0.5, [0]), (0.7, [0, 3200]), (1.2, [0, 8000, 11200])]
)
def test_windows_touch_and_the_last_one_ends_with_the_clip(embedder, write, seconds, firsts):
    clip = write("a.wav", tone(500, 0, seconds=seconds))
    samples = soundfile.read(clip.path, dtype="float32")[0]
    windows = ClipEmbedder(embedder, ()).windows(clip, 0.0)
    repeated = np.resize(samples, max(8000, len(samples)))
    want = [repeated[first : first + 8000] for first in firsts]
    np.testing.assert_array_equal(windows, want)


def test_one_gain_brings_the_median_clip_to_the_reference(embedder, write):
    factors = (0.02, 0.05, 0.3)
    clips = [write(f"{f}.wav", tone(500, 0, level=f)) for f in factors]
    heard = ClipEmbedder(embedder, ())
    gain_db = heard.gain_db(clips)
    levels = [level_dbfs(heard.windows(clip, gain_db).ravel()) for clip in clips]
    assert levels[1] == pytest.approx(embedder.manifest.reference_dbfs, abs=0.5)
    assert levels[0] < levels[1] - 5 < levels[2] - 10  # the others keep their distance


def test_a_recipe_that_levels_nothing_gets_no_gain(embedder, write):
    clips = [write("a.wav", tone(500, 0, level=0.01))]
    assert ClipEmbedder(without_levelling(embedder), ()).gain_db(clips) == 0.0


def test_another_rate_is_brought_to_that_of_the_bundle(embedder, write):
    clip = write("a.wav", tone(500, 0, seconds=1.4), rate=2 * RATE)
    windows = ClipEmbedder(embedder, ()).windows(clip, 0.0)
    assert windows.shape == (2, 8000)
    loudest = np.abs(np.fft.rfft(windows[0])).argmax() * RATE / 8000
    assert loudest == pytest.approx(1000, abs=10)


def test_the_score_of_a_clip_is_the_mean_of_its_windows(embedder, write):
    clips = [write(f"{s}.wav", tone(500, 0, seconds=s)) for s in (0.3, 1.2, 0.7)]
    heard = ClipEmbedder(embedder, ()).embed(clips, 0.0)
    assert heard.counts.tolist() == [1, 3, 2]
    scores = heard.clip_scores(np.array([1, 2, 3, 7, 5, 9], np.float32))
    assert scores.tolist() == [1.0, 4.0, 7.0]
    chosen = heard.windows_of(np.array([True, False, True]))
    assert chosen.tolist() == [True, False, False, False, True, True]


def test_kept_embeddings_need_no_network_and_are_the_same(embedder, write, tmp_path, monkeypatch):
    clips = [write(f"{n}.wav", tone(500, n)) for n in range(3)]
    scorers = embedder.manifest.scorers
    first = ClipEmbedder(embedder, scorers, cache=tmp_path / "cache").embed(clips, 3.0)
    monkeypatch.setattr(embedder, "embeddings", None)
    second = ClipEmbedder(embedder, scorers, cache=tmp_path / "cache").embed(clips, 3.0)
    assert second.counts.tolist() == first.counts.tolist()
    for kind in ("embeddings", "features"):
        got, want = getattr(second.views, kind), getattr(first.views, kind)
        assert list(got) == list(want)
        assert list(want)
        for name, array in want.items():
            np.testing.assert_array_equal(got[name], array)


@pytest.mark.parametrize("change", ["file", "gain", "weights", "damage"])
def test_what_has_changed_is_embedded_again(embedder, write, tmp_path, monkeypatch, change):
    clips, gain_db = [write("a.wav", tone(500, 0))], 0.0
    cache = tmp_path / "cache"
    kept = ClipEmbedder(embedder, (), cache=cache).embed(clips, gain_db).views.embeddings
    if change == "file":
        write("a.wav", tone(900, 1))
        os.utime(clips[0].path, ns=(1, 1))
    elif change == "gain":
        gain_db = 6.0
    elif change == "weights":
        embedder.identity = "0" * 64
    else:
        for path in cache.iterdir():
            path.write_bytes(path.read_bytes()[:-40])
    calls = []
    honest = embedder.embeddings
    monkeypatch.setattr(embedder, "embeddings", lambda w: calls.append(len(w)) or honest(w))
    again = ClipEmbedder(embedder, (), cache=cache).embed(clips, gain_db).views.embeddings
    assert calls == [2]
    if change in ("file", "gain"):
        assert any(np.abs(again[name] - z).max() > 0 for name, z in kept.items())


def test_names_of_other_machines_do_not_share_what_is_kept(embedder, write, tmp_path):
    clips = [write("a.wav", tone(500, 0))]
    others = [replace(write("b.wav", tone(900, 0)), machine="a/b")]
    heard = ClipEmbedder(embedder, (), cache=tmp_path / "cache")
    for group in (clips, others):
        heard.embed(group, 0.0)
    names = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert names == ["a_b_00_train-torch.npz", "fan_00_train-torch.npz"]
