"""Pictures show what the metrics say, at a size that fits a page."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import section, sections

from edge_asd.errors import DataError, StorageError
from edge_asd_train.evaluate import pictures
from edge_asd_train.evaluate.rank import auc


def size(path):
    """Width and height of a PNG file."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_curve_encloses_the_area_that_the_metric_tells(clips):
    scores = np.array([float(score) for score, _ in clips])
    truth = np.array([anomalous for _, anomalous in clips])
    if truth.all() or not truth.any():
        return
    fpr, tpr = pictures.roc_points(scores, truth)
    area = float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    assert area == pytest.approx(auc(scores, truth))
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("count", [1, 5])
def test_pictures_of_few_and_many_sections_are_1200_pixels_wide(tmp_path, count):
    shown = sections(tuple("abcde"[:count]), ("00",), clips=24)
    pictures.roc_curves(tmp_path / "roc.png", shown, "title")
    pictures.score_histograms(tmp_path / "scores.png", shown, [0.8] * count, "title")
    for name in ("roc.png", "scores.png"):
        width, height = size(tmp_path / name)
        assert width == 1200
        assert 400 < height < 1300


def test_a_section_without_targets_is_shown_too(tmp_path):
    one = section(clips=12)
    whole = type(one)("fan", "00", one.names, one.scores, one.anomalous, 0 * one.domains)
    pictures.roc_curves(tmp_path / "roc.png", [whole], "title")
    pictures.score_histograms(tmp_path / "scores.png", [whole], [0.5], "title")
    assert size(tmp_path / "roc.png")[0] == 1200


def test_the_map_of_embeddings_is_written(tmp_path):
    z = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    shown = pictures.EmbeddedSection("fan", z, np.arange(20) % len(pictures.GROUPS))
    pictures.embedding_map(tmp_path / "map.png", [shown], "title")
    assert size(tmp_path / "map.png")[0] == 1200


@pytest.mark.parametrize("count", [1, 2, 11, 12, 30])
def test_points_lie_in_the_plane_where_they_lay_before(count):
    rng = np.random.default_rng(count)
    z = rng.normal(size=(count, 8)).astype(np.float32)
    z[count // 2 :] += 20.0
    points, method = pictures.in_a_plane(z)
    assert points.shape == (count, 2)
    assert method == ("t-SNE" if count >= 12 else "principal components")
    np.testing.assert_array_equal(points, pictures.in_a_plane(z)[0])
    if count > 2:  # the two heaps stay apart
        near, far = points[: count // 2], points[count // 2 :]
        middles = np.linalg.norm(near.mean(0) - far.mean(0))
        assert middles > max(
            np.linalg.norm(heap - heap.mean(0), axis=1).mean() for heap in (near, far)
        )


def test_training_curves_are_drawn_from_a_runs_log(tmp_path):
    log = tmp_path / "log.csv"
    rows = [f"{n},0.001,{0.1 * n},{3 / n},{5 / n}" for n in range(1, 121)]
    log.write_text("\n".join(["step,learning_rate,seconds,supervised,featex", *rows]) + "\n")
    columns = pictures.read_log(log)
    assert list(columns) == ["step", "learning_rate", "seconds", "supervised", "featex"]
    assert columns["supervised"][2] == 1.0
    pictures.training_curves(tmp_path / "training.png", log, "title")
    assert size(tmp_path / "training.png") == (1200, 600)


@pytest.mark.parametrize("text", ["", "step\n", "step,loss\n1,2,3\n", "a,b\n1,2\n", "step\nx\n"])
def test_what_is_no_log_is_refused(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match="not the log of a run"):
        pictures.read_log(tmp_path / "log.csv")


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(StorageError, match="cannot write the picture"):
        pictures.roc_curves(tmp_path / "no" / "roc.png", [section(clips=12)], "title")
