"""The sections of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_asd_train.augment import label_blocks
from edge_asd_train.losses import HeadKind, ScaleMode

Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Gain(Section):
    """Level of the clips before the network."""

    per_machine: bool = False
    """Bring every machine's median level to ``reference_dbfs``, as enrolment does on a device."""
    reference_dbfs: float = Field(default=-26.0, ge=-100, le=0)
    """Target of ``per_machine``; the bundle carries it to the device."""
    jitter_db: float = Field(default=0.0, ge=0, le=40)
    """Every window is made louder or softer by up to this much, uniformly in decibels."""


class Background(Section):
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


class FeatExNetwork(Section):
    """The published network: a spectrum branch and a spectrogram branch."""

    kind: Literal["featex"] = "featex"
    magnitude: Literal["linear", "log"] = "linear"
    """``log`` takes the logarithm of both inputs first."""


class BandsNetwork(Section):
    """Statistics of mel bands with a small learned correction."""

    kind: Literal["bands"]
    bands: int = Field(default=128, ge=8, le=256)
    channels: int = Field(default=32, ge=0, le=512)
    """Width of the correction; 0 leaves it out."""
    kernel: int = Field(default=7, ge=1, le=63)
    """Bands that each layer of it sees; odd."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> BandsNetwork:
        if self.kernel % 2 == 0:
            raise ValueError("kernel: an odd number is needed")
        return self


NetworkOptions = Annotated[FeatExNetwork | BandsNetwork, Field(discriminator="kind")]


class Episodes(Section):
    """Batches of machines, each with normal and faulty clips, in place of classes.

    A clip is scored against the other normal clips of its machine as on a device, and the loss is
    how badly these scores tell normal from faulty. Faulty clips exist of simulated machines only.
    """

    machines: int = Field(default=16, ge=1, le=512)
    """Machines in a batch."""
    normal: int = Field(default=8, ge=2, le=512)
    """Normal clips of each."""
    faulty: int = Field(default=6, ge=1, le=512)
    """Faulty clips of each."""
    softness: float = Field(default=0.03, gt=0, le=1)
    """Distance of unit vectors over which neighbours count alike."""

    @property
    def batch(self) -> int:
        """Clips of a batch."""
        return self.machines * (self.normal + self.faulty)


class Augment(Section):
    """Chances of a sample to be changed by each augmentation.

    An exchange makes three labels of each: untouched, own half, partner's half. At zero it makes
    none, so that a head has N classes without exchanges, 3N with one and 9N with both.
    """

    mixup: Probability = 0.5
    statex: Probability = 0.5
    """Exchange of the spectrograms' statistics over frequency, one pair a frame."""
    statex_time: Probability = 0.0
    """The same over time, one pair a bin."""
    featex: Probability = 0.5
    """Exchange of the embeddings of the spectrogram branch."""
    colour_db: float = Field(default=0.0, ge=0, le=20)
    """Standard deviation of each term of a random smooth frequency response; every window has its
    own, as if its microphone had been moved a little."""

    @property
    def statex_blocks(self) -> int:
        """Labels of a class after StatEx."""
        return label_blocks(self.statex, self.statex_time)

    @property
    def featex_blocks(self) -> int:
        """Labels of a class after StatEx and FeatEx."""
        return self.statex_blocks * label_blocks(self.featex)


class Trainable(Section):
    """Which heads learn their centres; ``trainable: true`` or ``false`` in short for all."""

    supervised: bool = False
    statex: bool = True
    featex: bool = True

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_all(cls, given: Any) -> Any:
        return dict.fromkeys(cls.model_fields, given) if isinstance(given, bool) else given


class Loss(Section):
    """Loss heads; the number of their classes follows from the augmentations that are on."""

    supervised: Weight = 1.0
    """Weight of the head that gets the class as recorded."""
    statex: Weight = 0.0
    """Weight of the head that also gets whether statistics were exchanged; not built at zero."""
    featex: Weight = 1.0
    """Weight of the head that gets that and whether embeddings were; not built at zero."""
    head: HeadKind = "adacos"
    """``adacos`` draws a sample to one of ``subclusters`` centres of its class, ``adaproj`` to a
    subspace of as many dimensions (32 in its paper)."""
    trainable: Trainable = Trainable()
    subclusters: int = Field(default=16, ge=1, le=256)
    scale: ScaleMode = "fixed"

    @model_validator(mode="after")
    def _some_head_counts(self) -> Loss:
        if not self.supervised + self.statex + self.featex > 0:
            raise ValueError("every head has weight zero")
        return self


class Optimiser(Section):
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
