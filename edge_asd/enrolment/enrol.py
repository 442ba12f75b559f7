"""Normal audio to a profile: gain, idle rule, signal rule, references, calibration.

Two passes over the audio. The first measures it: what the microphone sounds like, and slot by slot
when the machine ran, and how loud, which gives the idle rule and the fixed gain. The second embeds
the windows in which it ran and the microphone heard it, scores each against references learned
without its neighbourhood (cross-fitting), and calibrates on those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_asd.audio import db_to_factor
from edge_asd.bundle.manifest import Manifest
from edge_asd.capture import Resampler
from edge_asd.clock import rfc3339
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.errors import DataError
from edge_asd.hearing.signal_health import SignalLearner, SignalRule, SignalWatch, numbers
from edge_asd.operating import Slot, learn_idle_rule, measure_slot
from edge_asd.profile import HeldOut, Profile
from edge_asd.profile.targets import MAX_OF_ONE
from edge_asd.protocols import AudioSource
from edge_asd.records import Block
from edge_asd.score import Views, calibrate, cross_fit, few_standards, fit_detector
from edge_asd.score.calibrate import BLOCK_S, Persistence
from edge_asd.score.references import evenly
from edge_asd.score.views import concatenate
from edge_asd.window import Windower

MIN_AUDIO_S = 60.0
MAX_AUDIO_S = 12 * 3600.0
MIN_FOLDS = 5
MAX_FOLDS = 32
SHORT_PARTS = 8
"""Parts of the audio that stand in for short recordings …"""
SHORT_COMPARED = 256
"""… and windows at most that each is compared with."""
SEED = 0

Progress = Callable[[float, str], None]
OpenAudio = Callable[[], AudioSource]


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """Who is enrolled, and how it will be decided."""

    monitor: str
    source: str
    """What is listened to, for people."""
    channel: int
    persistence: Persistence
    false_alarms_per_week: float
    settle_s: float
    microphone: str = ""
    """Identity of the microphone, where the source has one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What the first pass found."""

    slots: list[Slot]
    spans: list[tuple[int, int]]
    """(run, first sample) of every slot, at the bundle's rate."""
    heard_s: float
    signal: SignalLearner

    def ungated(self, slot_s: float) -> _Measured:
        """Slots that a noise gate mutes, again and again, are pauses and not dead."""
        if self.signal.hold_s < slot_s:
            return self
        return replace(self, slots=[replace(slot, dead=False) for slot in self.slots])


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """Views of the running windows and where they lie."""

    views: Views
    starts: NDArray[np.int64]
    runs: NDArray[np.int64]


def mono_blocks(
    source: AudioSource, rate: int, channel: int, listen: Callable[[Block], None]
) -> Iterator[Block]:
    """One channel of a finite source at the bundle's rate, to its last sample.

    Args:
        source: Where from.
        rate: Hertz.
        channel: From 0.
        listen: Called with every block of the source before what became of it.
    """
    resampler = Resampler(source.sample_rate, rate, channel)
    for block in source.blocks():
        # One value that is not a number would spread in the filter; its window is left out anyhow.
        mono = resampler.push(replace(block, samples=numbers(block.samples)))
        listen(block)
        yield from mono
    yield from resampler.flush()


def enrol(
    networks: NetworkSet,
    open_audio: OpenAudio,
    request: EnrolRequest,
    now: float,
    progress: Progress,
) -> Profile:
    """Learn a profile from normal audio.

    Args:
        networks: The bundle's networks, opened.
        open_audio: Opens the audio from its beginning; called twice.
        request: Who and how.
        now: Wall time, seconds since 1970 UTC.
        progress: Called with a fraction (0 to 1) and what is being done.

    Raises:
        DataError: Too little audio, digital silence, or a file that cannot be decoded.
        ScorerError: The audio cannot be compared with itself.
    """
    manifest = networks.bundle.manifest
    progress(0.0, "measuring")
    slot_s = manifest.hop_samples / manifest.sample_rate
    measured = _measure(open_audio, manifest, request.channel).ungated(slot_s)
    levels = np.asarray([slot.level_dbfs for slot in measured.slots])
    dead = np.asarray([slot.dead for slot in measured.slots])
    _require_running(float((~dead).sum()) * slot_s, measured.heard_s, request.monitor)
    idle_rule, off = learn_idle_rule(measured.slots, slot_s)
    signal = measured.signal.rule(idle_rule)
    running = ~off & ~dead
    _require_running(float(running.sum()) * slot_s, measured.heard_s, request.monitor)
    gain_db = round(manifest.reference_dbfs - float(np.median(levels[running])), 2)
    settle = round(request.settle_s * manifest.sample_rate)
    masked = _masked_spans(measured.spans, off, dead, manifest.hop_samples, settle)
    expected = max(1, len(measured.slots))
    embedded = _embed(
        networks,
        open_audio,
        channel=request.channel,
        gain_db=gain_db,
        masked=masked,
        signal=signal,
        expected=expected,
        progress=progress,
    )
    progress(0.9, "calibrating")
    folds, excluded = _folds(embedded, manifest)
    standards, held_out = cross_fit(manifest, embedded.views, folds, excluded, SEED)
    stretches = _stretches(embedded, folds, manifest.hop_samples)
    held = HeldOut(held_out, stretches.astype(np.float32))
    blocks = held.blocks(request.persistence, manifest)
    detector = fit_detector(manifest, embedded.views, None, standards, np.random.default_rng(SEED))
    parts = _short_parts(embedded, manifest, request.persistence.k)
    progress(1.0, "done")
    return Profile(
        monitor=request.monitor,
        bundle_sha256=networks.bundle.sha256,
        bundle_label=networks.bundle.label,
        created_at=rfc3339(now),
        source=request.source,
        enrolled_s=round(float(running.sum()) * slot_s, 3),
        gain_db=gain_db,
        detector=detector,
        idle_rule=idle_rule,
        persistence=request.persistence,
        held_out=held,
        blocks=blocks,
        calibration=calibrate(
            blocks.maxima, blocks.block_s, held_out, request.false_alarms_per_week
        ),
        signal=signal,
        microphone=request.microphone,
        few=few_standards(manifest, embedded.views, parts),
    )


def _measure(open_audio: OpenAudio, manifest: Manifest, channel: int) -> _Measured:
    hop = manifest.hop_samples
    slotter = Windower(hop, hop, manifest.sample_rate)
    slots, spans, heard = [], [], 0
    source = open_audio()
    signal = SignalLearner(source.sample_rate)

    def listen(block: Block) -> None:
        if block.overflowed:
            signal.interrupt()
        signal.push(block.samples[:, channel], block.start / source.sample_rate)

    try:
        for block in mono_blocks(source, manifest.sample_rate, channel, listen):
            heard += len(block.samples)
            for piece in slotter.push(block):
                slots.append(measure_slot(piece.samples))
                spans.append((piece.run, piece.start))
            if heard > MAX_AUDIO_S * manifest.sample_rate:
                raise DataError(
                    f"more than {MAX_AUDIO_S / 3600:.0f} h of audio; choose a part of it that "
                    "covers the machine's normal work"
                )
    finally:
        source.close()
    heard_s = heard / manifest.sample_rate
    if heard_s < MIN_AUDIO_S:
        raise DataError(
            f"{heard_s:.1f} s of audio; at least {MIN_AUDIO_S:.0f} s of the machine's normal "
            "sound are needed, ten minutes are better"
        )
    return _Measured(slots, spans, heard_s, signal)


def _require_running(running_s: float, heard_s: float, monitor: str) -> None:
    # A slot is lost at the end of the audio: 60 s hold 60 slots of 0.992 s and a rest.
    if running_s < MIN_AUDIO_S - 2.0:
        raise DataError(
            f"{monitor}: the machine runs for {running_s:.0f} s of the {heard_s:.0f} s heard "
            "(the rest is digital silence or the machine being off); at least "
            f"{MIN_AUDIO_S:.0f} s of running are needed"
        )


def _masked_spans(
    spans: list[tuple[int, int]],
    off: NDArray[np.bool_],
    dead: NDArray[np.bool_],
    hop: int,
    settle: int,
) -> list[tuple[int, int, int]]:
    """(run, first, end) samples that no enrolled window may touch."""
    return [
        (run, start, start + hop + (settle if is_off else 0))
        for (run, start), is_off, is_dead in zip(spans, off, dead, strict=True)
        if is_off or is_dead
    ]


def _embed(
    networks: NetworkSet,
    open_audio: OpenAudio,
    *,
    channel: int,
    gain_db: float,
    masked: list[tuple[int, int, int]],
    signal: SignalRule,
    expected: int,
    progress: Progress,
) -> _Embedded:
    manifest = networks.bundle.manifest
    embedder = WindowEmbedder(networks)
    windower = Windower(
        manifest.window_samples, manifest.hop_samples, manifest.sample_rate, db_to_factor(gain_db)
    )
    views, starts, runs = [], [], []
    source = open_audio()
    watch = SignalWatch(signal, source.sample_rate)

    def listen(block: Block) -> None:
        if block.overflowed:
            watch.interrupt()
        watch.block(block.samples[:, channel], block.start / source.sample_rate)

    try:
        for block in mono_blocks(source, manifest.sample_rate, channel, listen):
            for window in windower.push(block):
                end = window.start + manifest.window_samples
                if any(
                    run == window.run and start < end and window.start < stop
                    for run, start, stop in masked
                ):
                    continue
                begin_s = window.start / manifest.sample_rate
                if not watch.window(begin_s, end / manifest.sample_rate).usable:
                    continue
                views.append(embedder.embed(window))
                starts.append(window.start)
                runs.append(window.run)
                progress(min(0.9, 0.9 * len(views) / expected), "embedding")
    finally:
        source.close()
    if len(views) < 2:
        raise DataError(
            "no two windows of uninterrupted running; a window is "
            f"{manifest.window_samples / manifest.sample_rate:.0f} s long: enrol with longer pieces"
        )
    return _Embedded(concatenate(views), np.asarray(starts), np.asarray(runs))


def _folds(
    embedded: _Embedded, manifest: Manifest
) -> tuple[NDArray[np.intp], list[NDArray[np.bool_]]]:
    """Contiguous folds, and for each the windows that share audio with it."""
    total = len(embedded.views)
    per_fold = (2.0 * BLOCK_S * manifest.sample_rate) / manifest.hop_samples
    count = min(max(MIN_FOLDS, int(total / per_fold)), MAX_FOLDS, total)
    folds: NDArray[np.intp] = np.arange(total) * count // total
    excluded: list[NDArray[np.bool_]] = []
    for fold in range(count):
        near = np.zeros(total, dtype=np.bool_)
        mine = folds == fold
        for run in np.unique(embedded.runs[mine]):
            starts = embedded.starts[mine & (embedded.runs == run)]
            near |= (
                (embedded.runs == run)
                & (embedded.starts > starts.min() - manifest.window_samples)
                & (embedded.starts < starts.max() + manifest.window_samples)
            )
        excluded.append(near)
    return folds, excluded


def _short_parts(
    embedded: _Embedded, manifest: Manifest, length: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Parts as long as what an alert rests on, thinned as targets are, and windows far from each.

    Args:
        embedded: All windows.
        manifest: How long windows are.
        length: Windows of a part.
    """
    total = len(embedded.views)
    last = total - length
    parts: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    if last < 0:
        return parts
    for first in np.unique(np.linspace(0, last, SHORT_PARTS).astype(np.intp)):
        members = first + evenly(length, MAX_OF_ONE)
        far = np.ones(total, dtype=np.bool_)
        for member in members:
            near = np.abs(embedded.starts - embedded.starts[member]) < manifest.window_samples
            far &= ~(near & (embedded.runs == embedded.runs[member]))
        elsewhere = np.flatnonzero(far)
        if len(elsewhere):
            parts.append((members, elsewhere[evenly(len(elsewhere), SHORT_COMPARED)]))
    return parts


def _stretches(embedded: _Embedded, folds: NDArray[np.intp], hop: int) -> NDArray[np.intp]:
    """Number of the uninterrupted stretch, within one fold, of every window."""
    breaks = (
        (np.diff(embedded.starts) != hop) | (np.diff(embedded.runs) != 0) | (np.diff(folds) != 0)
    )
    return np.concatenate([[0], np.cumsum(breaks)]).astype(np.intp)
