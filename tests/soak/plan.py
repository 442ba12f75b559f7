"""What happens to a source and to the board, drawn from the seed: a function of time alone."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

QUIET_START_S = 90.0
"""Nothing happens before: the monitors learn what is normal."""
_CALM_S = (8.0, 240.0)
_MEAN_CALM_S = 40.0

# How often, and how long at least and at most.
SOUND = {
    "fault": (28, 8.0, 40.0),  # the machine breaks
    "idle": (10, 4.0, 60.0),  # it stops
    "zeros": (5, 0.3, 25.0),
    "stuck": (4, 0.3, 20.0),
    "dc": (3, 1.0, 20.0),
    "nan": (4, 0.2, 5.0),
    "deaf": (3, 1.0, 20.0),  # the noise of a converter
    "loud": (5, 2.0, 20.0),  # clipped
}
DELIVERY = {
    "overflow": (8, 0.5, 6.0),  # audio is lost, and the driver says so
    "lost": (5, 0.3, 8.0),  # and it does not
    "late": (5, 0.2, 1.8),  # it comes in a burst
    "flag": (2, 1.0, 2.0),  # a driver that says so for nothing
    "stall": (4, 2.5, 40.0),
    "error": (6, 1.0, 90.0),  # unplugged: it cannot be opened meanwhile
    "end": (3, 1.0, 2.0),
    "crash": (1, 1.0, 2.0),  # a bug in a source
    "rate": (3, 2.0, 30.0),  # it comes back at another rate, or at one that is too low
}
KINDS = {**SOUND, **DELIVERY}


@dataclass(slots=True, eq=False)
class Scene:
    """What happens to a source for some time."""

    kind: str
    begin_s: float
    end_s: float
    channels: frozenset[int] = frozenset()
    """Which of them hear it, where it is heard."""
    spent: bool = False
    """What happens once has happened."""

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s

    def once(self) -> bool:
        """True the first time it is asked."""
        spent, self.spent = self.spent, True
        return not spent


@dataclass(slots=True)
class Plan:
    """Scenes of one source, one after the other."""

    name: str
    seed: int
    channels: int
    from_s: float
    calm_until_s: float = 0.0
    """Nothing new begins before."""
    seen: Counter[str] = field(default_factory=Counter)
    _rng: random.Random = field(init=False)
    _scene: Scene = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"{self.seed} {self.name}")
        self._scene = Scene("normal", self.from_s, self.from_s + QUIET_START_S)

    def scene(self, at_s: float) -> Scene:
        """What happens at a moment; moments never go back."""
        while self._scene.end_s <= at_s:
            self._scene = self._next(self._scene)
            self.seen[self._scene.kind] += 1
        return self._scene

    def _next(self, scene: Scene) -> Scene:
        if scene.kind != "normal" or scene.end_s < self.calm_until_s:
            shortest, longest = _CALM_S
            calm_s = min(longest, shortest + self._rng.expovariate(1.0 / _MEAN_CALM_S))
            return Scene("normal", scene.end_s, scene.end_s + calm_s)
        (kind,) = self._rng.choices(list(KINDS), [weight for weight, *_ in KINDS.values()])
        _, shortest, longest = KINDS[kind]
        heard_by = {number for number in range(self.channels) if self._rng.random() < 0.6}
        return Scene(
            kind,
            scene.end_s,
            scene.end_s + self._rng.uniform(shortest, longest),
            frozenset(heard_by or {self._rng.randrange(self.channels)}),
        )


# Of the board: seconds between two of a kind, on average.
STRIKES = {
    "clock": 1500.0,  # the wall clock is set by an hour
    "disk": 1100.0,  # the disk takes nothing
    "hold": 1600.0,  # the worker is held up
    "enrol": 2600.0,  # somebody enrols a monitor again
    "restart": 600.0,
    "broker": 3000.0,
}


_SHORTEST_S = 120.0


class Strikes:
    """When what befalls the board, one at a time.

    Args:
        seed: Of the soak.
        from_s: Nothing happens before.
        kinds: Which there are.
        pace: So many times as often.
    """

    def __init__(self, seed: int, from_s: float, kinds: set[str], pace: float = 1.0) -> None:
        self.rng = random.Random(f"{seed} strikes")
        self.seen: Counter[str] = Counter()
        self._kinds = {
            kind: max(_SHORTEST_S, every_s / pace)
            for kind, every_s in STRIKES.items()
            if kind in kinds
        }
        self._due = {kind: self._after(kind, from_s) for kind in self._kinds}

    @property
    def next_s(self) -> float:
        """When something happens next."""
        return min(self._due.values())

    @property
    def kinds(self) -> set[str]:
        """What may happen."""
        return set(self._kinds)

    def take(self, now_s: float) -> str | None:
        """What happens now, if anything."""
        kind = min(self._due, key=lambda each: self._due[each])
        if self._due[kind] > now_s:
            return None
        self._due[kind] = self._after(kind, now_s)
        self.seen[kind] += 1
        return kind

    def defer(self, until_s: float, *kinds: str) -> None:
        """Nothing of these kinds, or of any, before a moment."""
        for kind in kinds or self._due:
            if kind in self._due:
                self._due[kind] = max(self._due[kind], until_s)

    def stop(self, kind: str) -> None:
        """Nothing of this kind any more; at least one other is left."""
        self._due.pop(kind, None)

    def _after(self, kind: str, now_s: float) -> float:
        return now_s + 20.0 + self.rng.expovariate(1.0 / self._kinds[kind])
