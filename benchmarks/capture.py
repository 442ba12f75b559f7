"""What listening costs and how late a score is: the real daemon on virtual microphones.

One and then eight microphones play a simulated pump through a private sound server; a monitor
listens to each with the shipped bundle. Measured are the processor time and the memory of the
daemon and of the children that read the microphones, without the sound server, and the delay from
the last sample of a window, by its capture time, to its score. How old a sample already is when
that time says it was captured is measured apart: the sound server's and the driver's share.

    python benchmarks/capture.py [--sources 1 8] [--seconds S] [--rate HZ] [--bundle FILE]

Needs the packages of the tests: pulseaudio pulseaudio-utils libasound2-plugins libportaudio2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.pulse import SoundServer, VirtualMicrophone, missing  # noqa: E402

from edge_asd.bundle import builtin_bundle, load_bundle  # noqa: E402
from edge_asd.capture import capture, open_source  # noqa: E402
from edge_asd.steady import SteadyClock  # noqa: E402

ENROL_S = 120
LOOP_S = 24
SETTLE_S = 30.0
START_S = 300.0

# The daemon itself, which also says how old the newest sample of a window was at its score.
DAEMON = """
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as edge_asd.__main__ does before NumPy is loaded
from edge_asd import report
from edge_asd.__main__ import main

score = report.Reporter.score

def timed(self, monitor, scored, state, profile, window):
    print("DELAY", self.clock.now() - scored.captured_at - window.length_s, flush=True)
    score(self, monitor, scored, state, profile, window)

report.Reporter.score = timed
sys.argv[0] = "edge-asd"
main()
"""


@dataclass
class Usage:
    """Processor time and memory of one process and its children; Linux only."""

    pids: list[int]

    @classmethod
    def of(cls, pid: int) -> Usage:
        found = [pid]
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
        return cls(found)

    def cpu_s(self) -> dict[int, float]:
        """Seconds of processor time so far, by process."""
        tick = os.sysconf("SC_CLK_TCK")
        seconds = {}
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds[pid] = (int(fields[11]) + int(fields[12])) / tick
        return seconds

    def memory_mb(self, kind: str) -> dict[int, float]:
        """``Rss`` resident, ``Pss`` with shared pages divided among their users; by process."""
        megabytes = {}
        for pid in self.pids:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            (value,) = [line.split()[1] for line in lines if line.startswith(f"{kind}:")]
            megabytes[pid] = int(value) / 1024
        return megabytes


@dataclass
class Delays:
    """What the daemon said about its windows, read as it comes."""

    seconds: list[float] = field(default_factory=list)

    def read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.startswith("DELAY"):
                self.seconds.append(float(line.split()[1]))


def sound(rate: int, seconds: int) -> np.ndarray:
    """A simulated pump, samples (n,) float32."""
    source = open_source(f"sim:pump?seed=1&rate={rate}&speed=max&seconds={seconds}")
    return np.concatenate([block.samples[:, 0] for block in source.blocks()])


def prepare(folder: Path, names: list[str], rate: int, bundle: Path) -> tuple[Path, Path]:
    """A state directory in which all monitors know the pump, and a configuration."""
    state = folder / "state"
    soundfile.write(folder / "normal.wav", sound(rate, ENROL_S), rate)
    command = [sys.executable, "-m", "edge_asd", "enrol", "--monitor", names[0], "--json"]
    subprocess.run(
        [*command, "--from", folder / "normal.wav", "--bundle", bundle, "--state-dir", state],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for name in names[1:]:
        profile = Path(shutil.copytree(state / "profiles" / names[0], state / "profiles" / name))
        fields = json.loads((profile / "profile.json").read_text())
        (profile / "profile.json").write_text(json.dumps(fields | {"monitor": name}))
    monitors = [{"name": name, "source": f"alsa:{name}"} for name in names]
    config = folder / "config.yaml"
    config.write_text(json.dumps({"device": "bench", "monitors": monitors}))
    return state, config


@contextlib.contextmanager
def daemon(state: Path, config: Path, bundle: Path) -> Iterator[tuple[int, Delays]]:
    """The daemon in the background: its process number, and its delays as they come."""
    arguments = ["run", "--config", config, "--state-dir", state, "--bundle", bundle]
    process = subprocess.Popen(
        [sys.executable, "-c", DAEMON, *map(str, arguments), "--http", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=(state.parent / "daemon.log").open("wb"),
        text=True,
    )
    delays = Delays()
    reader = threading.Thread(target=delays.read, args=(process,), daemon=True)
    reader.start()
    try:
        yield process.pid, delays
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20.0)
        process.kill()
        process.wait()
        reader.join(5.0)


def measure(sources: int, seconds: float, rate: int, bundle: Path) -> None:
    """Run the daemon on so many microphones and print what it took."""
    names = [f"mic{number}" for number in range(sources)]
    pcm = np.clip(np.round(sound(rate, LOOP_S) * 32_767.0), -32_768, 32_767)
    microphones = [VirtualMicrophone(name, rate=rate, signal=pcm) for name in names]
    with tempfile.TemporaryDirectory() as temporary, SoundServer(*microphones):
        folder = Path(temporary)
        state, config = prepare(folder, names, rate, bundle)
        with daemon(state, config, bundle) as (pid, delays):
            until = time.monotonic() + START_S
            while len(delays.seconds) < 2 * sources:
                if time.monotonic() > until:
                    raise SystemExit((folder / "daemon.log").read_text()[-4000:])
                time.sleep(0.5)
            time.sleep(SETTLE_S)
            usage, first = Usage.of(pid), len(delays.seconds)
            began, before = time.monotonic(), usage.cpu_s()
            time.sleep(seconds)
            took_s, after = time.monotonic() - began, usage.cpu_s()
            rss, pss = usage.memory_mb("Rss"), usage.memory_mb("Pss")
            spent = delays.seconds[first:]
    share = {number: (after[number] - before[number]) / took_s for number in usage.pids}
    children = [number for number in usage.pids if number != pid]
    p50, p99 = np.percentile(np.array(spent) * 1e3, (50, 99))
    print(
        f"{sources:7d}  {100 * share[pid]:6.1f} {100 * sum(share[n] for n in children):9.1f}"
        f"  {rss[pid]:7.0f} {max(rss[n] for n in children):9.0f} {sum(pss.values()):9.0f}"
        f"  {len(spent):7d} {p50:8.0f} {p99:8.0f} {1e3 * max(spent):8.0f}"
    )


def age(rate: int, seconds: float = 30.0) -> float:
    """How old samples are at the time that is taken for their capture, median in seconds."""
    clock = SteadyClock(wall=time.monotonic)  # both sides of the comparison on one clock
    microphone = VirtualMicrophone("mic0", rate=rate)
    with SoundServer(microphone), capture("mic0", "alsa:mic0", clock=clock) as thread:
        ages: list[float] = []
        until = time.monotonic() + seconds + 30.0
        while len(ages) < 10 * seconds and time.monotonic() < until:
            block = thread.get(0.2)
            at = None if block is None else microphone.locate(block.samples[:, 0])
            if block is not None and at is not None:
                ages.append(block.captured_at - microphone.played_s(at))
    return float(np.median(ages[len(ages) // 2 :]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=48_000, help="of the microphones, hertz")
    parser.add_argument("--bundle", type=Path, default=builtin_bundle())
    arguments = parser.parse_args()
    if missing():
        raise SystemExit(missing())
    manifest = load_bundle(arguments.bundle).manifest
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}; {arguments.bundle.stem}, microphones at {arguments.rate} Hz, "
          f"a window every {manifest.hop_samples / manifest.sample_rate:.3g} s, "
          f"{arguments.seconds:g} s")  # fmt: skip
    print(f"samples are {1e3 * age(arguments.rate):.0f} ms old when they count as captured")
    print("         CPU, % of a core          memory, MB             delay of a score, ms")
    print("sources  daemon  children   daemon  one child  all (PSS)  windows     p50      p99"
          "      max")  # fmt: skip
    for sources in arguments.sources:
        measure(sources, arguments.seconds, arguments.rate, arguments.bundle)


if __name__ == "__main__":
    main()
