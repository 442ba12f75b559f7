"""Normal listening, taken back into a calibration that is still provisional."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_asd.errors import StorageError
from edge_asd.health import Health
from edge_asd.profile import Profile, save_profile
from edge_asd.records import State
from edge_asd.report.report import Reporter
from edge_asd.score.calibrate import QuietBlocks, rate_text

logger = logging.getLogger(__name__)


class LiveCalibration:
    """Collects quiet decision statistics of one monitor; not thread-safe.

    Args:
        name: Of the monitor.
        hop_s: Time between statistics, seconds.
        state_dir: Where profiles lie.
        report: The sinks.
    """

    def __init__(self, name: str, hop_s: float, state_dir: Path, report: Reporter) -> None:
        self._name, self._state_dir, self._report = name, state_dir, report
        self._quiet = QuietBlocks(hop_s)

    def show(self, profile: Profile) -> None:
        """Export the thresholds, and whether they promise more than was heard."""
        self._report.thresholds(self._name, profile)
        calibration = profile.calibration
        text = (
            f"{calibration.asked_per_week:g} false alarms a week asked for, "
            f"{rate_text(calibration.supported_per_week)} supported by what was heard"
        )
        status = Health.WARNING if calibration.provisional else Health.HEALTHY
        self._report.health.set(f"calibration/{self._name}", status, text)

    def interrupt(self) -> None:
        """Listening was interrupted: what follows is another block."""
        self._quiet.interrupt()

    def forget(self) -> None:
        """What was heard lately may not have been normal."""
        self._quiet.forget()

    def heard(self, profile: Profile, state: State, statistic: float | None) -> None:
        """Keep what normal listening says about the threshold, while that is provisional."""
        if not profile.calibration.provisional:
            return
        if state is not State.NORMAL:
            self._quiet.forget()  # what led to an alert must not teach the threshold
        elif statistic is not None:
            self._quiet.add(statistic, profile.blocks.block_s)

    def improved(self, profile: Profile) -> Profile | None:
        """The profile with quiet live blocks taken in, a tenth more listening at a time.

        It is saved; where the disk refuses that, it is in use all the same, and said.
        """
        maxima = self._quiet.take(max(5, len(profile.blocks.maxima) // 10))
        if maxima is None:
            return None
        better = profile.recalibrated(maxima)
        logger.info(
            "monitor=%s recalibrated threshold=%.3f supported_per_week=%.2f",
            self._name,
            better.calibration.threshold,
            better.calibration.supported_per_week,
        )
        self.show(better)
        try:
            save_profile(self._state_dir, better)
        except StorageError as error:  # the old profile on disk is whole; this one is in use
            self._report.health.set(f"profile/{self._name}", Health.WARNING, str(error))
        else:
            self._report.health.remove(f"profile/{self._name}")
        return better
