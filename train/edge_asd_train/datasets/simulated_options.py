"""What the user chooses of a simulated set, and what its difficulties mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_asd.errors import UsageError

DifficultyName = Literal["easy", "default", "hard"]
_TARGETS = 10


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How faint the faults are and how much normal clips vary."""

    severity: tuple[float, float]
    """Range of the severity of anomalous clips."""
    snr_db: float
    """Mean level of the machine over the plant's noise."""
    snr_spread_db: float
    """Standard deviation of that over clips."""
    gain_spread_db: float
    """Standard deviation of the recording gain over clips."""
    colour_db: float
    """Standard deviation of each term of the colour of a clip; see ``simulated_clip.colour``."""
    speed_spread: float
    """Relative standard deviation of the speed within a speed class."""
    load_spread: float
    """Standard deviation of the load within a load class."""
    shift: float
    """Relative step of speed between source and target operating points."""


DIFFICULTIES: dict[DifficultyName, Difficulty] = {
    "easy": Difficulty((0.4, 1.0), 15.0, 1.0, 1.0, 0.3, 0.003, 0.02, 0.05),
    "default": Difficulty((0.25, 0.9), 9.0, 2.0, 2.5, 1.0, 0.01, 0.05, 0.15),
    "hard": Difficulty((0.2, 0.7), 5.0, 3.0, 3.5, 1.5, 0.02, 0.08, 0.2),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What decides every sample of a set."""

    clips: int
    """Training clips of a machine."""
    seed: int = 0
    machines: int = 7
    difficulty: DifficultyName = "default"
    duration_s: float = 10.0
    sample_rate: int = 16_000

    def __post_init__(self) -> None:
        """Refuse what is impossible.

        Raises:
            UsageError: Too few clips or machines.
        """
        if self.clips < 2:
            raise UsageError(
                f"{self.clips} training clip a machine: at least 2 are needed, one of either domain"
            )
        if self.machines < 1:
            raise UsageError(f"{self.machines} machines: at least 1 is needed")
        if round(self.duration_s * self.sample_rate) < 1:
            raise UsageError(f"clips of {self.duration_s} s are shorter than one sample")

    @property
    def target_clips(self) -> int:
        """Training clips in the target domain: 10 or 1 %, never more than half."""
        return min(max(_TARGETS, -(-self.clips // 100)), self.clips // 2)

    @property
    def test_clips(self) -> int:
        """Test clips of each domain and label."""
        return max(2, self.clips // 4)

    @property
    def all_clips(self) -> int:
        """Files of the set."""
        return self.machines * (self.clips + 4 * self.test_clips)
