"""What a monitor has learned, learned once more with the networks of another bundle.

Another bundle is another space of embeddings: nothing of a profile can be taken over. But the
normal audio behind it was kept, and so was the sound that operators confirmed as normal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from edge_asd.alerting import enrol_request
from edge_asd.bundle import Bundle
from edge_asd.bundle.store import bundle_of, learned_with_another
from edge_asd.config import MonitorConfig
from edge_asd.engine import NetworkSet
from edge_asd.enrolment.enrol import Progress, enrol
from edge_asd.errors import DataError
from edge_asd.normal.confirming import heard_again
from edge_asd.profile import Profile, load_profile, profile_dir
from edge_asd.profile.reservoir import PieceSource


def of_other_bundles(
    state_dir: Path, monitors: Iterable[str], bundle: Bundle
) -> dict[str, Profile]:
    """Profiles of those monitors that were away while this bundle came to serve, by name.

    Raises:
        ProfileError: One is damaged, or its bundle is not there any more.
        BundleError: That bundle is damaged.
    """
    return {
        name: load_profile(state_dir, name, bundle_of(state_dir, [name]))
        for name in monitors
        if learned_with_another(state_dir, name, bundle)
    }


def learn_all_again(
    networks: NetworkSet,
    state_dir: Path,
    profiles: Mapping[str, Profile],
    sections: Mapping[str, MonitorConfig],
    *,
    now: float,
    progress: Progress,
) -> dict[str, Profile]:
    """`learn_again` for some monitors, one after the other, by name.

    Raises:
        EdgeAsdError: One of them cannot be learned again.
    """
    return {
        name: learn_again(
            networks,
            state_dir,
            profile,
            sections[name],
            now=now,
            progress=_part(progress, number, len(profiles), name),
        )
        for number, (name, profile) in enumerate(profiles.items())
    }


def _part(progress: Progress, number: int, count: int, name: str) -> Progress:
    """The progress of one of several monitors, as a part of the whole."""

    def told(done: float, text: str) -> None:
        progress((number + done) / count, f"{name}: {text}")

    return told


def learn_again(
    networks: NetworkSet,
    state_dir: Path,
    profile: Profile,
    config: MonitorConfig,
    *,
    now: float,
    progress: Progress,
) -> Profile:
    """A profile with other networks, from the audio that the present one was learned from.

    The microphone and what was learned about its signal stay, as does the history of confirmed
    sound. What live listening had added to the calibration must be heard again.

    Args:
        networks: Opened and proven.
        state_dir: Where the audio lies.
        profile: In force.
        config: The monitor's section, for its rules.
        now: Wall time, seconds since 1970 UTC.
        progress: Called with a fraction and what is being done.

    Raises:
        ConfigError: The rules do not fit the bundle.
        DataError: The audio is missing, damaged or too short, or that of a confirmed alert is.
        ScorerError: It cannot be compared with itself.
    """
    name = profile.monitor
    request = replace(
        enrol_request(config, networks.bundle.manifest),
        source=profile.source,
        channel=0,  # the only one that was kept
        microphone=profile.microphone,
    )
    folder = profile_dir(state_dir, name) / "reservoir"
    try:
        learned = enrol(networks, lambda: PieceSource(folder), request, now, progress)
    except DataError as error:
        raise DataError(
            f"{name}: cannot be learned again with {networks.bundle.label} from the normal sound "
            f"that was kept: {error}"
        ) from error
    learned = replace(learned, signal=profile.signal, changes=profile.changes)
    try:
        return heard_again(networks, learned, profile.recordings, state_dir)
    except DataError as error:
        raise DataError(
            f"{name}: sound that was confirmed as normal cannot be taken along: {error}; undo it "
            f"(edge-asd normal --list, --undo) or enrol {name} again"
        ) from error
