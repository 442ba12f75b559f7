"""What the daemon scores live is what ``edge-asd score`` scores offline."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import soxr
from brokers import Subscriber
from support.engines import another_engine
from support.processes import PUMP, RATE, DaemonProcess, cli, lines, render


def scored_live(plant, mosquitto, tmp_path, file, fields):
    """Scores of every window as the score topic carries them."""
    mosquitto.start()
    source = f"file:{file}?speed=10"  # real enough that the broker is there before the first window
    config = plant.config(tmp_path, source, mqtt={"url": mosquitto.url}, **fields)
    engine = fields["engine"]
    with (
        Subscriber(mosquitto.port, "edge-asd/hall/pump/score") as subscriber,
        DaemonProcess(plant.state(tmp_path), "--config", config, "--once", "-v") as daemon,
    ):
        assert daemon.wait() == 0, daemon.log
        assert (
            f"engine={engine['name']} bundle=tiny-1 precision={engine['precision']}" in daemon.log
        )
        assert daemon.log.count("level_dbfs=") == len(subscriber.messages)
        heard = [json.loads(payload) for _, payload, _ in subscriber.messages]
        return [m["score"] for m in heard]


def scored_offline(plant, tmp_path, file, fields):
    config = plant.config(tmp_path, "alsa:", name="offline.yaml", **fields)
    result = cli(
        *("score", "--monitor", "pump", "--config", config, "--state-dir", plant.enrolled),
        *(file, "--windows", "--json"),
    )
    assert result.returncode == 0, result.stderr
    return [(row["start_s"], row["score"]) for row in lines(result)]


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["16 kHz mono", "44.1 kHz stereo, channel 1"])
def test_every_score_of_the_daemon_is_that_of_the_score_command(plant, mosquitto, tmp_path, kind):
    file, channel = tmp_path / "clip.wav", 0
    engine = {"name": "onnxruntime", "precision": "fp32"}
    if kind.startswith("16"):
        whole, _ = soundfile.read(plant.faulty, dtype="float32")
        soundfile.write(file, whole[: 24 * RATE + 5_000], RATE)
    else:
        channel, engine = 1, another_engine()
        right = soxr.resample(render(f"{PUMP}&speed=max&seconds=20"), RATE, 44_100)
        left = np.random.default_rng(0).normal(0.0, 0.1, len(right)).astype(np.float32)
        soundfile.write(file, np.stack([left, right], axis=1), 44_100, subtype="PCM_24")
    fields = {"monitor": {"channel": channel}, "engine": engine}
    live = scored_live(plant, mosquitto, tmp_path, file, fields)
    offline = scored_offline(plant, tmp_path, file, fields)
    # The last window of a file is right-aligned offline; a stream has no end to align with.
    on_the_hop = [row for row in offline if np.isclose(row[0], round(row[0] / 0.256) * 0.256)]
    assert len(offline) - len(on_the_hop) <= 1
    assert len(live) == len(on_the_hop) > 60
    # Six significant digits are what the wire carries.
    assert live == pytest.approx([score for _, score in on_the_hop], abs=1e-5, rel=1e-5)
