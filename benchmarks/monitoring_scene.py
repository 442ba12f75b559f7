"""Two real daemons on simulated machines, a real broker and a real Prometheus, and what goes wrong.

    python benchmarks/monitoring_scene.py --minutes 13 --work /tmp/scene --pictures docs/monitoring

A pump breaks and is repaired, a microphone delivers zeros, dies and comes back, a conveyor is
switched off for a while, and the broker is away for three minutes. At the end the dashboards are
drawn from what Prometheus has (tools/dashboard_pictures.py). Nothing is made up: the daemons listen
in real time, with the bundle that ships.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import soundfile

from edge_asd.capture import open_source

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
LEARNED_S = 180
MACHINES = {
    "press-hall-3": {
        "pump": "sim:pump?seed=1&fault=bearing_outer&onset=200&ramp=60&clear=430",
        "fan": "",
    },
    "press-hall-4": {
        "gearbox": "sim:gearbox?seed=3",
        "conveyor": "sim:conveyor?seed=4&off=150-330",
    },
}
MICROPHONE = """
    import sys, time
    import soundfile
    began = float(open(sys.argv[2]).read())
    sound, rate = soundfile.read(sys.argv[1], dtype="int16")
    sent = time.time() - began
    while True:
        now = time.time() - began
        if 390 <= now < 500:
            sys.exit("no such card; plug the microphone in")
        if sent > now:
            time.sleep(min(0.1, sent - now))
            continue
        at = int(sent * rate) % (len(sound) - 1600)
        piece = sound[at : at + 1600] * (0 if 270 <= now < 500 else 1)
        sys.stdout.buffer.write(piece.tobytes())
        sys.stdout.buffer.flush()
        sent += 0.1
"""
BROKER_AWAY_S = (450.0, 600.0)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def edge_asd(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge_asd", *map(str, arguments)]


def render(uri: str, path: Path) -> None:
    """A simulated machine as a file."""
    parts = [block.samples[:, 0] for block in open_source(uri).blocks()]
    soundfile.write(path, np.concatenate(parts), RATE)


def prepare(work: Path, broker: int) -> dict[str, Path]:
    """Enrol every machine; the operator's file of each device."""
    configs = {}
    (work / "microphone.py").write_text(textwrap.dedent(MICROPHONE))
    for device, machines in MACHINES.items():
        state = work / device
        for name, source in machines.items():
            normal = work / f"{name}.wav"
            kind = source.partition("?")[0] or "sim:fan"
            seed = 100 + len(name)
            render(f"{kind}?seed={seed}&speed=max&seconds={LEARNED_S}", normal)
            command = edge_asd("enrol", "--monitor", name, "--from", normal, "--state-dir", state)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        heard = work / "fan-live.wav"  # not what it was enrolled with, or it would sound too well
        if "fan" in machines:
            render(f"sim:fan?seed=7&speed=max&seconds={LEARNED_S}", heard)
        command = f"{sys.executable} {work}/microphone.py {heard} {work}/began"
        program = f"exec:{command}?rate=16000"
        monitors = [
            {"name": name, "source": source or program} for name, source in machines.items()
        ]
        configs[device] = work / f"{device}.yaml"
        fields = {
            "device": device,
            "monitors": monitors,
            "mqtt": {"url": f"mqtt://127.0.0.1:{broker}"},
        }
        configs[device].write_text(json.dumps(fields))
    return configs


def prometheus(work: Path, ports: dict[str, int]) -> tuple[list[str], str]:
    """The command, and the address that it will answer at."""
    shutil.copy(ROOT / "deploy" / "prometheus" / "rules.yaml", work / "rules.yaml")
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": f"{device}:9108"}}
        for device, port in ports.items()
    ]
    job = {"job_name": "edge-asd", "static_configs": targets}
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [job],
    }
    (work / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    return [
        "prometheus", f"--config.file={work}/prometheus.yml",
        f"--storage.tsdb.path={work}/tsdb", f"--web.listen-address={address}",
    ], f"http://{address}"  # fmt: skip


def play(work: Path, seconds: float, pictures: Path) -> None:
    """Run the scene, then draw."""
    broker = free_port()
    configs = prepare(work, broker)
    ports = {device: free_port() for device in configs}
    mosquitto = ["mosquitto", "-p", str(broker)]
    with contextlib.ExitStack() as closers:

        def start(command: list[str]) -> subprocess.Popen[bytes]:
            log = closers.enter_context((work / "log").open("ab"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            closers.callback(process.wait)
            closers.callback(process.terminate)
            return process

        command, address = prometheus(work, ports)
        start(command)
        running = start(mosquitto)
        began = time.time()
        (work / "began").write_text(str(began))
        daemons = []
        for device, config in configs.items():
            http = f"127.0.0.1:{ports[device]}"
            command = edge_asd("run", "--config", config, "--http", http)
            daemons.append(start([*command, "--state-dir", str(work / device)]))
        for at, away in ((BROKER_AWAY_S[0], True), (BROKER_AWAY_S[1], False), (seconds, None)):
            while time.time() < began + min(at, seconds):
                time.sleep(0.5)
                if any(daemon.poll() is not None for daemon in daemons):
                    raise SystemExit(f"a daemon has ended; see {work}/log")
            if away:
                running.terminate()
            elif away is False:
                start(mosquitto)
        tool = ROOT / "tools" / "dashboard_pictures.py"
        span = ["--begin", str(began), "--end", str(time.time())]
        subprocess.run(
            [sys.executable, tool, "--prometheus", address, *span, "--out", pictures], check=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=13.0)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "monitoring")
    given = parser.parse_args()
    given.work.mkdir(parents=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    play(given.work, given.minutes * 60.0, given.pictures)


if __name__ == "__main__":
    main()
