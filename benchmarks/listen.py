"""How often a monitor cries wolf, and how soon it hears a fault: hours of simulated machines.

Every machine is enrolled on ten minutes, then listened to while it is well, then while a fault
creeps in. Counted are alerts while it is well, faults heard, and the delay from the moment the
fault reaches its full severity (negative: heard while it was still growing).

    python benchmarks/listen.py [--bundle FILE] [--machines N] [--hours H] [--severity S]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.bundle import builtin_bundle, load_bundle
from edge_asd.decide import Decider, Rules, Thresholds
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.enrolment.enrol import EnrolRequest, enrol
from edge_asd.hearing.signal_health import SignalWatch
from edge_asd.pipeline import Pipeline
from edge_asd.profile import Profile
from edge_asd.records import Block, EventType
from edge_asd.score.calibrate import Persistence
from edge_asd.simulate import KINDS, Fault, Scene, Schedule, SimulatedMachine, draw_scene, faults_of

ENROL_S = 600.0
RAMP_S = 120.0
HOLD_S = 180.0


@dataclass
class Simulated:
    """A stretch of a simulated machine as an audio source."""

    scene: Scene
    seed: int
    seconds: float
    schedule: Schedule

    @property
    def sample_rate(self) -> int:
        return self.scene.sample_rate

    def blocks(self) -> Iterator[Block]:
        machine = SimulatedMachine(self.scene, seed=self.seed, schedule=self.schedule)
        for second in range(int(self.seconds)):
            samples = machine.read(self.sample_rate)
            yield Block(samples[:, None], second * self.sample_rate, float(second))

    def close(self) -> None:
        """Nothing is open."""


def listen(
    networks: NetworkSet, profile: Profile, source: Simulated, hop_s: float
) -> tuple[list[float], float]:
    """Stream times at which alerts were raised, and the median statistic over the threshold."""
    rules = Rules(profile.persistence, hop_s, clear_s=20.0, cooldown_s=60.0, update_s=60.0)
    calibration = profile.calibration
    thresholds = Thresholds(
        calibration.threshold, calibration.alarm_threshold, calibration.clear_below
    )
    numbers = itertools.count()
    new_id: Callable[[float], str] = lambda _wall_s: str(next(numbers))  # noqa: E731
    decider = Decider(rules, thresholds, profile.percentile, new_id)
    watch = SignalWatch(profile.signal, source.sample_rate)
    pipeline = Pipeline(WindowEmbedder(networks), profile, decider, watch, settle_s=10.0)
    raised, margins = [], []
    for block in source.blocks():
        for outcome in pipeline.push(block):
            decision = outcome.decision
            if decision.statistic is not None:
                margins.append(decision.statistic / calibration.threshold)
            if decision.event is not None and decision.event.type is EventType.NEW:
                raised.append(pipeline.now.at_s)
    return raised, float(np.median(margins)) if margins else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=builtin_bundle())
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--hours", type=float, default=1.0, help="Of normal sound a machine.")
    parser.add_argument("--severity", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    networks = open_networks(bundle)
    hop_s = bundle.manifest.hop_samples / bundle.manifest.sample_rate
    persistence = Persistence.from_seconds(14.0, 20.0, hop_s)
    heard = alarms = 0
    delays = []
    print("| machine | SNR | fault | false alerts | heard | delay |")
    print("|---|---|---|---|---|---|")
    for number in range(arguments.machines):
        rng = np.random.default_rng([arguments.seed, number])
        kind = KINDS[number % len(KINDS)]
        scene = draw_scene(rng, kind, snr_db=(5.0, 20.0))
        fault = str(rng.choice(faults_of(kind)))
        well = Simulated(scene, 10 * number, ENROL_S, Schedule())
        request = EnrolRequest(kind, "sim", 0, persistence, 1.0, 10.0)
        begun = time.monotonic()
        profile = enrol(networks, lambda source=well: source, request, 0.0, lambda *_: None)
        longer = Simulated(scene, 10 * number + 1, arguments.hours * 3600, Schedule())
        false_alerts, _ = listen(networks, profile, longer, hop_s)
        onset_s = 60.0
        schedule = Schedule(Fault(fault, arguments.severity), onset_s, RAMP_S)
        ill = Simulated(scene, 10 * number + 2, onset_s + RAMP_S + HOLD_S, schedule)
        raised, _ = listen(networks, profile, ill, hop_s)
        found = [at_s for at_s in raised if at_s > onset_s]
        alarms += len(false_alerts)
        heard += bool(found)
        delay = f"{found[0] - onset_s - RAMP_S:+.0f} s" if found else "-"
        delays += [found[0] - onset_s - RAMP_S] if found else []
        print(
            f"| {kind} | {scene.snr_db:.0f} dB | {fault} | {len(false_alerts)} |"
            f" {'yes' if found else 'no'} | {delay} |",
            flush=True,
        )
        print(f"{kind}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    hours = arguments.machines * arguments.hours
    print(
        f"\n{alarms} false alerts in {hours:g} h of normal sound; {heard} of {arguments.machines} "
        f"faults heard, median delay {np.median(delays) if delays else float('nan'):+.0f} s"
    )


if __name__ == "__main__":
    main()
