"""Whole files against a profile."""

import numpy as np
import pytest
import soundfile
from support.sound import RATE, machine
from support.tiny import HOP, WINDOW

from edge_asd.embed import WindowEmbedder
from edge_asd.errors import ConfigError, DataError
from edge_asd.scoring import read_mono, score_file


@pytest.fixture
def embedder(tiny_networks):
    return WindowEmbedder(tiny_networks)


def wav(path, samples, rate=RATE):
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def test_a_normal_file_is_normal_and_another_machine_is_not(tmp_path, embedder, pump_profile):
    normal = wav(tmp_path / "n.wav", machine("pump", 60.0, seed=2)[: 10 * RATE])
    strange = wav(tmp_path / "s.wav", machine("gearbox", 90.0)[: 10 * RATE])
    assert not score_file(embedder, pump_profile, normal).anomalous
    found = score_file(embedder, pump_profile, strange)
    assert found.anomalous
    assert found.percentile == 100.0


def test_the_score_is_the_mean_of_windows_that_cover_the_file(tmp_path, embedder, pump_profile):
    path = wav(tmp_path / "a.wav", machine("pump", 90.0)[: WINDOW + 3 * HOP + 100])
    found = score_file(embedder, pump_profile, path)
    starts = [0, HOP, 2 * HOP, 3 * HOP, 3 * HOP + 100]
    assert found.starts_s == pytest.approx([start / RATE for start in starts])
    assert found.score == pytest.approx(float(found.window_scores.mean()))
    assert not found.padded


def test_a_short_file_is_repeated_and_says_so(tmp_path, embedder, pump_profile):
    path = wav(tmp_path / "a.wav", machine("pump", 90.0)[: WINDOW // 2])
    found = score_file(embedder, pump_profile, path)
    assert found.padded
    assert len(found.window_scores) == 1


def test_files_do_not_depend_on_those_before(tmp_path, embedder, pump_profile, tiny_networks):
    first = wav(tmp_path / "a.wav", machine("gearbox", 90.0)[: 5 * RATE])
    second = wav(tmp_path / "b.wav", machine("pump", 90.0)[: 5 * RATE])
    score_file(embedder, pump_profile, first)
    after = score_file(embedder, pump_profile, second)
    alone = score_file(WindowEmbedder(tiny_networks), pump_profile, second)
    np.testing.assert_allclose(after.window_scores, alone.window_scores, atol=1e-5)


def test_the_channel_that_is_asked_for_is_scored(tmp_path, embedder, pump_profile):
    normal, strange = machine("pump", 90.0), machine("gearbox", 90.0)
    stereo = np.stack([normal[: 5 * RATE], strange[: 5 * RATE]], axis=1)
    path = wav(tmp_path / "s.wav", stereo)
    assert not score_file(embedder, pump_profile, path, channel=0).anomalous
    assert score_file(embedder, pump_profile, path, channel=1).anomalous
    with pytest.raises(ConfigError, match="channel 2"):
        score_file(embedder, pump_profile, path, channel=2)


def test_another_rate_is_resampled(tmp_path):
    tone = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000).astype(np.float32)
    samples = read_mono(wav(tmp_path / "t.wav", tone, 48_000), RATE, 0)
    assert len(samples) == RATE
    assert int(np.abs(np.fft.rfft(samples)).argmax()) == 1000


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_digital_silence_is_refused(tmp_path, value):
    path = wav(tmp_path / "z.wav", np.full(RATE, value, np.float32))
    with pytest.raises(DataError, match=r"z\.wav: digital silence"):
        read_mono(path, RATE, 0)


def test_a_file_that_is_none_is_a_data_error(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"junk")
    for path in (tmp_path / "x.wav", tmp_path / "nowhere.wav"):
        with pytest.raises(DataError, match=path.name):
            read_mono(path, RATE, 0)
