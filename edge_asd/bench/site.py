"""A folder in which the real daemon can run: profiles, sound, configuration."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soundfile

from edge_asd.bench.lateness import phases
from edge_asd.bench.subject import Subject, alarmed
from edge_asd.bundle.store import keep_bundle
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import StorageError
from edge_asd.profile import save_profile

SPARE_S = 60.0
"""Sound beyond what is measured: starts take long on a slow board."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which daemon is to run."""

    monitors: int
    alerting: int = 0
    """So many of them have an open alert, and send an event with every window."""
    seconds: float = 60.0
    """Of listening, once the first window is complete."""
    broker: str | None = None
    evidence: bool = True
    """Keep the sound of alerts, as it is by default."""


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What all daemons of a bench have in common."""

    subject: Subject
    engine: EngineRequest
    """What it runs on; a daemon finds the plans and trials of this device, too."""
    source: str | None = None
    """What a single monitor listens to instead of simulated sound."""


class Site:
    """See the module.

    Args:
        folder: Not there yet; everything will lie in it.
        setting: Of all daemons.
        wanted: Of this one.

    Raises:
        StorageError: The folder cannot be written.
    """

    def __init__(self, folder: Path, setting: Setting, wanted: Wanted) -> None:
        self.folder, self.state_dir = folder, folder / "state"
        self.config, self.log = folder / "config.yaml", folder / "daemon.log"
        self._setting, self._subject = setting, setting.subject
        try:
            self.state_dir.mkdir(parents=True)
            cache = setting.engine.cache
            if cache is not None:
                (self.state_dir / cache.name).symlink_to(cache.resolve())
            self._write(wanted)
        except (OSError, soundfile.SoundFileError) as error:
            raise StorageError(f"{folder}: cannot be written: {error}") from error

    def _write(self, wanted: Wanted) -> None:
        keep_bundle(self.state_dir, self._subject.bundle)
        names = [f"m{number}" for number in range(wanted.monitors)]
        for number, name in enumerate(names):
            profile = replace(self._subject.profile, monitor=name)
            save_profile(self.state_dir, alarmed(profile) if number < wanted.alerting else profile)
        asked = self._setting.engine
        fields: dict[str, Any] = {
            "device": "bench",
            "http": {"listen": "127.0.0.1:0"},
            "engine": {"name": asked.name, "precision": asked.precision, "threads": asked.threads},
            "evidence": {"enabled": wanted.evidence},
            "monitors": [
                {"name": name, "source": source, "settle_s": 0, "alert": self._alert}
                for name, source in self._sources(names, wanted.seconds).items()
            ],
        }
        if wanted.broker is not None:
            fields["mqtt"] = {"url": wanted.broker}
        self.config.write_text(json.dumps(fields))  # JSON is YAML

    @property
    def _alert(self) -> dict[str, Any]:
        """Every window decides, and an alert that is open is told anew with each."""
        hop_s = self._subject.hop_s
        return {
            "above_s": hop_s,
            "within_s": hop_s,
            "transients": True,
            "update_s": hop_s / 2,
            "clear_s": 86_400.0,
            "cooldown_s": 0,
        }

    def _sources(self, names: list[str], seconds: float) -> dict[str, str]:
        """Sound in real time for each, beginning at a phase of its own, as machines do.

        A folder holds a clip shorter than a hop and, behind a gap, the long one: windows are cut
        from the beginning of that.
        """
        if self._setting.source is not None and len(names) == 1:
            return dict.fromkeys(names, self._setting.source)
        subject = self._subject
        rate = subject.manifest.sample_rate
        whole_s = subject.window_s + seconds + SPARE_S
        long = self.folder / "sound.wav"
        with soundfile.SoundFile(long, "w", rate, 1, "PCM_16") as file:
            for _ in range(math.ceil(whole_s * rate / len(subject.sound))):
                file.write(subject.sound)
        sources = {}
        for name, phase_s in zip(names, phases(len(names), subject.hop_s), strict=True):
            clips = self.folder / "sounds" / name
            clips.mkdir(parents=True)
            soundfile.write(clips / "0.wav", subject.sound[: max(1, round(phase_s * rate))], rate)
            (clips / "1.wav").symlink_to(long)
            sources[name] = f"file:{clips}?speed=1&gaps=clip"
        return sources
