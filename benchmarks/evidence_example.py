"""The picture and the details in docs/evidence: a fan of MIMII, first well, then not.

A monitor is enrolled on the first seven normal recordings of a unit, then the daemon listens to its
other normal recordings and after them to the anomalous ones. What it keeps of the first alert is
written, without the sound, and the alert's message beside it. Dates are those of the replay.

    python benchmarks/evidence_example.py --unit ../shared/data/mimii_ch0/fan/id_02_0dB
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ENROLLED = 7
CONFIG = """
device: press-hall-3
monitors:
  - name: {monitor}
    source: "file:{folder}?speed=10"
http: {{listen: "127.0.0.1:0"}}
jsonl: {{path: "{lines}"}}
"""


def edge_asd(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "edge_asd", *map(str, arguments)], check=True)


def listen(unit: Path, monitor: str, work: Path) -> Path:
    """Enrol, listen, and return the folder of the state directory."""
    state, heard = work / "state", work / "heard"
    normal, anomaly = (sorted((unit / kind).glob("*.wav")) for kind in ("normal", "anomaly"))
    heard.mkdir()
    for number, clip in enumerate(normal[ENROLLED:] + anomaly):
        (heard / f"{number:03d}.wav").symlink_to(clip.resolve())
    edge_asd("enrol", "--monitor", monitor, "--from", *normal[:ENROLLED], "--state-dir", state)
    config = work / "config.yaml"
    lines = work / "events.jsonl"
    config.write_text(CONFIG.format(monitor=monitor, folder=heard, lines=lines))
    edge_asd("run", "--config", config, "--state-dir", state, "--once")
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unit", type=Path, required=True, help="folder with normal/ and anomaly/")
    parser.add_argument("--monitor", default="fan-1")
    parser.add_argument("--out", type=Path, default=Path("docs/evidence"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        state = listen(options.unit, options.monitor, work)
        messages = [json.loads(line) for line in (work / "events.jsonl").open()]
        told = next(message for message in messages if message.get("evidence"))
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "event.json").write_text(json.dumps(told, indent=1) + "\n")
        for kind in ("spectrogram", "details"):
            kept = state / "evidence" / told["evidence"][kind]
            (options.out / kept.name).write_bytes(kept.read_bytes())
            print(f"{kept.name}: {kept.stat().st_size} bytes")


if __name__ == "__main__":
    main()
