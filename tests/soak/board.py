"""The board that the daemon lives on during the soak, and everything that befalls it."""

from __future__ import annotations

import random
import resource
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

from brokers import BINARY, Mosquitto
from support.tiny import write_tiny_bundle

from edge_asd.errors import EdgeAsdError
from edge_asd.protocols import AudioSource
from edge_asd.steady import SteadyClock
from soak.audit import Life
from soak.gauge import Gauge
from soak.pace import Pace, until
from soak.plan import KINDS, QUIET_START_S, Plan, Strikes
from soak.settings import (
    MONITORS,
    PLACES,
    config_of,
    machine_of,
    make_sounds,
    place_of,
    write_recordings,
)
from soak.sources import Place, PlayedSource, StagedSource
from soak.station import Ground, Station

_HOUR_S = 3600
_LAST_S = 12.0  # so that what befell it last is seen in the books


class Board:
    """See the module.

    Args:
        folder: For everything; must exist.
        seed: Of everything that happens.
        hurry: Things befall it so many times as often.
        broker: Whether it publishes to a real mosquitto.
    """

    def __init__(self, folder: Path, seed: int, *, hurry: float, broker: bool) -> None:
        self.gauge = Gauge()
        self.pace = Pace()
        self.life = Life(self.pace.counter())
        self.programs: Counter[str] = Counter()
        self.enrolled: Counter[str] = Counter()
        self.refused_starts = 0
        self.restarts = 0
        self.windows: Counter[str] = Counter()
        self.state = folder / "state"
        self.state.mkdir()
        self._counted: Counter[str] = Counter()  # of runs that are over
        self._sounds = make_sounds()
        self._recordings = write_recordings(folder, self._sounds)
        began_s = self.pace.counter()
        self.plans = {
            place.name: Plan(place.name, seed, len(place.machines), began_s) for place in PLACES
        }
        kinds = {"clock", "disk", "hold", "enrol", "restart"}
        self._broker = None
        if broker and BINARY is not None:
            (folder / "broker").mkdir()
            self._broker = Mosquitto(folder / "broker")
            self._broker.start()
            kinds.add("broker")
        self.strikes = Strikes(seed, began_s + QUIET_START_S, kinds, hurry)
        self._later: list[tuple[float, str]] = []
        self._futures: list[Future] = []
        self._disk_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._ground = Ground(
            config=config_of(None if self._broker is None else self._broker.url),
            bundle=write_tiny_bundle(folder / "tiny-1.asd"),
            state_dir=self.state,
            pace=self.pace,
            places=PLACES,
            open_source=self._open_source,
        )
        self.station: Station | None = None
        self._looked_s = 0.0

    # One after the other

    def begin(self) -> None:
        """Start the daemon, and once before that, so that everything has been there once."""
        self._start()
        self._stop()
        self._start()

    def step(self) -> None:
        """Let some time pass, with what happens in it."""
        self.station.rest()
        now_s = self.pace.counter()
        if now_s - self._looked_s >= 1.0:
            self._looked_s = now_s
            self.station.observer.look()
            self._count()
        while self._later and self._later[0][0] <= now_s:
            getattr(self, f"_{self._later.pop(0)[1]}")()
        kind = self.strikes.take(now_s)
        if kind is not None:
            getattr(self, f"_strike_{kind}")(self.strikes.rng, now_s)
        nexts = [self.strikes.next_s, *(at_s for at_s, _ in self._later)]
        self.pace.advance(max(self.pace.counter(), min(nexts)))

    def finish(self) -> None:
        """End the daemon for good, with all that waits written and delivered."""
        while self._later:
            getattr(self, f"_{self._later.pop(0)[1]}")()
        until_s = self.pace.counter() + _LAST_S
        self.strikes.defer(until_s + _LAST_S)
        while self.pace.counter() < until_s:
            self.step()
        self._deliver()
        self._stop()
        if self._broker is not None:
            self._broker.kill()

    @property
    def disk_works(self) -> bool:
        return resource.getrlimit(resource.RLIMIT_FSIZE) == self._disk_limit

    @property
    def own_children(self) -> tuple[int, ...]:
        """Processes that belong to the soak and not to the daemon."""
        process = None if self._broker is None else self._broker.process
        return () if process is None else (process.pid,)

    @property
    def everything(self) -> set[str]:
        """All that may happen to it and its sources."""
        return {*self.strikes.kinds, *KINDS}

    def give_up(self) -> None:
        """Leave nothing behind, whatever happened."""
        self._mend_disk()
        self.pace.end()
        if self.station is not None:
            self.station.close()
            self.station = None
        if self._broker is not None:
            self._broker.kill()

    # Strikes

    def _strike_clock(self, rng: random.Random, now_s: float) -> None:
        by_s = rng.choice((-_HOUR_S, _HOUR_S))
        self.pace.ahead_s += by_s
        self.life.steps_s.append(by_s)
        self.station.observer.look()
        self.strikes.defer(now_s + 20.0)  # what no disk ever learned nobody can know

    def _strike_disk(self, rng: random.Random, now_s: float) -> None:
        self._break_disk()
        self._do_later(now_s + rng.uniform(5.0, 120.0), "mend_disk")
        self.strikes.defer(self._later[-1][0] + 20.0, "clock", "restart", "disk")

    def _strike_hold(self, rng: random.Random, now_s: float) -> None:
        self.pace.gate.clear()
        self._do_later(now_s + rng.uniform(3.0, 45.0), "release")
        self.strikes.defer(self._later[-1][0] + 1.0)

    def _strike_enrol(self, rng: random.Random, now_s: float) -> None:
        monitor = rng.choice(list(MONITORS))
        request = {"command": "enrol", "monitor": monitor, "force": True}
        if rng.random() < 0.3:
            request["from"] = [str(self._recordings.enrol[machine_of(monitor)])]
        else:
            request["seconds"] = 60.0 + rng.randrange(20)
            self.plans[place_of(monitor).name].calm_until_s = now_s + 100.0
        self._futures.append(self.station.worker.submit(request, lambda *_: None))

    def _strike_restart(self, rng: random.Random, _now_s: float) -> None:
        refuse, stays = rng.random() < 0.3, rng.random() < 0.5
        if refuse and self.disk_works:
            self._break_disk()
        self._stop()
        if refuse and not stays:
            self._mend_disk()
        self._pass(rng.uniform(0.0, 600.0))
        self.restarts += 1
        try:
            self._start()
        except EdgeAsdError:
            self.refused_starts += 1
            self._mend_disk()
            self._pass(5.0)
            self._start()
        if not self.disk_works:
            self._do_later(self.pace.counter() + 30.0, "mend_disk")
        self.strikes.defer(self.pace.counter() + 60.0)

    def _strike_broker(self, rng: random.Random, now_s: float) -> None:
        self._broker.kill()
        self._do_later(now_s + rng.uniform(5.0, 300.0), "revive_broker")
        self.strikes.defer(self._later[-1][0] + 1.0, "broker")

    # What they do

    def _break_disk(self) -> None:
        """From now on no file can be written, as on a disk that is full or dying."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._disk_limit[1]))

    def _mend_disk(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._disk_limit)

    def _release(self) -> None:
        self.pace.gate.set()

    def _revive_broker(self) -> None:
        works = self.disk_works
        self._mend_disk()  # it is another machine's
        self._broker.start()
        if not works:
            self._break_disk()

    def _do_later(self, at_s: float, what: str) -> None:
        self._later.append((at_s, what))
        self._later.sort()

    def _deliver(self) -> None:
        self._mend_disk()
        if self._broker is not None and self._broker.process is None:
            self._broker.start()
        until(lambda: self.station.mqtt_idle, "the broker takes what waits")

    # Start and stop

    def _start(self) -> None:
        self.life.last_ahead_s = self.pace.ahead_s
        self.station = Station(self._ground)
        self._counted_now: Counter[str] = Counter()

    def _stop(self) -> None:
        self.station.observer.look()
        self._count()
        self._counted, self._counted_now = self._counted + self._counted_now, Counter()
        for future in self._futures:
            future.cancel()
        self._futures = []
        self.life.ended_s = self.pace.counter()
        scored_s, self.station = self.station.close(), None
        if self.disk_works:  # else the last seconds are lost, and known to be
            self.life.scored_s |= scored_s
        self.pace.begin()
        self.gauge.close(self.judged, but=self.own_children)

    def _pass(self, seconds: float) -> None:
        self.pace.advance(self.pace.counter() + seconds)

    def _count(self) -> None:
        self._counted_now = Counter()
        for _, result, number in self.station.windows():
            self._counted_now[result] += number
        self.windows = self._counted + self._counted_now
        for future in [future for future in self._futures if future.done()]:
            self._futures.remove(future)
            error = future.exception()
            self.enrolled["learned" if error is None else type(error).__name__] += 1

    @property
    def judged(self) -> int:
        """Windows that were complete, whatever became of them."""
        return sum(self.windows[result] for result in ("scored", "idle", "flawed", "skipped"))

    def _open_source(self, place: Place, clock: SteadyClock) -> AudioSource:
        if place.name == "program":
            file = self._recordings.play[place.machines[0]]
            return PlayedSource(place, file, self.pace, clock, self._started)
        return StagedSource(place, self.plans[place.name], self._sounds, self.pace, clock)

    def _started(self, program: str) -> None:
        self.programs[program] += 1
