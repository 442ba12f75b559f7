"""The operator's file: what may be set, its bounds and its defaults.

Sample rate, window and features are absent on purpose: the bundle owns them.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_asd.capture.uri import parse_source
from edge_asd.engine_request import PRECISIONS, Arithmetic, EngineName, EngineRequest
from edge_asd.errors import ConfigError

Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600, allow_inf_nan=False)]
MONITOR_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")


_SHOWN = 100
"""Characters of a wrong value that are repeated."""


class Section(BaseModel):
    """Base of every section: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class AlertConfig(Section):
    """When a monitor raises."""

    false_alarms_per_week: float = Field(default=1.0, gt=0, le=10_000, allow_inf_nan=False)
    """Acceptable false alarms a week; the threshold follows from it."""
    above_s: Seconds = 14.0
    """The score must be high for so long …"""
    within_s: Seconds = 20.0
    """… within this span."""
    clear_s: Seconds = 20.0
    """An alert ends after the score was low for so long."""
    cooldown_s: Annotated[float, Field(ge=0, le=7 * 24 * 3600, allow_inf_nan=False)] = 60.0
    """No new alert so soon after one has ended."""
    update_s: Seconds = 60.0
    """An open alert is reported again after so long."""
    transients: bool = False
    """Allow ``above_s`` shorter than a window plus a hop, so that a single bang may raise."""

    @model_validator(mode="after")
    def _span_holds_the_run(self) -> AlertConfig:
        if self.within_s < self.above_s:
            raise ValueError(
                f"within_s={self.within_s:g} is shorter than above_s={self.above_s:g}; "
                "it must be at least as long"
            )
        return self


class MonitorConfig(Section):
    """One source channel watching one machine."""

    name: str
    """Lower-case letters, digits, ``-`` and ``_``; it appears in topics and metrics."""
    source: str = "alsa:"
    """``alsa:<card name or id>``, ``file:…``, ``exec:…`` or ``sim:…``."""
    channel: int = Field(default=0, ge=0, le=63)
    """Which channel of the source, counted from 0."""
    enrol_s: Annotated[float, Field(ge=60, le=7 * 24 * 3600, allow_inf_nan=False)] = 600.0
    """A monitor without a profile learns from so much live audio first."""
    settle_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 10.0
    """Nothing is scored so soon after the machine has started."""
    alert: AlertConfig = AlertConfig()

    @field_validator("name")
    @classmethod
    def _name_fits_topics(cls, value: str) -> str:
        if not MONITOR_NAME.match(value):
            raise ValueError(
                f"{value!r} must be lower-case letters, digits, '-' and '_', at most 63"
            )
        return value

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, value: str) -> str:
        try:
            parse_source(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value


class HomeAssistantConfig(Section):
    """Entities that appear in Home Assistant by themselves."""

    prefix: str = Field(default="homeassistant", pattern=r"^[A-Za-z0-9_/-]{1,64}$")
    """First part of the discovery topics, as Home Assistant has it."""
    form: Literal["device", "entity"] = "device"
    """One message for the device (Home Assistant 2024.12 or newer), or one for each entity."""


Verb = Literal["inhibit", "snooze", "ack", "enabled", "enrol", "normal"]


class MqttConfig(Section):
    """The broker."""

    url: str
    """``mqtt://host:1883`` or ``mqtts://host:8883``."""
    username: str | None = None
    password_file: str | None = None
    """A file only its owner can read, or ``credential:NAME`` for a systemd credential."""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    protocol: str = Field(default="auto", pattern=r"^(auto|5|3\.1\.1)$")
    """``auto`` tries MQTT 5 first."""
    commands: tuple[Verb, ...] = ()
    """What may be asked for over MQTT; who may ask is up to the broker's access control."""
    home_assistant: HomeAssistantConfig | None = None

    @field_validator("protocol", mode="before")
    @classmethod
    def _protocol_is_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class EvidenceConfig(Section):
    """What is kept of an alert: the sound, a picture, and what differs."""

    enabled: bool = True
    before_s: Annotated[float, Field(ge=0, le=120, allow_inf_nan=False)] = 10.0
    """Sound kept from before the alert began."""
    after_s: Annotated[float, Field(ge=0, le=120, allow_inf_nan=False)] = 10.0
    """Sound kept from after it was raised."""
    quota_mb: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 512.0
    """Disk space for all evidence; the oldest goes first, pinned and worst-scoring last."""
    free_floor_mb: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 256.0
    """Space that must stay free on the disk, whatever the quota."""
    keep_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 90.0
    """Evidence older than this goes, unless it is pinned."""
    publish_picture: bool = False
    """Send the picture over MQTT, retained, as well."""
    picture_max_kb: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = 256.0
    """A picture larger than this is not sent."""


class MicrophoneConfig(Section):
    """When to tell that a microphone does not work."""

    notify_after_s: Annotated[float, Field(ge=0, le=24 * 3600, allow_inf_nan=False)] = 10.0
    """A fault that lasts so long has a notice of its own; the state is ``unknown`` at once."""


class HistoryConfig(Section):
    """How long is remembered what was heard."""

    score_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 30.0
    """Every score, for ``edge-asd threshold --preview``; about 5 MB a monitor in 30 days."""
    ledger_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 400.0
    """What every second was: scored, gapped, idle …"""


class OutboxConfig(Section):
    """What waits for the broker."""

    max_mb: Annotated[float, Field(ge=1, le=100_000, allow_inf_nan=False)] = 64.0
    """Reports go first when it is full, then updates of alerts, their beginnings and ends last."""
    max_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 30.0
    """What is older is given up."""


class HttpConfig(Section):
    """The HTTP endpoint for metrics and health."""

    listen: str = "127.0.0.1:9108"
    """Beyond loopback only with a token."""
    token_file: str | None = None
    """As ``mqtt.password_file``; sent as ``Authorization: Bearer …``."""


class JsonlConfig(Section):
    """Events as JSON lines, for scripts."""

    path: str
    """A file that is appended to, or ``-`` for standard output."""


class EngineConfig(Section):
    """What the networks run on; the name alone may be given: ``engine: onnxruntime``."""

    name: EngineName = "auto"
    """``auto`` takes the fastest of what is installed and passes the bundle's golden vectors."""
    precision: Arithmetic = "auto"
    threads: int = Field(default=1, ge=1, le=64)
    """Of one network; more threads score a window sooner, at a higher cost."""
    build_minutes: Annotated[float, Field(gt=0, le=24 * 60, allow_inf_nan=False)] = 30.0
    """Building a TensorRT plan is given up after so long."""

    @model_validator(mode="after")
    def _engine_computes_in_that(self) -> EngineConfig:
        known = PRECISIONS.get(self.name)
        if known and self.precision not in ("auto", *known):
            raise ValueError(
                f"{self.name} computes in {' or '.join(known)}, not in {self.precision}"
            )
        return self


class WorkerConfig(Section):
    """The thread that scores."""

    nice: int = Field(default=0, ge=-20, le=19)
    """Its priority, as of ``nice``; below 0 needs the privilege."""
    cpus: tuple[Annotated[int, Field(ge=0, le=1023)], ...] = ()
    """Cores it keeps to; empty for any."""


class Config(Section):
    """The whole file."""

    device: str = Field(default_factory=lambda: socket.gethostname().split(".")[0])
    """Name of this device in topics."""
    monitors: tuple[MonitorConfig, ...] = (MonitorConfig(name="machine"),)
    mqtt: MqttConfig | None = None
    http: HttpConfig = HttpConfig()
    jsonl: JsonlConfig | None = None
    evidence: EvidenceConfig = EvidenceConfig()
    microphone: MicrophoneConfig = MicrophoneConfig()
    history: HistoryConfig = HistoryConfig()
    outbox: OutboxConfig = OutboxConfig()
    engine: EngineConfig = EngineConfig()
    worker: WorkerConfig = WorkerConfig()
    bundle: str | None = None
    """Path of a bundle; if absent the one that the monitors are enrolled with, else the one that
    ships with the package."""

    @field_validator("engine", mode="before")
    @classmethod
    def _engine_may_be_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("monitors")
    @classmethod
    def _names_are_unique(cls, value: tuple[MonitorConfig, ...]) -> tuple[MonitorConfig, ...]:
        names = [monitor.name for monitor in value]
        if not names:
            raise ValueError("at least one monitor is needed")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]} is used twice")
        return value


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the operator's values."""

    location: tuple[int | str, ...]
    """Path of the key; empty for the file as a whole."""
    text: str
    """What is wrong, and what would be right."""

    @property
    def where(self) -> str:
        """The path as an operator writes it, ``monitors[0].alert.above_s``."""
        where = ""
        for part in self.location:
            # A key may be any text, with a line's end in it, too.
            key = part if isinstance(part, int) or part.isprintable() else repr(part)
            where += f"[{key}]" if isinstance(key, int) else f".{key}" if where else key
        return where or "file"


def load_config(path: Path) -> Config:
    """Read and check the operator's file.

    Raises:
        ConfigError: It cannot be read, is no YAML, or holds an unknown key or impossible value; the
            message gives the key's path, the value and what would be right.
    """
    return parse_config(load_raw(path), str(path))


def load_raw(path: Path) -> dict[str, Any]:
    """Read the operator's file without checking its values.

    Raises:
        ConfigError: It cannot be read, or is no mapping in YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the configuration: {reason}") from error
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an impossible date
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: the file must hold keys such as 'monitors:', not a plain value")
    return raw


def parse_config(raw: dict[str, Any], origin: str) -> Config:
    """Check values that came from ``origin`` (a file name or the command line).

    Raises:
        ConfigError: As ``load_config``.
    """
    problems = problems_of(raw)
    if problems:
        told = "; ".join(f"{problem.where}: {problem.text}" for problem in problems)
        raise ConfigError(f"{origin}: {told}")
    return Config.model_validate(raw)


def problems_of(raw: dict[str, Any]) -> list[Problem]:
    """Everything that is wrong with the values; nothing if they can be used."""
    try:
        Config.model_validate(raw)
    except ValidationError as error:
        return [Problem(tuple(each["loc"]), _explain(each)) for each in error.errors()]
    return []


def engine_request(config: Config, state_dir: Path) -> EngineRequest:
    """What networks shall run on, the same for the daemon and every command of a device."""
    asked = config.engine
    return EngineRequest(
        asked.name,
        asked.precision,
        asked.threads,
        cache=state_dir / "engines",
        build_s=asked.build_minutes * 60.0,
    )


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; see deploy/config.example.yaml for the keys there are"
    message = " ".join(str(error["msg"]).removeprefix("Value error, ").split())
    value = error["input"]
    shown = f" (got {_short(value)})" if isinstance(value, str | int | float | bool) else ""
    return f"{message}{shown}"


def _short(value: str | float) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python likes to write
        return "a very large number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
