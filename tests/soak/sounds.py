"""What the sources of the soak give: machines that run, break and stop, and broken microphones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import soxr
from support.sound import RATE, machine

from soak.plan import Scene

MACHINES = {"pump": "bearing_outer", "fan": "rub"}
"""Each with the fault that it gets."""
_NORMAL_S, _OTHER_S = 64.0, 24.0


@dataclass(slots=True)
class Sounds:
    """Loops of sound, made once; read-only, so that every thread may use them."""

    _loops: dict[tuple[str, str, int], np.ndarray] = field(default_factory=dict)

    def make(self, kind: str, rates: tuple[int, ...]) -> None:
        """Prepare what a machine sounds like at these rates."""
        made = {
            "normal": machine(kind, _NORMAL_S),
            "fault": machine(kind, _OTHER_S, seed=2, fault=MACHINES[kind]),
            "idle": machine(kind, _OTHER_S, seed=3, off=((0.0, _OTHER_S),)),
        }
        for what, samples in made.items():
            for rate in rates:
                loop = samples if rate == RATE else soxr.resample(samples, RATE, rate)
                self._loops[kind, what, rate] = np.asarray(loop, np.float32)

    def loop(self, kind: str, what: str, rate: int) -> np.ndarray:
        """A whole loop (n,)."""
        return self._loops[kind, what, rate]

    def hear(
        self, kind: str, scene: Scene, channel: int, *, at_s: float, n: int, rate: int
    ) -> np.ndarray:
        """``n`` samples (n,) of a machine from a moment on, as one channel hears it."""
        what = scene.kind if channel in scene.channels else "normal"
        if what in ("fault", "idle"):
            return self._cut(kind, what, at_s, n, rate)
        samples = self._cut(kind, "normal", at_s, n, rate)
        broken = _BROKEN.get(what)
        return samples if broken is None else broken(samples)

    def _cut(self, kind: str, what: str, at_s: float, n: int, rate: int) -> np.ndarray:
        loop = self._loops[kind, what, rate]
        return np.take(loop, np.arange(n) + round(at_s * rate), mode="wrap")


def _not_finite(samples: np.ndarray) -> np.ndarray:
    broken = samples.copy()
    broken[len(broken) // 2] = np.nan
    return broken


def _converter(samples: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(len(samples))
    return rng.normal(scale=2.0**-16, size=len(samples)).astype(np.float32)


_BROKEN = {
    "zeros": np.zeros_like,
    "stuck": lambda samples: np.full_like(samples, 0.25),
    "dc": lambda samples: np.clip(samples + np.float32(0.4), -1.0, 1.0),
    "nan": _not_finite,
    "deaf": _converter,
    "loud": lambda samples: np.clip(samples * np.float32(40.0), -1.0, 1.0),
}
