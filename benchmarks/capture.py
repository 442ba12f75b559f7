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
import os
import platform
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

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import usage  # noqa: E402
from support.pulse import SoundServer, VirtualMicrophone, missing  # noqa: E402

from benchmarks.daemon_cost import LOOP_S, START_S, prepare, sound  # noqa: E402
from edge_asd.bench.accounting import family  # noqa: E402
from edge_asd.bundle import builtin_bundle, load_bundle  # noqa: E402
from edge_asd.capture import capture  # noqa: E402
from edge_asd.steady import SteadyClock  # noqa: E402

SETTLE_S = 30.0

# The daemon itself, which also says how old the newest sample of a window was at its score.
DAEMON = """
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as edge_asd.__main__ does before NumPy is loaded
from edge_asd.report import report
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
class Delays:
    """What the daemon said about its windows, read as it comes."""

    seconds: list[float] = field(default_factory=list)

    def read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.startswith("DELAY"):
                self.seconds.append(float(line.split()[1]))


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
    pcm = np.clip(np.round(sound(LOOP_S, rate) * 32_767.0), -32_768, 32_767)
    microphones = [VirtualMicrophone(name, rate=rate, signal=pcm) for name in names]
    with tempfile.TemporaryDirectory() as temporary, SoundServer(*microphones):
        folder = Path(temporary)
        state, config = prepare(folder, {n: f"alsa:{n}" for n in names}, rate, bundle)
        with daemon(state, config, bundle) as (pid, delays):
            until = time.monotonic() + START_S
            while len(delays.seconds) < 2 * sources:
                if time.monotonic() > until:
                    raise SystemExit((folder / "daemon.log").read_text()[-4000:])
                time.sleep(0.5)
            time.sleep(SETTLE_S)
            everybody, first = family(pid), len(delays.seconds)
            began, before = time.monotonic(), {one: usage.cpu_s(one) for one in everybody}
            time.sleep(seconds)
            took_s, after = time.monotonic() - began, {one: usage.cpu_s(one) for one in everybody}
            rss = {one: usage.memory_mb(one, "Rss") for one in everybody}
            pss = {one: usage.memory_mb(one) for one in everybody}
            spent = delays.seconds[first:]
    share = {number: (after[number] - before[number]) / took_s for number in everybody}
    children = [number for number in everybody if number != pid]
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
