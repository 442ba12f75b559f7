"""The recipe: everything that decides what a training run produces.

It is read from YAML with unknown keys refused, and written whole into every checkpoint and into the
manifest of the bundle.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_asd.errors import ConfigError
from edge_asd.features import StftMagnitude
from edge_asd.manifest import Provenance
from edge_asd_train.losses import ScaleMode

Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Gain(_Section):
    """Level of the clips before the network."""

    per_machine: bool = False
    """Bring every machine's median level to ``reference_dbfs``, as enrolment does on a device."""
    reference_dbfs: float = Field(default=-26.0, ge=-100, le=0)
    """Target of ``per_machine``; the bundle carries it to the device."""
    jitter_db: float = Field(default=0.0, ge=0, le=40)
    """Every window is made louder or softer by up to this much, uniformly in decibels."""


class Background(_Section):
    """Sounds of the surroundings added to windows, drawn without regard to their class."""

    probability: Probability = 0.0
    """Chance of a window to get one; needs a folder of noise."""
    snr_db: tuple[float, float] = (0.0, 20.0)
    """Range from which the level of the window above that of the background is drawn."""

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Background:
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError("snr_db: the first value exceeds the second")
        return self


class Augment(_Section):
    """Chances of a sample to be changed by each augmentation."""

    mixup: Probability = 0.5
    statex: Probability = 0.5
    featex: Probability = 0.5


class Loss(_Section):
    """Loss heads."""

    supervised: Weight = 1.0
    """Weight of the head with N fixed classes."""
    statex: Weight = 0.0
    """Weight of the head with 3N classes; not built at zero."""
    featex: Weight = 1.0
    """Weight of the head with 9N classes; not built at zero."""
    subclusters: int = Field(default=16, ge=1, le=256)
    scale: ScaleMode = "fixed"

    @model_validator(mode="after")
    def _some_head_counts(self) -> Loss:
        if not self.supervised + self.statex + self.featex > 0:
            raise ValueError("every head has weight zero")
        return self


class Optimiser(_Section):
    """Adam with L2 on the kernels of convolutions and dense layers."""

    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    schedule: Literal["constant", "cosine"] = "constant"
    """``cosine`` lets the rate fall to one hundredth at the last step."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate first rises from zero."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    eps: float = Field(default=1e-7, gt=0)
    l2: float = Field(default=1e-5, ge=0)
    """Factor of the sum of squared kernels in the loss; squeeze-excitation layers have none."""


class Recipe(_Section):
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    sample_rate: int = Field(default=16_000, ge=4000, le=192_000)
    window_s: float = Field(default=10.0, gt=0, le=60)
    hop_s: float = Field(default=0.992, gt=0)
    """Stride between windows on the device; a multiple of the frame hop."""
    spectrogram: StftMagnitude = StftMagnitude()
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
        return self

    def total_steps(self, clips: int) -> int:
        """Steps of a run over ``clips`` clips; an epoch is at least one step."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 0) * max(1, clips // self.batch)

    def changed(self, **values: Any) -> Recipe:
        """A copy with some values replaced, validated anew; ``None`` leaves a value as it is."""
        given = {key: value for key, value in values.items() if value is not None}
        if given.get("steps") is not None:
            given["epochs"] = None
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
