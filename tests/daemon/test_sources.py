"""Every kind of source through the whole daemon."""

from __future__ import annotations

import sys

import numpy as np
import soundfile
from support.processes import (
    FAULT,
    PUMP,
    QUICK,
    RATE,
    DaemonProcess,
    cli,
    lines,
    render,
    stored_events,
    write_config,
)


def run_once(plant, tmp_path, source, **fields):
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, source, **fields)
    with DaemonProcess(state, "--config", config, "--once", "-v") as daemon:
        assert daemon.wait() == 0, daemon.log
    return state, daemon.log


def test_a_folder_is_one_stream_in_name_order(plant, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    whole, _ = soundfile.read(plant.faulty, dtype="float32")
    for index, part in enumerate(np.split(whole, 8)):
        soundfile.write(folder / f"{index}.flac", part, RATE, subtype="PCM_24")
    state, log = run_once(plant, tmp_path, f"file:{folder}")
    hops = (len(whole) - 16_384) // 4_096 + 1
    assert log.count("level_dbfs=") == hops  # no seam: as many windows as one file gives
    assert stored_events(state)[0]["type"] == "new"
    assert stored_events(state)[-1]["reason"] == "source ended"


def test_gaps_between_clips_keep_windows_from_spanning_them(plant, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    whole, _ = soundfile.read(plant.normal, dtype="float32", frames=24 * RATE)
    for index, part in enumerate(np.split(whole, 4)):
        soundfile.write(folder / f"{index}.wav", part, RATE)
    state, log = run_once(plant, tmp_path, f"file:{folder}?gaps=clip")
    assert log.count("level_dbfs=") == 4 * ((6 * RATE - 16_384) // 4_096 + 1)
    assert stored_events(state) == []


def test_a_program_that_writes_pcm_is_heard_to_its_end(plant, tmp_path):
    script = tmp_path / "play.py"
    script.write_text(
        "import soundfile, sys\n"
        f"x, _ = soundfile.read({str(plant.faulty)!r}, dtype='int16')\n"
        "for at in range(0, len(x), 1000): sys.stdout.buffer.write(x[at : at + 1000].tobytes())\n"
    )
    state, log = run_once(plant, tmp_path, f"exec:{sys.executable} {script}?rate={RATE}")
    assert log.count("level_dbfs=") == (40 * RATE - 16_384) // 4_096 + 1
    assert [step["type"] for step in stored_events(state)][:1] == ["new"]


def test_a_program_that_fails_is_a_state_and_is_tried_again(plant, tmp_path):
    config = plant.config(
        tmp_path, f"exec:{sys.executable} -c \"import sys; sys.exit('no such card')\""
    )
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(
            lambda: (
                daemon.metric("capture_restarts_total", monitor="pump", reason="open_failed") >= 1
            )
        )
        daemon.until(lambda: "no such card" in daemon.reason_of("pump"))
        assert daemon.state_of("pump") == "unknown"
        assert daemon.process.poll() is None


def test_two_monitors_watch_two_channels_of_one_source(plant, tmp_path):
    normal, _ = soundfile.read(plant.normal, dtype="float32", frames=40 * RATE)
    faulty, _ = soundfile.read(plant.faulty, dtype="float32")
    file = tmp_path / "two.wav"
    soundfile.write(file, np.stack([normal, faulty], axis=1), RATE, subtype="PCM_24")
    state = plant.state(tmp_path)
    # The second monitor learned from the same sound.
    enrolled = cli(
        *("enrol", "--monitor", "press", "--from", plant.normal, "--state-dir", state),
        *("--bundle", plant.bundle),
    )
    assert enrolled.returncode == 0, enrolled.stderr
    monitors = [
        {"name": "pump", "source": f"file:{file}", "channel": 0, "alert": QUICK},
        {"name": "press", "source": f"file:{file}", "channel": 1, "alert": QUICK},
    ]
    config = write_config(tmp_path / "two.yaml", device="hall", monitors=monitors)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert daemon.log.count("state=up") == 1  # one source, opened once
    assert {step["source"] for step in stored_events(state)} == {"press"}


def test_two_finite_sources_are_both_heard_to_their_end(plant, tmp_path):
    state = plant.state(tmp_path)
    cli(
        *("enrol", "--monitor", "press", "--from", plant.normal, "--state-dir", state),
        *("--bundle", plant.bundle),
    )
    monitors = [
        {"name": "pump", "source": f"file:{plant.faulty}", "alert": QUICK},
        {"name": "press", "source": f"{FAULT}&speed=max&seconds=90&onset=70", "alert": QUICK},
    ]
    config = write_config(tmp_path / "two.yaml", device="hall", monitors=monitors)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        assert daemon.wait() == 0, daemon.log
    ended = [step["source"] for step in stored_events(state) if step["type"] == "end"]
    assert sorted(ended) == ["press", "pump"]


def test_a_machine_switched_off_is_idle_and_raises_nothing(plant, tmp_path):
    state, evening = tmp_path / "state", tmp_path / "evening.wav"
    soundfile.write(evening, render(f"{PUMP}&speed=max&seconds=150&off=60-100"), RATE)
    enrolled = cli(
        *("enrol", "--monitor", "pump", "--from", evening, "--state-dir", state, "--json"),
        *("--bundle", plant.bundle),
    )
    assert enrolled.returncode == 0, enrolled.stderr
    (learned,) = lines(enrolled)
    assert learned["idle_heard"] is True
    assert learned["enrolled_s"] < 115
    whole, _ = soundfile.read(evening, dtype="float32")
    machine = plant.player(tmp_path, off=whole[65 * RATE : 95 * RATE])
    config = plant.config(tmp_path, machine.source)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        machine.play("off")
        daemon.until(lambda: daemon.state_of("pump") == "idle")
        pump = {"monitor": "pump"}
        idle = daemon.metric("windows_total", result="idle", **pump)
        daemon.until(lambda: daemon.metric("windows_total", result="idle", **pump) > idle + 8)
        scored = daemon.metric("windows_total", result="scored", **pump)
        daemon.until(lambda: daemon.metric("windows_total", result="idle", **pump) > idle + 20)
        assert daemon.metric("windows_total", result="scored", **pump) == scored
        machine.play("normal")
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        assert daemon.stop()[0] == 0
    assert stored_events(state) == []


def test_a_channel_that_the_source_lacks_is_a_configuration_error(plant, tmp_path):
    for index, state in enumerate((plant.state(tmp_path), tmp_path / "fresh")):
        config = plant.config(
            tmp_path,
            f"file:{plant.faulty}",
            name=f"{index}.yaml",
            monitor={"channel": 3},
            bundle=str(plant.bundle),
        )
        with DaemonProcess(state, "--config", config, "--once") as daemon:
            assert daemon.wait() == 78, daemon.log
        last = daemon.log.rstrip().splitlines()[-1]
        assert last.startswith("edge-asd: channel 3 is asked for, but the source has 1")
        assert "Traceback" not in daemon.log
