"""What one daemon costs while it listens: processor time, rests, memory and its start.

The real daemon listens to as many simulated pumps as asked for: from files in real time, from the
simulator, or from virtual microphones on a private sound server. Measured are its start by phases,
processor time and rests of every thread, and the proportional share of memory (PSS), its children
included. Processor time is the scheduler's count, so it holds on a busy machine too; the seconds of
the start do not.

    python benchmarks/daemon_cost.py [--monitors 1 8] [--source file|sim|microphone]
        [--seconds S] [--bundle FILE] [--mqtt URL] [--imports] [--json FILE]

``--source microphone`` needs: pulseaudio pulseaudio-utils libasound2-plugins libportaudio2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import usage  # noqa: E402
from support.pulse import SoundServer, VirtualMicrophone, missing  # noqa: E402
from support.service_manager import ServiceManager  # noqa: E402

from edge_asd.bench.accounting import family  # noqa: E402
from edge_asd.bundle import builtin_bundle  # noqa: E402
from edge_asd.capture import open_source  # noqa: E402

ENROL_S = 120
LOOP_S = 24
SETTLE_S = 25.0
"""After the start: the first window is complete, and what only happens once has happened."""
START_S = 300.0

# The daemon itself; its threads show their names, as they do not by themselves before Python 3.14.
DAEMON = """
import sys
import threading

run = threading.Thread.run

def named(self):
    with open(f"/proc/self/task/{self.native_id}/comm", "w") as comm:
        comm.write(self.name[:15])
    run(self)

threading.Thread.run = named
sys.argv[0] = "edge-asd"
from edge_asd.__main__ import main

main()
"""


@dataclass(frozen=True)
class Start:
    """Seconds from exec on, and the processor time of the process at READY."""

    loaded_s: float
    """Modules are loaded and the configuration is read: the daemon begins to open its parts."""
    ready_s: float
    cpu_s: float


@dataclass(frozen=True)
class Cost:
    """What it takes while it listens."""

    monitors: int
    source: str
    bundle: str
    seconds: float
    cpu_share: float
    """Of one core, the children not included."""
    children_cpu_share: float
    rests_per_s: float
    pss_mb: float
    """The children included."""
    children_pss_mb: float
    rss_mb: float
    """Resident, the children not included: what it would be with nobody to share libraries with."""
    threads: dict[str, tuple[float, float]]
    """Share of a core and rests a second, by name; ``python`` is the main thread."""
    mappings_mb: dict[str, float]
    """Of the daemon alone, the largest."""
    start: Start


def sound(seconds: int, rate: int) -> np.ndarray:
    """A simulated pump, samples (n,) float32."""
    source = open_source(f"sim:pump?seed=1&rate={rate}&speed=max&seconds={seconds}")
    return np.concatenate([block.samples[:, 0] for block in source.blocks()])


def prepare(
    folder: Path, sources: dict[str, str], rate: int, bundle: Path, mqtt: str | None = None
) -> tuple[Path, Path]:
    """A state directory in which all monitors know the pump, and a configuration.

    Args:
        folder: Where to.
        sources: URI by monitor.
        rate: Of the sources, hertz: what they are enrolled with has it too, so that all is normal.
        bundle: What scores.
        mqtt: The broker, if there is one.
    """
    state, names = folder / "state", list(sources)
    soundfile.write(folder / "normal.wav", sound(ENROL_S, rate), rate)
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
    monitors = [{"name": name, "source": source} for name, source in sources.items()]
    config = folder / "config.yaml"
    broker = {"mqtt": {"url": mqtt}} if mqtt else {}
    config.write_text(json.dumps({"device": "bench", "monitors": monitors} | broker))
    return state, config


@contextlib.contextmanager
def daemon(folder: Path, state: Path, config: Path, bundle: Path) -> Iterator[tuple[int, Start]]:
    """The daemon in the background, once it is ready: its process number, and its start."""
    arguments = ["run", "--config", config, "--state-dir", state, "--bundle", bundle]
    log = folder / "daemon.log"
    (folder / "notify").unlink(missing_ok=True)
    with ServiceManager(folder / "notify") as manager, log.open("wb") as sink:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, *map(str, arguments), "--http", "127.0.0.1:0"],
            cwd=ROOT,
            env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify")},
            stdout=subprocess.DEVNULL,
            stderr=sink,
        )
        try:
            while not (ready := manager.times_of("READY=1")):
                if process.poll() is not None or time.monotonic() - began > START_S:
                    raise SystemExit(log.read_text()[-4000:])
            cpu_s = usage.cpu_s(process.pid)
            loaded = manager.heard[0][0]  # the first that it says
            yield process.pid, Start(loaded - began, ready[0] - began, cpu_s)
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20.0)
            process.kill()
            process.wait()


def watch(pid: int, seconds: float, start: Start, **what: object) -> Cost:
    """Look at a daemon that listens for so long."""
    everybody = family(pid)
    began, before = time.monotonic(), {one: usage.threads(one) for one in everybody}
    time.sleep(seconds)
    took_s, after = time.monotonic() - began, {one: usage.threads(one) for one in everybody}
    by_process = {one: usage.spent(before[one], after[one]) for one in everybody}
    shares = {one: sum(cpu for cpu, _ in by_process[one].values()) / took_s for one in everybody}
    pss = {one: usage.memory_mb(one) for one in everybody}
    return Cost(
        seconds=took_s,
        cpu_share=shares.pop(pid),
        children_cpu_share=sum(shares.values()),
        rests_per_s=sum(rests for _, rests in by_process[pid].values()) / took_s,
        pss_mb=sum(pss.values()),
        children_pss_mb=sum(pss.values()) - pss[pid],
        rss_mb=usage.memory_mb(pid, "Rss"),
        threads={n: (cpu / took_s, rests / took_s) for n, (cpu, rests) in by_process[pid].items()},
        mappings_mb=dict(list(usage.mappings_mb(pid).items())[:15]),
        start=start,
        **what,  # type: ignore[arg-type]
    )


def measure(
    monitors: int, source: str, seconds: float, bundle: Path, mqtt: str | None = None
) -> Cost:
    """Run the daemon with so many monitors, each on a source of its own.

    Args:
        monitors: How many.
        source: ``file`` in real time, ``sim`` or ``microphone``.
        seconds: How long to look.
        bundle: What scores.
        mqtt: The broker, if there is one.
    """
    names = [f"m{number}" for number in range(monitors)]
    rate = 48_000 if source == "microphone" else 16_000
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = dict.fromkeys(names, f"sim:pump?seed=1&rate={rate}&speed=1")
        if source == "file":
            soundfile.write(
                folder / "heard.wav", sound(int(seconds + 2 * SETTLE_S) + 60, rate), rate
            )
            for name in names:  # a source of its own for each: one file would be one source
                (folder / f"{name}.wav").hardlink_to(folder / "heard.wav")
            sources = {name: f"file:{folder}/{name}.wav?speed=1" for name in names}
        elif source == "microphone":
            pcm = np.clip(np.round(sound(LOOP_S, rate) * 32_767.0), -32_768, 32_767)
            microphones = [VirtualMicrophone(name, rate=rate, signal=pcm) for name in names]
            stack.enter_context(SoundServer(*microphones))
            sources = {name: f"alsa:{name}" for name in names}
        state, config = prepare(folder, sources, rate, bundle, mqtt)
        with daemon(folder, state, config, bundle) as (pid, start):
            time.sleep(SETTLE_S)
            what = {"monitors": monitors, "source": source, "bundle": bundle.stem}
            return watch(pid, seconds, start, **what)


def imports(limit: int = 25) -> list[tuple[str, float]]:
    """What loading the daemon's modules takes, milliseconds with all below, the most first."""
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import edge_asd.cli.run, edge_asd.parts"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    rows = re.findall(r"^import time: +\d+ \| +(\d+) \|( +)(\S+)$", loaded.stderr, re.MULTILINE)
    found = [(name, int(microseconds) / 1e3) for microseconds, _, name in rows]
    return sorted(found, key=lambda row: -row[1])[:limit]


def report(cost: Cost) -> str:
    """For people."""
    start, threads = cost.start, sorted(cost.threads.items(), key=lambda row: -row[1][0])
    lines = [
        f"{cost.bundle}: {cost.monitors} x {cost.source}, {cost.seconds:.0f} s",
        f"  start    loaded after {start.loaded_s:.2f} s, READY after {start.ready_s:.2f} s",
        f"           {start.cpu_s:.2f} s of processor time",
        f"  CPU      {100 * cost.cpu_share:.2f} % of a core, {cost.rests_per_s:.1f} rests a second",
        *(
            f"           {100 * cpu:6.2f} % {rests:7.1f}/s  {name}"
            for name, (cpu, rests) in threads
        ),
        f"           {100 * cost.children_cpu_share:6.2f} %  children",
        f"  memory   {cost.pss_mb:.0f} MB (PSS), of which children {cost.children_pss_mb:.0f} MB",
        f"           {cost.rss_mb:.0f} MB resident in the daemon; its PSS is",
        *(f"           {size:6.1f} MB  {name}" for name, size in cost.mappings_mb.items()),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--monitors", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--source", choices=("file", "sim", "microphone"), default="file")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--bundle", type=Path, default=builtin_bundle())
    parser.add_argument("--mqtt", help="a broker that runs: mqtt://host:port")
    parser.add_argument("--imports", action="store_true", help="also what loading modules takes")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args(arguments)
    if options.source == "microphone" and missing():
        raise SystemExit(missing())
    costs = []
    for monitors in options.monitors:
        costs.append(
            measure(monitors, options.source, options.seconds, options.bundle, options.mqtt)
        )
        print(report(costs[-1]), flush=True)
    if options.imports:
        print("\n".join(f"{milliseconds:9.1f} ms  {name}" for name, milliseconds in imports()))
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n")


if __name__ == "__main__":
    main()
