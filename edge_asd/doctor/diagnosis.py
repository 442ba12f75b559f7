"""Everything that is looked at, in the order in which it has to work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.config import engine_request
from edge_asd.doctor.broker import examine_broker
from edge_asd.doctor.configuration import Examined, examine
from edge_asd.doctor.findings import Finding, failed, of_error
from edge_asd.doctor.machine import examine_clock, examine_heat, examine_nodes, service_account
from edge_asd.doctor.reading import Reading
from edge_asd.doctor.running import (
    daemon_status,
    examine_daemon,
    examine_service,
    supplementary_groups,
)
from edge_asd.doctor.runtime import examine_golden, examine_runtime
from edge_asd.doctor.sound import examine_sound
from edge_asd.doctor.state import examine_state
from edge_asd.errors import EdgeAsdError


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at."""

    examined: Examined
    state_dir: Path
    environ: Mapping[str, str]
    running: Mapping[str, Any] | None
    """What the daemon says of its monitors, by name; None if none runs."""
    complaint: Finding | None = None
    """A daemon that cannot even say that."""


Look = Callable[[Patient], Iterable[Finding]]


def _daemon(patient: Patient) -> Iterator[Finding]:
    if patient.complaint is not None:
        yield patient.complaint
    else:
        config = patient.examined.config
        yield from examine_daemon(config, patient.running, patient.environ)


def _machine(patient: Patient) -> Iterator[Finding]:
    account = service_account(supplementary_groups())
    yield from examine_nodes(account)
    yield from examine_clock(time.time())
    yield from examine_heat()
    yield from examine_state(patient.state_dir, account)


def _runtime(patient: Patient) -> Iterator[Finding]:
    yield from examine_runtime()
    request = engine_request(patient.examined.config, patient.state_dir)
    yield from examine_golden(patient.examined.listening.bundle, request)


GROUPS: tuple[tuple[str, Look], ...] = (
    ("configuration", lambda patient: patient.examined.findings),
    ("machine", _machine),
    ("sound", lambda patient: examine_sound(patient.examined.config, patient.running)),
    ("runtime", _runtime),
    ("broker", lambda patient: examine_broker(patient.examined.config, patient.environ)),
    ("service", lambda _patient: examine_service()),
    ("daemon", _daemon),
)


def patient_of(reading: Reading, state_dir: Path, environ: Mapping[str, str]) -> Patient:
    """Take in what all groups need.

    Args:
        reading: The operator's file as it was read.
        state_dir: The state directory.
        environ: Of the process: systemd's credentials.
    """
    examined = examine(reading, state_dir, environ, now_s=time.time())
    try:
        running = daemon_status(state_dir, environ)
    except EdgeAsdError as error:
        return Patient(examined, state_dir, environ, None, of_error("daemon", error))
    return Patient(examined, state_dir, environ, running)


def diagnose(patient: Patient) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Every group with its findings, which are found as they are asked for."""
    for title, look in GROUPS:
        yield title, _safely(title, look, patient)


def _safely(title: str, look: Look, patient: Patient) -> Iterator[Finding]:
    """One group that stumbles must not keep the others from being looked at."""
    try:
        yield from look(patient)
    except Exception as error:  # noqa: BLE001 - whatever a broken machine makes of it
        text = f"could not be looked at: {type(error).__name__}: {' '.join(str(error).split())}"
        yield failed(title, text, "report it with: edge-asd support", 70)
