"""Batches of windows: a pure function of seed and step, so that a resumed run goes on exactly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_asd.records import FloatArray
from edge_asd_train.augment import Draws
from edge_asd_train.datasets.store import ClipStore
from edge_asd_train.recipe import Recipe
from edge_asd_train.recipe_parts import Episodes

_QUIETEST = 1e-6  # rms below which a window or background is left alone (-120 dBFS)


class Batches:
    """Cut, level and disturb windows of clips as a recipe says.

    Args:
        clips: What is learned from.
        recipe: Window, batch, gain, background and seed.
        noise: Sounds of the surroundings; classes do not matter.
        rows: Rows of the batch to make where several processes share it, all by default. Every
            row depends on its own number alone.
    """

    def __init__(
        self,
        clips: ClipStore,
        recipe: Recipe,
        noise: ClipStore | None = None,
        *,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.clips = clips
        self.recipe = recipe
        self.rows = np.arange(recipe.batch) if rows is None else rows
        self.noise = noise if recipe.background.probability > 0 else None
        self._gains_db: NDArray[np.float64] = np.zeros(len(clips.machine_names))
        if recipe.gain.per_machine:
            self._gains_db = recipe.gain.reference_dbfs - clips.machine_levels_dbfs()
        self._machines: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        if recipe.episodes is not None:
            options = recipe.episodes
            self._machines = clips.machines_with_faults(
                options.machines, options.normal, options.faulty
            )
        # Epoch and order of the clips in it; replaced as a whole, since threads share it.
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step; may be called by several threads at once.

        Returns:
            Waveforms (b, L) float32 and one-hot labels (b, N) float32 of the b rows.
        """
        chosen = self._chosen(step)[self.rows]
        windows = np.empty((len(chosen), self.recipe.window_samples), np.float32)
        for window, row, clip in zip(windows, self.rows, chosen, strict=True):
            rng = np.random.default_rng([self.recipe.seed, 1, step, int(row)])
            window[:] = self._window(int(clip), rng)
        labels = torch.from_numpy(self.clips.labels[chosen])
        one_hot = functional.one_hot(labels, len(self.clips.classes))
        return torch.from_numpy(windows), one_hot.to(torch.float32)

    def draws(self, step: int) -> Draws:
        """Random numbers for the augmentations of a step's rows."""
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        rows = torch.from_numpy(self.rows)
        return Draws(generator, rows, self.recipe.batch, torch.device("cpu"))

    def _chosen(self, step: int) -> NDArray[np.int64]:
        """Clips of a step: every epoch is a new order of all of them."""
        if self.recipe.episodes is not None:
            return self._episode(self.recipe.episodes, step)
        size, n = self.recipe.batch, len(self.clips)
        chosen = np.empty(size, np.int64)
        for i, position in enumerate(range(step * size, (step + 1) * size)):
            epoch, place = divmod(position, n)
            chosen[i] = self._order_of(epoch)[place]
        return chosen

    def _episode(self, options: Episodes, step: int) -> NDArray[np.int64]:
        """Clips of machines drawn at random, of each the normal ones first."""
        rng = np.random.default_rng([self.recipe.seed, 0, step])
        chosen = []
        for machine in rng.choice(len(self._machines), options.machines, replace=False):
            for clips, count in zip(
                self._machines[machine], (options.normal, options.faulty), strict=True
            ):
                chosen.append(rng.choice(clips, count, replace=False))
        return np.concatenate(chosen)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        known, order = self._order
        if known != epoch:
            shuffle = np.random.default_rng([self.recipe.seed, 0, epoch])
            order = shuffle.permutation(len(self.clips))
            self._order = (epoch, order)
        return order

    def _window(self, clip: int, rng: np.random.Generator) -> FloatArray:
        length = self.recipe.window_samples
        samples = self._cut(self.clips, clip, length, rng)
        if self.noise is not None and rng.random() < self.recipe.background.probability:
            background = self._cut(self.noise, int(rng.integers(len(self.noise))), length, rng)
            snr_db = rng.uniform(*self.recipe.background.snr_db)
            samples += background * _background_factor(samples, background, snr_db)
        gain_db = self._gains_db[self.clips.machines[clip]]
        gain_db += rng.uniform(-1.0, 1.0) * self.recipe.gain.jitter_db
        return samples * np.float32(10.0 ** (gain_db / 20.0))

    @staticmethod
    def _cut(store: ClipStore, clip: int, length: int, rng: np.random.Generator) -> FloatArray:
        """Window at a random offset; a clip that is too short repeats."""
        n = int(store.lengths[clip])
        last = n - length if n >= length else n - 1
        return store.window(clip, int(rng.integers(last + 1)), length)


def _background_factor(window: FloatArray, background: FloatArray, snr_db: float) -> np.float32:
    """Factor that puts a background ``snr_db`` below a window; zero where either is silent."""
    signal = float(np.sqrt(np.mean(np.square(window))))
    noise = float(np.sqrt(np.mean(np.square(background))))
    if min(signal, noise) < _QUIETEST:
        return np.float32(0.0)
    return np.float32(signal / noise * 10.0 ** (-snr_db / 20.0))
