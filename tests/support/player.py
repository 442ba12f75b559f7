"""A machine that does what the test says when it says it, so that no test races against a sound."""

from __future__ import annotations

import sys

import numpy as np

RATE = 16_000
_PIECE = RATE // 10 * 2  # bytes: 0.1 s of 16 bit

_PROGRAM = f"""
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
sounds = {{path.stem: path.read_bytes() for path in folder.glob("*.pcm")}}
at, due = dict.fromkeys(sounds, 0), time.monotonic()
while True:
    name, speed = (folder / "cue").read_text().split()
    piece = sounds[name][at[name] : at[name] + {_PIECE}]
    at[name] = (at[name] + {_PIECE}) % len(sounds[name])
    sys.stdout.buffer.write(piece)
    sys.stdout.flush()
    now = time.monotonic()
    due = max(due + 0.1 / float(speed), now - 1.0)  # late by a second, it makes up for it
    time.sleep(max(0.0, due - now))
"""


class Player:
    """A program for ``exec:`` that plays one sound over and over until it is told another.

    Run the daemon with ``--once``: then a program that is faster than the daemon is made to wait,
    as a file is, and nothing is lost on a slow machine.

    Args:
        folder: Where its files go; made here.
        speed: Times real time, at most.
        sounds: Samples (n,) at 16 kHz by name, a second or more; the first is played first.
    """

    def __init__(self, folder, *, speed=10.0, **sounds) -> None:
        folder.mkdir()
        self._folder, self._speed = folder, speed
        for name, samples in sounds.items():
            whole = (samples[: len(samples) * 2 // _PIECE * _PIECE // 2] * 32_767).round()
            (folder / f"{name}.pcm").write_bytes(whole.astype(np.int16).tobytes())
        (folder / "play.py").write_text(_PROGRAM)
        self.play(next(iter(sounds)))
        self.source = f"exec:{sys.executable} {folder / 'play.py'} {folder}?rate={RATE}"

    def play(self, name):
        """Play another sound from now on."""
        (self._folder / "next").write_text(f"{name} {self._speed}")
        (self._folder / "next").replace(self._folder / "cue")
