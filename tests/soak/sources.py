"""Sources that do what their plan says: one in this process, one that is a real child process."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_asd.capture import CaptureThread, ExecUri
from edge_asd.capture.backoff import Backoff
from edge_asd.capture.program import ProgramSource
from edge_asd.errors import CaptureError, StallError
from edge_asd.protocols import AudioSource
from edge_asd.records import Block
from edge_asd.steady import SteadyClock
from edge_asd.worker.arrivals import Arrivals
from edge_asd.worker.feed import Feed
from soak.pace import Pace
from soak.plan import Plan, Scene
from soak.sounds import Sounds

GLANCE_S = 0.0004
"""So long the worker really waits for a source that has nothing."""
_STALL_S = 6.0
_RATES = (22_050, 8_000)  # comes back at a higher rate, or at one that is too low
_BLOCKS_S = (0.1, 0.25, 0.5, 0.8, 0.8, 0.8)  # a second that waits is one not caught up with


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source hears, and what."""

    name: str
    machines: tuple[str, ...]
    """Of each channel."""
    rate: int = 16_000

    @property
    def rates(self) -> tuple[int, ...]:
        """What it may come back with."""
        return (self.rate, *_RATES)


class QuickArrivals(Arrivals[Feed]):
    """The worker waits less: nobody comes while time stands still."""

    def take(self, timeout_s: float) -> list[Feed]:
        return super().take(min(timeout_s, GLANCE_S))


class QuickCapture(CaptureThread):
    """A capture thread in a time of its own."""

    def __init__(self, place: Place, pace: Pace, open_source: Callable[[], AudioSource]) -> None:
        super().__init__(
            place.name,
            open_source,
            live=True,
            finite=False,
            backoff=Backoff(limit_s=5.0),
            rng=random.Random(place.name),
            clock=pace.counter,
            sleep=self._pause,
        )
        self._pace = pace

    def get(self, timeout_s: float) -> Block | None:
        self._pace.gate.wait()
        return super().get(timeout_s)

    def take(self) -> Block | None:
        self._pace.gate.wait()
        return super().take()

    def close(self) -> None:
        self._pace.poke()
        super().close()

    def _pause(self, seconds: float) -> None:
        if not self._pace.wait_until(self.name, self._pace.counter() + seconds):
            threading.Event().wait(0.002)


class _Waiting:
    """A source that waits for its time; the base of both."""

    def __init__(self, place: Place, pace: Pace) -> None:
        self._place, self._pace = place, pace
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        self._pace.poke()

    def _hold(self, seconds: float) -> bool:
        """Let time pass; False once closed."""
        pace = self._pace
        if pace.wait_until(
            self._place.name, pace.counter() + seconds, lambda: not self._closed.is_set()
        ):
            return True
        self._closed.wait()  # its end comes at once, and there is no other way for it to end
        return False


class StagedSource(_Waiting):
    """Plays the scenes of a plan.

    Raises:
        CaptureError: It cannot be opened at this time.
    """

    def __init__(
        self, place: Place, plan: Plan, sounds: Sounds, pace: Pace, clock: SteadyClock
    ) -> None:
        super().__init__(place, pace)
        self._plan, self._sounds, self._clock = plan, sounds, clock
        scene = plan.scene(pace.counter())
        if scene.kind == "error":
            raise CaptureError(f"{place.name}: no such device")
        self._rng = random.Random(f"{place.name} {pace.counter()}")
        higher = scene.kind == "rate" and scene.length_s > 15.0
        lower = scene.kind == "rate" and not higher
        self.sample_rate = _RATES[0] if higher else _RATES[1] if lower else place.rate
        self._start, self._flagged = 0, False
        self._backlog: list[Block] = []

    def blocks(self) -> Iterator[Block]:
        block_s = self._rng.choice(_BLOCKS_S)
        while True:
            scene = self._plan.scene(self._pace.counter())
            act = _ACTS.get(scene.kind)
            if act is not None and scene.once() and act(self, scene):
                return
            yield from self._backlog
            self._backlog = []
            if not self._hold(block_s):
                return
            yield self._block(scene, block_s)

    def _block(self, scene: Scene, seconds: float) -> Block:
        """What came in the last seconds."""
        n, rate = round(seconds * self.sample_rate), self.sample_rate
        since_s = self._pace.counter() - seconds
        channels = [
            self._sounds.hear(kind, scene, number, at_s=since_s, n=n, rate=rate)
            for number, kind in enumerate(self._place.machines)
        ]
        captured_at = self._clock.now() - n / rate
        block = Block(np.stack(channels, axis=1), self._start, captured_at, self._flagged)
        self._start, self._flagged = self._start + n, False
        return block

    # What happens once a scene; True is the end of the source

    def overflow(self, scene: Scene) -> bool:
        self._start += round(scene.length_s * self.sample_rate)
        return self.flag(scene) or self.lost(scene)

    def flag(self, _scene: Scene) -> bool:
        self._flagged = True
        return False

    def lost(self, scene: Scene) -> bool:
        return not self._hold(scene.length_s)

    def late(self, scene: Scene) -> bool:
        if self.lost(scene):
            return True
        self._backlog = [self._block(scene, 0.1) for _ in range(round(scene.length_s / 0.1))]
        return False

    def stall(self, scene: Scene) -> bool:
        if not self._hold(min(_STALL_S, scene.length_s)):
            return True
        if scene.length_s >= _STALL_S:
            raise StallError(f"{self._place.name}: silent for {_STALL_S:g} s")
        return False

    def end(self, _scene: Scene) -> bool:
        return True

    def crash(self, _scene: Scene) -> bool:
        raise RuntimeError("a bug in a source")

    def fail(self, _scene: Scene) -> bool:
        raise CaptureError(f"{self._place.name}: device disconnected")


_ACTS = {
    "overflow": StagedSource.overflow,
    "flag": StagedSource.flag,
    "lost": StagedSource.lost,
    "late": StagedSource.late,
    "stall": StagedSource.stall,
    "end": StagedSource.end,
    "crash": StagedSource.crash,
    "error": StagedSource.fail,
    "rate": StagedSource.fail,
}


PROGRAMS = {
    "ends": (60, "cat {file}"),
    "fails": (12, "head -c {some} {file}; echo broken >&2; exit 3"),
    "dies": (12, "head -c {some} {file}; kill -9 $$"),
    "leaves": (12, "sleep 600 >/dev/null 2>&1 & cat {file}"),
    "chatters": (6, "yes noise | head -c 200000 >&2; cat {file}"),
    "hangs": (3, "head -c {some} {file}; sleep 600"),
    "missing": (5, None),
}
"""How often, and what a shell is told."""


class PlayedSource(_Waiting):
    """What a real program writes, held back to the soak's time.

    Args:
        place: Where it is heard.
        file: Signed 16 bit samples that it writes.
        pace: The soak's time.
        clock: What blocks are dated with.
        seen: Told which program it was.
    """

    def __init__(
        self, place: Place, file: Path, pace: Pace, clock: SteadyClock, seen: Callable[[str], None]
    ) -> None:
        super().__init__(place, pace)
        self._clock = clock
        rng = random.Random(f"{place.name} {pace.counter()}")
        (name,) = rng.choices(list(PROGRAMS), [weight for weight, _ in PROGRAMS.values()])
        seen(name)
        script = PROGRAMS[name][1]
        some = rng.randrange(2 * place.rate, file.stat().st_size) // 2 * 2
        command = ("edge-asd-no-such-program",)
        if script is not None:
            command = ("sh", "-c", script.format(file=file, some=some))
        uri = ExecUri("exec:", command, rate=place.rate)
        self.sample_rate = place.rate
        self._program = ProgramSource(uri, stall_s=1.0, clock=clock)

    def blocks(self) -> Iterator[Block]:
        parts: list[Block] = []
        for block in self._program.blocks():
            parts.append(block)
            if sum(len(part.samples) for part in parts) >= 0.8 * self.sample_rate:
                if not self._wait(parts):
                    return
                yield self._joined(parts)
                parts = []
        if parts and self._wait(parts):
            yield self._joined(parts)

    def close(self) -> None:
        super().close()
        self._program.close()

    def _wait(self, parts: list[Block]) -> bool:
        return self._hold(sum(len(part.samples) for part in parts) / self.sample_rate)

    def _joined(self, parts: list[Block]) -> Block:
        samples = np.concatenate([part.samples for part in parts])
        captured_at = self._clock.now() - len(samples) / self.sample_rate
        return replace(parts[0], samples=samples, captured_at=captured_at)
