"""The recipe: everything that decides what a training run produces.

It is read from YAML with unknown keys refused, and written whole into every checkpoint and into the
manifest of the bundle.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from edge_asd.bundle.manifest import Provenance
from edge_asd.errors import ConfigError
from edge_asd.features import StftMagnitude
from edge_asd.score import named_scorers
from edge_asd_train.recipe_parts import (
    Augment,
    Background,
    Episodes,
    FeatExNetwork,
    Gain,
    Loss,
    NetworkOptions,
    Optimiser,
    Section,
)


class Recipe(Section):
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    sample_rate: int = Field(default=16_000, ge=4000, le=192_000)
    window_s: float = Field(default=10.0, gt=0, le=60)
    hop_s: float = Field(default=0.992, gt=0)
    """Stride between windows on the device; a multiple of the frame hop."""
    spectrogram: StftMagnitude = StftMagnitude()
    network: NetworkOptions = FeatExNetwork()
    episodes: Episodes | None = None
    """Learn to tell faults from normal sound, machine by machine, instead of telling classes."""
    scorers: str = "published+log_mel+level"
    """Scorers of the bundle, as ``edge_asd.score.SCORERS`` names them."""
    fusion: Literal["mean", "max"] = "mean"
    """Rule that fuses their standardised scores."""
    steps: int | None = Field(default=None, ge=1)
    """Length of the run; either this or ``epochs``."""
    epochs: int | None = Field(default=None, ge=1)
    """Length of the run in passes over the clips."""
    batch: int = Field(default=64, ge=2, le=4096)
    max_minutes: float | None = Field(default=None, gt=0)
    """The run ends cleanly at the first step after this time, whatever ``steps`` says."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of convolutions and products; statistics and losses stay in float32."""
    compile: bool = False
    """Let torch compile the network; needs a C++ compiler, and pays on long runs only."""
    clip_gradient: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest gradient, as the norm over all parameters; longer ones are shortened to it."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of the network's weights, which is then what is exported."""
    batch_norm_batches: int = Field(default=100, ge=1)
    """Batches over which normalisation statistics are taken at the end; fewer for a small set."""
    checkpoint_steps: int = Field(default=500, ge=1)
    gain: Gain = Gain()
    background: Background = Background()
    augment: Augment = Augment()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    provenance: tuple[Provenance, ...] = ()
    """Recordings that the run is fed with; the manifest of the bundle repeats them."""

    @property
    def window_samples(self) -> int:
        """Samples of a window, even."""
        return 2 * round(self.window_s * self.sample_rate / 2)

    @property
    def hop_samples(self) -> int:
        """Samples between windows on the device."""
        return round(self.hop_s * self.sample_rate)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Recipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.hop_samples % self.spectrogram.hop_length:
            raise ValueError(
                f"hop_s: {self.hop_samples} samples are no multiple of the frame hop of"
                f" {self.spectrogram.hop_length}"
            )
        if self.hop_samples > self.window_samples:
            raise ValueError("hop_s exceeds window_s")
        self._check_exchanges()
        try:
            named_scorers(self.scorers, self.network.kind)
        except ConfigError as error:
            raise ValueError(f"scorers: {error}") from error
        return self

    def _check_exchanges(self) -> None:
        """Refuse augmentations that the network or the loss has no use for."""
        if self.network.kind != "featex" and (
            self.augment.featex or self.augment.statex_blocks > 1
        ):
            raise ValueError(
                f"augment: network {self.network.kind} has no branches to exchange; set featex,"
                " statex and statex_time to 0"
            )
        if self.episodes is None:
            return
        if self.augment.mixup or self.augment.featex or self.augment.statex_blocks > 1:
            raise ValueError(
                "augment: episodes leave every clip its machine; set mixup, statex, statex_time"
                " and featex to 0"
            )
        if self.batch != self.episodes.batch:
            raise ValueError(
                f"batch: {self.batch} is not machines * (normal + faulty) of the episodes,"
                f" {self.episodes.batch}"
            )

    def total_steps(self, clips: int) -> int:
        """Steps of a run over ``clips`` clips; an epoch is at least one step."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 0) * max(1, clips // self.batch)

    def changed(self, **values: Any) -> Recipe:
        """A copy with some values replaced, validated anew; ``None`` leaves a value as it is."""
        given = {key: value for key, value in values.items() if value is not None}
        if "steps" in given and "epochs" not in given:
            given["epochs"] = None
        elif "epochs" in given and "steps" not in given:
            given["steps"] = None
        return _validated({**self.model_dump(), **given}, "command line")


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: Name of one that ships with the package (``general``, ``published``), or the
            path of a YAML file.

    Raises:
        ConfigError: There is none, or it has an unknown key or an impossible value.
    """
    shipped = files("edge_asd_train") / "recipes" / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    try:
        text = shipped.read_text() if shipped.is_file() else path.read_text(encoding="utf-8")
        raw = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        names = sorted(p.name[:-5] for p in shipped.parent.iterdir() if p.name.endswith(".yaml"))  # type: ignore[attr-defined]
        raise ConfigError(
            f"recipe {name_or_path}: neither a readable file nor one of {', '.join(names)}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys to values")
    return _validated(raw, str(name_or_path))


def _validated(raw: dict[str, Any], where: str) -> Recipe:
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"recipe {where}: {key or 'recipe'}: {first['msg']}") from error
