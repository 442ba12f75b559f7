"""The endless sound of one machine, for the ``sim:`` source and the demo."""

from __future__ import annotations

import numpy as np
import scipy.fft

from edge_asd.simulate.dsp import FloatArray, child_rng, fast_length
from edge_asd.simulate.hearing import Spectrum, bend, spectrum, voices
from edge_asd.simulate.moment import CONTROL_HZ, Drive, Moment
from edge_asd.simulate.scene import Scene, build_fault
from edge_asd.simulate.schedule import Schedule


class SimulatedMachine:
    """Endless sound of one machine; the samples do not depend on how it is read.

    Rendered in pieces of one second: phases are carried on and kernels ring over into the next
    piece (overlap-add), so there are no seams. Not thread-safe.

    Args:
        scene: Machine, operation and place.
        seed: The moment at which the stream begins, at least 0.
        schedule: A fault and switching off; None runs normally for ever.

    Raises:
        ValueError: The kind has no such fault.
    """

    def __init__(self, scene: Scene, *, seed: int, schedule: Schedule | None = None) -> None:
        self.scene = scene
        self.schedule = schedule or Schedule()
        fault = self.schedule.fault
        self._model = None
        if fault is not None:
            self._model = build_fault(scene.kind, scene.unit, scene.sample_rate, fault.name)
        inertia = child_rng(scene.unit, "inertia")
        self._down_s, self._up_s = inertia.uniform(1.0, 3.0), inertia.uniform(1.0, 2.5)
        self._voices = voices(scene, seed)
        longest = max(voice.heard.longest for voice in self._voices)
        self._n_fft = fast_length(scene.sample_rate + longest - 1)
        self._spectra = [voice.heard.spectra(self._n_fft) for voice in self._voices]
        self._cycles: list[dict[str, float] | None] = [None] * len(self._voices)
        self._tail = np.zeros(self._n_fft - scene.sample_rate)
        self._ready: FloatArray = np.empty(0, np.float32)
        self._piece = 0
        self._next_piece()  # the second before the stream begins: fills the room with sound

    def read(self, n_samples: int) -> FloatArray:
        """Return the next samples.

        Args:
            n_samples: How many, at least 0.

        Returns:
            Samples in ±1, shape (n_samples,).

        Raises:
            ValueError: ``n_samples`` is negative.
        """
        if n_samples < 0:
            raise ValueError(f"n_samples={n_samples} is negative")
        pieces: list[FloatArray] = [self._ready]
        missing = n_samples - len(self._ready)
        while missing > 0:
            pieces.append(self._next_piece())
            missing -= len(pieces[-1])
        joined: FloatArray = np.concatenate(pieces)
        self._ready = joined[n_samples:].copy()
        return joined[:n_samples]

    def _next_piece(self) -> FloatArray:
        """Render the next second, shape (sample_rate,)."""
        n, n_fft = self.scene.sample_rate, self._n_fft
        total = np.zeros(n_fft // 2 + 1, np.complex64)
        for number, voice in enumerate(self._voices):
            total += self._heard(number) * np.float32(voice.gain)
        samples = scipy.fft.irfft(total, n_fft).astype(np.float64)
        samples[: len(self._tail)] += self._tail
        self._tail = samples[n:].copy()
        self._piece += 1
        return bend(samples[:n])

    def _heard(self, number: int) -> Spectrum:
        """Spectrum of this piece of one voice, its phases carried on."""
        voice, n = self._voices[number], self.scene.sample_rate
        machine = voice.heard.machine
        model = self._model if number == 0 else None  # the plant has no faults
        moment = Moment(
            n,
            self._drive(number),
            machine.shafts + (model.shafts if model else ()),
            seed=voice.seed,
            piece=self._piece,
            cycles=self._cycles[number],
            fault=model,
            load_wander=machine.load_wander,
        )
        self._cycles[number] = moment.end_cycles()
        return spectrum(machine, moment, self._spectra[number], n, self._n_fft)

    def _drive(self, number: int) -> Drive:
        """Speed, power and severity during this piece; the plant runs on."""
        heard = self._voices[number].heard
        # piece 0 lies before the stream; control points are shared by neighbouring pieces
        t = (self._piece - 1) + np.arange(CONTROL_HZ + 1) / CONTROL_HZ
        plan = self.schedule if number == 0 else Schedule()
        run = plan.run_at(t, self._down_s, self._up_s)
        return Drive(t, run, plan.power_at(t), plan.severity_at(t), heard.speed, heard.load)
