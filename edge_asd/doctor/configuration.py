"""The operator's file and everything that it names, dry: nothing is opened, nothing is changed.

Every problem is told at once. A section that is wrong does not keep the others from being examined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_asd.config import Config, engine_request
from edge_asd.doctor.findings import Finding, of_error, ok
from edge_asd.doctor.listening import Listening, examine_listening
from edge_asd.doctor.outputs import examine_http, examine_jsonl, examine_mqtt
from edge_asd.doctor.reading import Reading
from edge_asd.doctor.space import examine_space
from edge_asd.engine.candidates import candidates
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found."""

    config: Config
    """As far as it can be used."""
    findings: tuple[Finding, ...]
    listening: Listening


def examine(
    reading: Reading, state_dir: Path, environ: Mapping[str, str], *, now_s: float
) -> Examined:
    """Look at everything that a daemon with this configuration needs.

    Args:
        reading: The file as it was read.
        state_dir: Where profiles lie.
        environ: Of the process: systemd's credentials.
        now_s: Wall time, for certificates.
    """
    config = reading.config
    listening = examine_listening(config, state_dir)

    def findings() -> Iterator[Finding]:
        yield from reading.findings
        yield from listening.findings
        yield from _examine_engine(engine_request(config, state_dir))
        yield from examine_mqtt(config, environ, now_s)
        yield from examine_http(config, environ)
        yield from examine_jsonl(config)
        yield from examine_space(config, state_dir)

    return Examined(config, tuple(findings()), listening)


def read_of(config: Config, origin: str) -> Reading:
    """A configuration that was read already."""
    return Reading(config, (ok("file", origin),))


def _examine_engine(request: EngineRequest) -> Iterator[Finding]:
    """An engine that is asked for and cannot run here; nothing is opened."""
    try:
        candidates(request)
    except ConfigError as error:
        yield of_error("engine", error)
