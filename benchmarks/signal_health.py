"""How surely a microphone that fails is told from a machine that changes, and what that costs.

Simulated machines of every kind, heard by a 16-bit and a 24-bit microphone, enrolled with and
without a stop in the audio, and the real recordings where they are there. Every flaw is put into
the stream for eight seconds; a fault must be there within three seconds and gone four seconds after
the flaw. False alarms are counted on what is no flaw: normal running at another moment, every
fault of the machine, a machine 12 dB louder, stops, starts.

    python benchmarks/signal_health.py [--scenes N] [--seed N] [--recordings FOLDER]
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile

from edge_asd.hearing.signal_health import SignalLearner, SignalRule, SignalWatch
from edge_asd.operating import learn_idle_rule, measure_slot
from edge_asd.records import FloatArray
from edge_asd.simulate import (
    KINDS,
    Fault,
    Scene,
    Schedule,
    SimulatedMachine,
    draw_scene,
    faults_of,
)

BLOCK_S = 0.1
ONSET_S, FLAW_S, AFTER_S = 6.0, 8.0, 6.0
FOUND_S, ENDED_S = 3.0, 4.0


def db(gain_db: float) -> float:
    return float(10.0 ** (gain_db / 20.0))


def hum(n: int, rate: int, mains_hz: float, level_dbfs: float) -> FloatArray:
    """Mains hum with harmonics, a little off its frequency."""
    t = np.arange(n) / rate
    lines = sum(np.sin(2 * np.pi * 1.0004 * mains_hz * k * t + k) / k for k in range(1, 16))
    return np.asarray(lines / lines.std() * db(level_dbfs), np.float32)


def covered(sound: FloatArray, rate: int, cut_hz: float) -> FloatArray:
    """A low-pass of second order and 40 dB."""
    low = scipy.signal.butter(2, cut_hz, fs=rate, output="sos")
    return np.asarray(scipy.signal.sosfilt(low, sound) * db(-40.0), np.float32)


def dither(rng: np.random.Generator, n: int) -> FloatArray:
    """What a 16-bit converter says to nothing at all."""
    return np.asarray(np.round(rng.uniform(-0.5, 0.5, (2, n)).sum(axis=0)) / 2**15, np.float32)


def white(rng: np.random.Generator, n: int, level_dbfs: float) -> FloatArray:
    return np.asarray(rng.normal(0.0, db(level_dbfs), n), np.float32)


Flawed = Callable[[FloatArray, int, np.random.Generator], FloatArray]
FLAWS: dict[str, Flawed] = {
    "digital zero": lambda x, _r, _g: np.zeros_like(x),
    "stuck at 0.013": lambda x, _r, _g: np.full_like(x, 0.013),
    "stuck at full scale": lambda x, _r, _g: np.full_like(x, 1.0),
    "not a number": lambda x, _r, _g: np.where(np.arange(len(x)) % 997 == 0, np.nan, x),
    "offset of 0.15": lambda x, _r, _g: x + np.float32(0.15),
    "dither of 16 bits": lambda x, _r, g: dither(g, len(x)),
    "white, -95 dBFS": lambda x, _r, g: white(g, len(x), -95.0),
    "white, -80 dBFS": lambda x, _r, g: white(g, len(x), -80.0),
    "hum 50 Hz, -50 dBFS": lambda x, r, g: hum(len(x), r, 50.0, -50.0) + white(g, len(x), -92.0),
    "hum 60 Hz, -30 dBFS": lambda x, r, g: hum(len(x), r, 60.0, -30.0) + white(g, len(x), -88.0),
    "covered, 500 Hz, 40 dB": lambda x, r, _g: covered(x, r, 500.0),
    "covered, 2 kHz, 40 dB": lambda x, r, _g: covered(x, r, 2000.0),
}


def quantised(sound: FloatArray, bits: int, rng: np.random.Generator) -> FloatArray:
    """As a converter of so many bits hands it over, its own noise (a bit or so) included."""
    steps = 2.0 ** (bits - 1)
    # A 24-bit converter has the noise of 18 or 19 bits.
    noise = rng.normal(0.0, 0.5 if bits == 16 else 40.0, len(sound))
    return np.asarray(np.clip(np.round(sound * steps + noise), -steps, steps - 1) / steps, "f4")


def learned(sound: FloatArray, rate: int) -> SignalRule:
    """Rule from normal audio."""
    learner = SignalLearner(rate)
    learner.push(sound, 0.0)
    slots = [measure_slot(sound[at : at + rate]) for at in range(0, len(sound) - rate + 1, rate)]
    return learner.rule(learn_idle_rule(slots, 1.0)[0])


@dataclass
class Watched:
    """What a watch said to a stream."""

    faults: list[tuple[float, float | None, str]] = field(default_factory=list)
    """(begin, end or None, flaw)"""
    flawed_s: float = 0.0
    spent_s: float = 0.0
    blocks: int = 0


def watched(rule: SignalRule, sound: FloatArray, rate: int) -> Watched:
    """Run a stream through a watch, a tenth of a second at a time."""
    watch, found, size = SignalWatch(rule, rate), Watched(), round(BLOCK_S * rate)
    current = None
    for at in range(0, len(sound), size):
        begun = time.thread_time()
        health = watch.block(sound[at : at + size], at / rate)
        found.spent_s += time.thread_time() - begun
        found.blocks += 1
        found.flawed_s += BLOCK_S * (health.flaw is not None)
        now_s = (at + size) / rate
        if watch.fault is not None and current is None:
            current = (now_s, watch.fault.flaw.value)
        elif watch.fault is None and current is not None:
            found.faults.append((current[0], now_s, current[1]))
            current = None
    if current is not None:
        found.faults.append((current[0], None, current[1]))
    return found


@dataclass
class Stream:
    """Enrolled audio, more of the same, and what is no flaw."""

    name: str
    rate: int
    normal: dict[str, FloatArray]
    """What can be enrolled, by what was heard."""
    again: FloatArray
    """Another moment, at least ``ONSET_S + FLAW_S + AFTER_S``."""
    harmless: dict[str, FloatArray]
    bits: int


def heard(scene: Scene, bits: int, seconds: float, moment: int, **plan: Any) -> FloatArray:
    """A simulated machine as its microphone hands it over."""
    machine = SimulatedMachine(scene, seed=moment, schedule=Schedule(**plan))
    sound = machine.read(round(seconds * scene.sample_rate))
    return quantised(sound, bits, np.random.default_rng(moment))


def simulated(scenes: int, seed: int) -> Iterator[Stream]:
    """Machines of every kind."""
    rng = np.random.default_rng(seed)
    for number in range(scenes):
        kind = KINDS[number % len(KINDS)]
        scene = draw_scene(rng, kind)
        rate, bits = scene.sample_rate, (16, 24)[number // len(KINDS) % 2]

        harmless = {
            "normal": heard(scene, bits, 60.0, 2),
            "stops and starts": heard(scene, bits, 60.0, 3, off=((10.0, 30.0), (40.0, 50.0))),
            "12 dB louder": quantised(heard(scene, bits, 20.0, 4) * np.float32(4.0), bits, rng),
        }
        for fault in faults_of(kind):
            harmless[f"fault {fault}"] = heard(scene, bits, 12.0, 5, fault=Fault(fault))
        running = heard(scene, bits, 60.0, 1)
        stopping = heard(scene, bits, 90.0, 1, off=((60.0, 78.0),))
        again = heard(scene, bits, ONSET_S + FLAW_S + AFTER_S, 6)
        normal = {"simulated": running, "simulated, with a stop": stopping}
        yield Stream(kind, rate, normal, again, harmless, bits)


def recorded(folder: Path) -> Iterator[Stream]:
    """Real recordings of machines; a stop is in none of them."""
    for machine in sorted(folder.glob("*/*")):
        clips = {
            label: [
                soundfile.read(path, dtype="float32")[0]
                for path in sorted((machine / label).glob("*.wav"))
            ]
            for label in ("normal", "anomaly")
        }
        if not clips["normal"]:
            continue
        half = max(1, len(clips["normal"]) // 2)
        rate = soundfile.info(next((machine / "normal").glob("*.wav"))).samplerate
        rest = clips["normal"][half:] + clips["anomaly"]
        if not rest:
            continue
        harmless = {"normal": clips["normal"][half:], "machine faults": clips["anomaly"]}
        yield Stream(
            machine.parent.name,
            rate,
            {"real": np.concatenate(clips["normal"][:half])},
            np.tile(np.concatenate(rest), 3)[: round((ONSET_S + FLAW_S + AFTER_S) * rate)],
            {name: np.concatenate(parts) for name, parts in harmless.items() if parts},
            16,
        )


@dataclass
class Tally:
    """Of one flaw, or of one kind of harmless sound."""

    streams: int = 0
    found: int = 0
    ended: int = 0
    delays_s: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    heard_s: float = 0.0
    flawed_s: float = 0.0
    faults: int = 0


def try_flaw(tally: Tally, rule: SignalRule, stream: Stream, name: str, where: str) -> None:
    rate, rng = stream.rate, np.random.default_rng(9)
    sound = stream.again.copy()
    begin, end = round(ONSET_S * rate), round((ONSET_S + FLAW_S) * rate)
    flawed = FLAWS[name](sound[begin:end], rate, rng)
    analogue = name.startswith(("hum", "covered", "offset", "white"))
    sound[begin:end] = quantised(flawed, stream.bits, rng) if analogue else flawed
    found = watched(rule, sound, rate)
    tally.streams += 1
    after = [one for one in found.faults if one[0] >= ONSET_S]
    if after and after[0][0] - ONSET_S <= FOUND_S:
        tally.found += 1
        tally.delays_s.append(after[0][0] - ONSET_S)
        last = after[-1][1]
        tally.ended += last is not None and last - (ONSET_S + FLAW_S) <= ENDED_S
    else:
        tally.missed.append(where)


class Survey:
    """What came out, by flaw and by kind of harmless sound."""

    def __init__(self) -> None:
        self.flaws: dict[tuple[str, str], Tally] = defaultdict(Tally)
        self.harmless: dict[tuple[str, str], Tally] = defaultdict(Tally)
        self.spent_s = 0.0
        self.blocks = 0

    def take(self, stream: Stream, how: str) -> None:
        """Try one microphone that was enrolled in one way."""
        rule = learned(stream.normal[how], stream.rate)
        where = f"{stream.name}, {stream.bits} bit"
        for name in FLAWS:
            try_flaw(self.flaws[name, how], rule, stream, name, where)
        for name, other in stream.harmless.items():
            kind = "machine faults" if name.startswith("fault") else name
            tally = self.harmless[kind, how]
            found = watched(rule, other, stream.rate)
            self.spent_s, self.blocks = self.spent_s + found.spent_s, self.blocks + found.blocks
            tally.streams += 1
            tally.heard_s += len(other) / stream.rate
            tally.flawed_s += found.flawed_s
            tally.faults += len(found.faults)
            if found.flawed_s:
                tally.missed.append(f"{where} {name}: {found.flawed_s:.1f} s")

    def report(self) -> None:
        """Print both tables and what was missed."""
        print(f"a block of {BLOCK_S:g} s costs {1e3 * self.spent_s / self.blocks:.3f} ms\n")
        ways = sorted({how for _, how in self.flaws}, reverse=True)
        print(f"| fault within 3 s, enrolled: | {' | '.join(ways)} | longest | ended within 4 s |")
        print("|---" * (len(ways) + 3) + "|")
        for name in FLAWS:
            tallies = [self.flaws[name, how] for how in ways]
            found = " | ".join(f"{tally.found} of {tally.streams}" for tally in tallies)
            longest = max((delay for tally in tallies for delay in tally.delays_s), default=np.nan)
            total, ended = (sum(getattr(t, key) for t in tallies) for key in ("found", "ended"))
            print(f"| {name} | {found} | {longest:.1f} s | {ended} of {total} |")
        print("\n| no flaw | enrolled | streams | heard | flawed | faults |")
        print("|---|---|---|---|---|---|")
        for (name, how), tally in sorted(self.harmless.items()):
            print(
                f"| {name} | {how} | {tally.streams} | {tally.heard_s / 60.0:.0f} min "
                f"| {tally.flawed_s:.1f} s | {tally.faults} |"
            )
        print()
        for title, table in (("missed", self.flaws), ("false", self.harmless)):
            for key, tally in sorted(table.items()):
                for where, count in Counter(tally.missed).items():
                    print(f"{title}: {', '.join(key)}: {where} ({count})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--recordings", type=Path)
    arguments = parser.parse_args()
    survey, microphones = Survey(), 0
    streams = simulated(arguments.scenes, arguments.seed)
    if arguments.recordings is not None:
        streams = chain(streams, recorded(arguments.recordings))
    for stream in streams:
        microphones += 1
        for how in stream.normal:
            survey.take(stream, how)
    print(f"{platform.machine()}, NumPy {np.__version__}, {microphones} microphones")
    survey.report()


if __name__ == "__main__":
    main()
