"""What a daemon would listen to and with what: bundle, profiles, sources."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.alerting import persistence_of
from edge_asd.bundle import Bundle
from edge_asd.bundle.manifest import Manifest
from edge_asd.bundle.store import choose_bundle, learned_with_another
from edge_asd.capture import AlsaUri, ExecUri, FileUri, parse_source
from edge_asd.capture.cards import read_cards
from edge_asd.config import Config, MonitorConfig
from edge_asd.doctor.findings import Finding, of_error, ok, warning
from edge_asd.errors import EdgeAsdError
from edge_asd.profile import Profile, has_profile, load_profile, profile_dir
from edge_asd.profile.reservoir import PieceSource

_LIST = "see what there is: edge-asd devices"


@dataclass(frozen=True, slots=True)
class Learned:
    """What a monitor has learned so far."""

    config: MonitorConfig
    enrolled: bool
    provisional: bool | None
    """Whether its threshold is; None where it has none."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What was found."""

    bundle: Bundle | None
    """None if it cannot be used."""
    monitors: tuple[Learned, ...]
    findings: tuple[Finding, ...]


def examine_listening(config: Config, state_dir: Path) -> Listening:
    """Look at the bundle, at every monitor's profile and at its source, which is not opened.

    Args:
        config: The operator's file.
        state_dir: Where profiles lie.
    """
    findings = []
    bundle = None
    try:
        names = [monitor.name for monitor in config.monitors]
        bundle = choose_bundle(state_dir, config.bundle, names)
        findings.append(ok("bundle", bundle.label))
    except EdgeAsdError as error:
        findings.append(of_error("bundle", error))
    learned = []
    for section in config.monitors:
        known, found = _examine_monitor(section, state_dir, bundle)
        learned.append(known)
        findings.extend(found)
    return Listening(bundle, tuple(learned), tuple(findings))


def _examine_monitor(
    section: MonitorConfig, state_dir: Path, bundle: Bundle | None
) -> tuple[Learned, list[Finding]]:
    name = section.name
    findings = list(examine_source(section))
    enrolled = has_profile(state_dir, name)
    profile: Profile | None = None
    if bundle is not None:
        findings.extend(_examine_rules(section, bundle.manifest))
        other = learned_with_another(state_dir, name, bundle)
        if other is not None:
            findings.append(_to_be_learned(name, state_dir, other, bundle))
            return Learned(section, enrolled, None), findings
        try:
            profile = load_profile(state_dir, name, bundle) if enrolled else None
        except EdgeAsdError as error:
            findings.append(of_error(f"{name}: profile", error))
        else:
            findings.append(_told_of(name, section, profile))
    provisional = profile.calibration.provisional if profile else None
    return Learned(section, enrolled, provisional), findings


def _to_be_learned(name: str, state_dir: Path, other: str, bundle: Bundle) -> Finding:
    """What becomes of a profile of another bundle: it is learned again, if its audio was kept."""
    label, text = f"{name}: profile", f"learned with {other}, but {bundle.label} is wanted"
    try:
        PieceSource(profile_dir(state_dir, name) / "reservoir")
    except EdgeAsdError as error:
        return of_error(label, type(error)(f"{text}, and {error}"))
    return ok(label, f"{text}: a daemon learns it again from the sound that was kept")


def _examine_rules(section: MonitorConfig, manifest: Manifest) -> Iterator[Finding]:
    try:
        persistence_of(section.alert, manifest)
    except EdgeAsdError as error:
        yield of_error(f"{section.name}: alert", error)


def _told_of(name: str, section: MonitorConfig, profile: Profile | None) -> Finding:
    if profile is None:
        text = f"not enrolled: it learns from the first {section.enrol_s:.0f} s of live sound"
        return ok(f"{name}: profile", text)
    provisional = ", threshold provisional" if profile.calibration.provisional else ""
    return ok(f"{name}: profile", f"enrolled{provisional}")


def examine_source(section: MonitorConfig) -> Iterator[Finding]:
    """Whether a source seems to be there; a missing one is waited for, and so only a warning."""
    name = f"{section.name}: source"
    source = parse_source(section.source)
    if isinstance(source, FileUri):
        yield _examine_path(name, section.source, Path(source.path))
    elif isinstance(source, ExecUri):
        if shutil.which(source.command[0]) is None:
            text = f"{section.source}: there is no program {source.command[0]}"
            yield warning(name, text, "install it, or write its whole path")
        else:
            yield ok(name, section.source)
        if section.channel >= source.channels:
            text = f"channel {section.channel} of a program that writes {source.channels}"
            yield warning(name, text, "count channels from 0, or add ?channels=N to the source")
    elif isinstance(source, AlsaUri):
        yield _examine_card(name, section.source, source)
    else:
        yield ok(name, section.source)


def _examine_path(name: str, text: str, path: Path) -> Finding:
    try:
        path.stat()
    except OSError as error:
        return warning(name, f"{text}: {error.strerror}", "correct the path or its permissions")
    return ok(name, text)


def _examine_card(name: str, text: str, source: AlsaUri) -> Finding:
    cards = read_cards()
    if not cards:
        said = f"{text}: the kernel shows no sound card"
        return warning(name, said, f"plug in the microphone; {_LIST}")
    wanted = source.name.removeprefix("usb:").removeprefix("hw:CARD=").partition(",")[0].casefold()
    known = [
        str(part).casefold()
        for card in cards
        for part in (
            *(card.id, card.name, card.description),
            *((card.usb.serial, card.usb.path, card.usb.port) if card.usb else ()),
        )
    ]
    if any(wanted in part for part in known):
        return ok(name, text)
    said = f"{text}: no sound card is called so at present"
    return warning(name, said, f"plug it in, or correct the name; {_LIST}")
