"""Enrolment with what belongs to it on disk: the profile and the reservoir it was learned from."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge_asd.bundle import Bundle
from edge_asd.bundle.store import keep_bundle
from edge_asd.capture import FileSource
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.engine_request import ANYWHERE, EngineRequest
from edge_asd.enrolment.enrol import EnrolRequest, Progress, enrol
from edge_asd.errors import BusyError
from edge_asd.profile import Profile, profile_dir, save_profile
from edge_asd.profile.reservoir import DEFAULT_BUDGET_BYTES, PieceSource, PieceWriter, thin
from edge_asd.records import State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A profile, and the folder with the audio it was learned from; not in place yet."""

    profile: Profile
    audio: Path


def learn_from_files(
    bundle: Bundle,
    state_dir: Path,
    files: Sequence[Path],
    request: EnrolRequest,
    *,
    now: float,
    progress: Progress,
    engine: EngineRequest = ANYWHERE,
) -> Learned:
    """Learn from sound files, read as one stream in the order given.

    ``engine`` should be the one that will score.

    Raises:
        DataError: A file cannot be used, or there is too little audio.
        StorageError: The reservoir cannot be written.
    """
    with _opened(bundle, engine) as networks:
        profile = enrol(networks, lambda: FileSource.of(files), request, now, progress)
    source = FileSource.of(files)
    folder = profile_dir(state_dir, request.monitor) / "reservoir.new"
    writer = PieceWriter(folder, source.sample_rate, request.channel, DEFAULT_BUDGET_BYTES)
    for block in source.blocks():
        writer.push(block)
    writer.close()
    return Learned(profile, folder)


def learn_from_recording(
    bundle: Bundle,
    recording: Path,
    request: EnrolRequest,
    *,
    now: float,
    progress: Progress,
    engine: EngineRequest = ANYWHERE,
) -> Learned:
    """Learn from what a ``PieceWriter`` recorded live.

    ``engine`` should be the one that will score.

    Raises:
        DataError: There is too little audio, or the machine did not run.
    """
    # A recording holds the monitor's channel only.
    mono = replace(request, channel=0)
    with _opened(bundle, engine) as networks:
        profile = enrol(networks, lambda: PieceSource(recording), mono, now, progress)
    thin(recording, DEFAULT_BUDGET_BYTES)
    return Learned(profile, recording)


def install(state_dir: Path, bundle: Bundle, learned: Learned) -> None:
    """Put a profile and its reservoir in place; the profile counts, the audio may lag behind.

    Raises:
        StorageError: The profile cannot be written; the old one is whole.
    """
    keep_bundle(state_dir, bundle)
    save_profile(state_dir, learned.profile)
    reservoir = learned.audio.with_name("reservoir")
    try:
        shutil.rmtree(reservoir, ignore_errors=True)
        learned.audio.rename(reservoir)
    except OSError as error:
        logger.warning("reservoir=%s not kept error=%s", reservoir, error.strerror)


def refuse_during_alert(monitor: str, state: State, *, force: bool) -> None:
    """Guard against learning a fault as normal.

    Raises:
        BusyError: The monitor is in warning or alarm, and nobody forces it.
    """
    if state in (State.WARNING, State.ALARM) and not force:
        raise BusyError(
            f"{monitor} is in state {state.value}: what is heard now would be learned as normal; "
            "wait for the all-clear, or use --force"
        )


@contextmanager
def _opened(bundle: Bundle, engine: EngineRequest) -> Iterator[NetworkSet]:
    networks = open_networks(bundle, engine)
    try:
        yield networks
    finally:
        networks.close()
