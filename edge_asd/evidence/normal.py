"""Normal sound to compare an alert with: how loud every band is, and by how much that varies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from edge_asd.audio import level_dbfs
from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import DataError
from edge_asd.evidence.view import FrontEnd, Mono, Spectrogram, heard
from edge_asd.operating import Operating, OperatingTracker, measure_slot
from edge_asd.profile import Profile
from edge_asd.records import FloatArray
from edge_asd.score.references import evenly

MAX_PIECES = 10
"""Minutes of the reservoir that are looked at, spread over all of it."""
LEAST_SPREAD_DB = 0.5
"""A band that never moved while it was enrolled would make every difference endless."""


@dataclass(frozen=True, slots=True, eq=False)
class BandLevels:
    """What is measured of a window, band by band."""

    mean_db: FloatArray
    """(M,) mean over time."""
    swing_db: FloatArray
    """(M,) standard deviation over time: how much it fluctuates."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalSound:
    """Enrolled windows, summarised."""

    usual: BandLevels
    """Mean over the windows."""
    spread: BandLevels
    """Standard deviation from window to window, at least 0.5 dB."""
    level_dbfs: float
    """Mean level of the windows before gain."""
    level_spread_db: float
    windows: int
    example: Spectrogram
    """The most typical window."""


def measure(db: FloatArray) -> BandLevels:
    """Levels of the frames (T, M) of a window; NaN only where every frame is."""
    there = db[~np.isnan(db).any(axis=1)]
    if not len(there):
        blank = np.full(db.shape[1], np.nan, np.float32)
        return BandLevels(blank, blank)
    return BandLevels(there.mean(axis=0), there.std(axis=0))


def learn_normal(
    folder: Path, front_end: FrontEnd, manifest: Manifest, profile: Profile
) -> NormalSound:
    """Measure the windows of a profile's reservoir in which the machine ran.

    Args:
        folder: The reservoir.
        front_end: What the model sees.
        manifest: Of the bundle the profile was learned with.
        profile: Whose gain and idle rule hold.

    Raises:
        DataError: There is no such folder, nothing in it can be read, or the machine was off.
    """
    paths = sorted(folder.glob("*.flac"))
    if not paths:
        raise DataError(f"{folder}: holds no recorded audio; enrol again")
    found: list[_Measured] = []
    damage = ""
    for index in evenly(len(paths), MAX_PIECES):
        try:
            mono = _read(paths[index], manifest.sample_rate, profile.gain_db)
        except DataError as error:  # one bad minute is no reason to have nothing to compare with
            damage = str(error)
            continue
        for begin in _running_windows(mono, manifest, profile):
            samples = mono.samples[begin : begin + manifest.window_samples]
            level = level_dbfs(samples) - profile.gain_db
            found.append(_Measured(paths[index], begin, level, measure(front_end.frames(samples))))
    if not found:
        raise DataError(damage or f"{folder}: the machine does not run for a whole window in it")
    return _summary(found, front_end, manifest, profile)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """One window; its sound is read again where it is needed, all of it would be much."""

    path: Path
    begin: int
    level_dbfs: float
    levels: BandLevels


def _summary(
    found: list[_Measured], front_end: FrontEnd, manifest: Manifest, profile: Profile
) -> NormalSound:
    means = np.stack([one.levels.mean_db for one in found])  # (W, M)
    swings = np.stack([one.levels.swing_db for one in found])
    usual = BandLevels(means.mean(axis=0), swings.mean(axis=0))
    distance = np.square(means - usual.mean_db).sum(axis=1)
    distance += np.square(swings - usual.swing_db).sum(axis=1)
    typical = found[int(distance.argmin())]
    mono = _read(typical.path, manifest.sample_rate, profile.gain_db)
    window = mono.samples[typical.begin : typical.begin + manifest.window_samples]
    levels = [one.level_dbfs for one in found]
    return NormalSound(
        usual=usual,
        spread=BandLevels(_spread(means), _spread(swings)),
        level_dbfs=float(np.mean(levels)),
        level_spread_db=max(LEAST_SPREAD_DB, float(np.std(levels))),
        windows=len(found),
        example=front_end.spectrogram(Mono(window, ((0, len(window)),))),
    )


def _spread(values: FloatArray) -> FloatArray:
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    return np.maximum(spread, LEAST_SPREAD_DB).astype(np.float32)


def _read(path: Path, rate: int, gain_db: float) -> Mono:
    try:
        samples, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:  # OSError: enrolled anew meanwhile
        raise DataError(f"{path}: damaged ({error}); enrol again") from error
    mono = np.ascontiguousarray(samples[:, 0])  # (n, 1) -> (n,)
    return heard(mono, source_rate, (), target_rate=rate, gain_db=gain_db)


def _running_windows(mono: Mono, manifest: Manifest, profile: Profile) -> list[int]:
    """First samples of windows that do not overlap and in which the machine runs throughout."""
    hop, length = manifest.hop_samples, manifest.window_samples
    tracker = OperatingTracker(profile.idle_rule, hop, settle_samples=0)
    factor = np.float32(10.0 ** (-profile.gain_db / 20.0))  # the rule is about sound before gain
    running = []
    for start in range(0, len(mono.samples) - hop + 1, hop):
        slot = measure_slot(mono.samples[start : start + hop] * factor)
        deaf = slot.dead and profile.signal.hold_s < hop / manifest.sample_rate
        running.append(tracker.update(slot, start, deaf=deaf) is Operating.RUNNING)
    slots = -(-length // hop)
    starts = []
    at = 0
    while at * hop + length <= len(mono.samples):
        covered = running[at : at + slots]
        if all(covered):
            starts.append(at * hop)
            at += slots
        else:
            at += len(covered) - covered[::-1].index(False)  # on after the last quiet slot
    return starts
