"""When the simulated pump breaks and is repaired, and the daemon's configuration for it.

All times are stream time: the sound runs faster than real time, and every one of them follows from
the bundle's window and the alert's settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_asd.bundle.manifest import Manifest
from edge_asd.config import AlertConfig

MONITOR = "pump"
DEVICE = "demo"
FAULT = "bearing_outer"
FAULT_TEXT = "outer ring of a bearing"

_MIN_ENROL_S = 60.0
_ENROL_WINDOWS = 12.0  # enough for twelve cross-fitted blocks that share no audio
_LEARNING_S = 64.0  # stream that passes unheard while the profile is computed: 10 s of real time
_QUIET_S = 20.0  # for people to see that nothing happens
_RAMP_WINDOWS = 4.0
_MIN_RAMP_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the demo."""

    speed: float
    """Times real time."""
    sample_rate: int
    window_s: float
    hop_s: float
    alert: AlertConfig
    enrol_s: float
    """The daemon learns from so much normal sound."""
    onset_s: float
    """The fault begins …"""
    ramp_s: float
    """… and takes so long to its full severity."""
    clear_s: float
    """The pump is repaired."""
    end_s: float
    """Whoever has heard nothing by now never will."""

    @classmethod
    def of(cls, manifest: Manifest, speed: float) -> Plan:
        """Plan for a bundle.

        Args:
            manifest: Of the bundle in use.
            speed: Times real time, above 0.
        """
        window_s = manifest.window_samples / manifest.sample_rate
        hop_s = manifest.hop_samples / manifest.sample_rate
        alert = alert_for(window_s, hop_s)
        # From the first sound of something to the last window that has to hold it.
        reaction_s = window_s + alert.within_s
        enrol_s = max(_MIN_ENROL_S, round(_ENROL_WINDOWS * window_s))
        onset_s = round(enrol_s + _LEARNING_S + reaction_s + _QUIET_S)
        ramp_s = max(_MIN_RAMP_S, round(_RAMP_WINDOWS * window_s))
        clear_s = round(onset_s + ramp_s + reaction_s + 10.0)
        return cls(
            speed=speed,
            sample_rate=manifest.sample_rate,
            window_s=window_s,
            hop_s=hop_s,
            alert=alert,
            enrol_s=enrol_s,
            onset_s=onset_s,
            ramp_s=ramp_s,
            clear_s=clear_s,
            end_s=round(clear_s + reaction_s + alert.clear_s + 30.0),
        )

    def severity_at(self, at_s: float) -> float:
        """How bad the fault is at a stream time, 0 to 1; what the simulation does."""
        if not self.onset_s <= at_s < self.clear_s:
            return 0.0
        return min(1.0, (at_s - self.onset_s) / self.ramp_s)

    @property
    def source(self) -> str:
        """The pump, as the daemon is told to listen to it."""
        return (
            f"sim:pump?unit=1&rate={self.sample_rate}&fault={FAULT}&onset={self.onset_s:g}"
            f"&ramp={self.ramp_s:g}&clear={self.clear_s:g}&speed={self.speed:g}"
        )

    def config_text(self, *, mqtt_url: str, http: str, bundle: Path | None) -> str:
        """The operator's file.

        Args:
            mqtt_url: The embedded broker.
            http: Address for metrics and health.
            bundle: None for the one that ships with the package.
        """
        lines = [
            f"device: {DEVICE}",
            "mqtt:",
            f"  url: {mqtt_url}",
            '  protocol: "3.1.1"  # all that the embedded broker speaks',
            "http:",
            f"  listen: {http}",
            "monitors:",
            f"  - name: {MONITOR}",
            f"    source: {self.source}",
            f"    enrol_s: {self.enrol_s:g}  # of normal sound to learn from",
            "    alert:",
            f"      above_s: {self.alert.above_s:g}",
            f"      within_s: {self.alert.within_s:g}",
            f"      clear_s: {self.alert.clear_s:g}",
        ]
        if bundle is not None:
            lines.append(f"bundle: {bundle}")
        return "\n".join(lines) + "\n"


def alert_for(window_s: float, hop_s: float) -> AlertConfig:
    """The default alert settings, or longer ones where a bundle's window needs them."""
    default = AlertConfig()
    if default.above_s > window_s + hop_s:
        return default
    above_s = round(window_s + 4 * hop_s, 1)
    return AlertConfig(
        above_s=above_s, within_s=round(above_s + 6 * hop_s, 1), clear_s=2 * window_s
    )
