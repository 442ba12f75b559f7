"""What the operator's words about alerts mean in windows of a bundle."""

from __future__ import annotations

from edge_asd.bundle.manifest import Manifest
from edge_asd.config import AlertConfig, MonitorConfig
from edge_asd.decide import Rules, Thresholds
from edge_asd.enrolment.enrol import EnrolRequest
from edge_asd.errors import ConfigError
from edge_asd.profile import Profile
from edge_asd.score.calibrate import Persistence


def persistence_of(alert: AlertConfig, manifest: Manifest) -> Persistence:
    """Persistence in windows, for a bundle's hop.

    Raises:
        ConfigError: ``above_s`` is so short that one bang could raise, and that was not allowed.
    """
    hop_s = manifest.hop_samples / manifest.sample_rate
    shortest = manifest.window_samples / manifest.sample_rate + hop_s
    if alert.above_s <= shortest and not alert.transients:
        raise ConfigError(
            f"alert.above_s={alert.above_s:g}: one bang is heard in every window of "
            f"{shortest - hop_s:g} s; set it above {shortest:.2f}, or set transients: true"
        )
    return Persistence.from_seconds(alert.above_s, alert.within_s, hop_s)


def rules_of(alert: AlertConfig, manifest: Manifest) -> Rules:
    """What the state machine goes by, for a bundle's hop.

    Raises:
        ConfigError: As ``persistence_of``.
    """
    return Rules(
        persistence=persistence_of(alert, manifest),
        hop_s=manifest.hop_samples / manifest.sample_rate,
        clear_s=alert.clear_s,
        cooldown_s=alert.cooldown_s,
        update_s=alert.update_s,
    )


def thresholds_of(profile: Profile) -> Thresholds:
    """What a profile's calibration says."""
    calibration = profile.calibration
    return Thresholds(calibration.threshold, calibration.alarm_threshold, calibration.clear_below)


def enrol_request(config: MonitorConfig, manifest: Manifest) -> EnrolRequest:
    """What enrolment of this monitor needs to know.

    Raises:
        ConfigError: As ``persistence_of``.
    """
    return EnrolRequest(
        monitor=config.name,
        source=config.source,
        channel=config.channel,
        persistence=persistence_of(config.alert, manifest),
        false_alarms_per_week=config.alert.false_alarms_per_week,
        settle_s=config.settle_s,
    )
