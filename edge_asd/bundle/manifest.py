"""What a bundle says about itself: the schema of ``manifest.json``.

Sample rate, window, features and scorers stand here and nowhere in the operator's file, so that
nothing on a device can make serving differ from training.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_asd.features.spec import FeatureSpec, LogMelStatistics, MagnitudeSpectrum

SCHEMA = 1
"""Newest manifest schema that this version reads."""

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]
Precision = Literal["fp32", "fp16"]
"""Number format of convolutions and dense products; everything else is fp32 in either."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NetworkPrecision(_Model):
    """One ONNX file of a network."""

    precision: Precision
    bytes: Positive
    """Size of the file."""
    parity_tolerance: float = Field(gt=0, le=0.1)
    """Largest cosine distance to the golden embeddings at which an engine may be used with it."""
    cosine_distance: float = Field(ge=0, le=2)
    """Largest one from torch in fp32, as measured when it was exported."""


class Network(_Model):
    """One ONNX network and what it reads."""

    id: Identifier
    inputs: dict[str, FeatureSpec]
    """Feature of every network input, by input name."""
    segments: Positive = 1
    """Embeddings a window (S)."""
    embedding_size: Positive
    """Size of one embedding (D)."""
    parameters: Positive
    """Trainable parameters."""
    macs: Positive
    """Multiply-accumulate operations a window."""
    parity_tolerance: float = Field(default=1e-4, gt=0, le=0.1)
    """As that of a precision, for fp32 where ``precisions`` does not tell."""
    precisions: tuple[NetworkPrecision, ...] = ()
    """Its files, fp32 among them; where there is nothing, it is there in fp32 alone."""

    @property
    def member(self) -> str:
        """Name of the fp32 network inside the archive."""
        return self.member_of("fp32")

    def member_of(self, precision: Precision) -> str:
        """Name of the network's file of a precision inside the archive."""
        suffix = "" if precision == "fp32" else f".{precision}"
        return f"networks/{self.id}{suffix}.onnx"

    def has(self, precision: Precision) -> bool:
        """Whether the bundle holds the network in a precision."""
        return precision == "fp32" or any(one.precision == precision for one in self.precisions)

    def tolerance(self, precision: Precision) -> float:
        """Largest cosine distance to the golden embeddings at which an engine may be used."""
        told = (one.parity_tolerance for one in self.precisions if one.precision == precision)
        return next(told, self.parity_tolerance)

    @model_validator(mode="after")
    def _fp32_is_always_there(self) -> Network:
        named = [one.precision for one in self.precisions]
        if len(set(named)) != len(named):
            raise ValueError("a precision is named twice")
        if named and "fp32" not in named:
            raise ValueError("fp32 is missing among the precisions")
        return self


class EmbeddingScorer(_Model):
    """Minimum cosine distance to cluster centres of a network's embeddings."""

    kind: Literal["centres"] = "centres"
    id: Identifier
    network: Identifier
    clusters: Positive = 16
    """k-means centres of the source embeddings; clamped to the data."""


class BankScorer(_Model):
    """Distance to banks of normal embeddings, one of source and one of targets; the nearer counts.

    With its defaults the nearest neighbour among the embeddings themselves.
    """

    kind: Literal["banks"] = "banks"
    id: Identifier
    network: Identifier
    references: Literal["all", "centres", "means"] = "all"
    """What of the source is kept: every embedding, k-means centres, or the mean of every class."""
    clusters: Positive = 16
    """k-means centres of the source, where ``references`` is ``centres``; clamped to the data."""
    neighbours: Positive = 1
    """Nearest references of a bank that are averaged over; clamped to the bank."""
    density: Literal["none", "ratio", "difference"] = "none"
    """How a distance is related to the local density of the reference it is measured to."""
    density_neighbours: Annotated[int, Field(ge=1, le=64)] = 4
    """References that make a local density, unless ``density`` is ``none``."""
    targets: Literal["keep", "smote", "memmixup"] = "keep"
    """Whether the few targets are kept alone, or synthetic ones put between or beside them."""
    standardise_domains: bool = False
    """Bring the distances to targets to the mean and spread of those to the source, as held-out
    training windows show them."""


class FeatureScorer(_Model):
    """Nearest neighbour on a feature itself, without a network."""

    kind: Literal["neighbours"] = "neighbours"
    id: Identifier
    feature: LogMelStatistics
    neighbours: Positive = 1


class LevelScorer(_Model):
    """Distance of the window's level to the nearest level heard at enrolment."""

    kind: Literal["level"] = "level"
    id: Identifier
    spread_db: float = Field(default=0.5, gt=0, le=20)
    """How many decibels off the enrolled levels count as one standardised unit."""


ScorerSpec = Annotated[
    EmbeddingScorer | BankScorer | FeatureScorer | LevelScorer, Field(discriminator="kind")
]


class References(_Model):
    """Centres of the machines that the networks were trained on, in ``references.npz``."""

    network: Identifier
    """Whose embeddings they are of."""
    clusters: Positive
    """k-means centres of a machine; clamped to its clips."""
    machines: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        min_length=1, max_length=4096
    )
    """Names, in the order of the arrays."""


class Provenance(_Model):
    """A data set that the networks were trained on."""

    name: str
    licence: str
    attribution: str = ""
    url: str = ""


class Manifest(_Model):
    """``manifest.json`` of a bundle."""

    schema_version: int = Field(alias="schema", ge=1)
    name: Identifier
    version: Identifier
    created_at: str
    """RFC 3339 UTC."""
    requires: str = Field(default="", max_length=32)
    """Lowest version of edge-asd that may load it; empty for any."""
    licence: str
    sample_rate: int = Field(ge=4000, le=192_000)
    window_samples: int = Field(ge=1024, le=192_000 * 60)
    hop_samples: Positive
    reference_dbfs: float = Field(ge=-100, le=0)
    """Level to which a monitor's enrolment brings its median level."""
    networks: tuple[Network, ...] = Field(min_length=1, max_length=16)
    scorers: tuple[ScorerSpec, ...] = Field(min_length=1, max_length=16)
    fusion: Literal["mean", "max"] = "mean"
    """Rule that fuses the standardised scores of several scorers."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    provenance: tuple[Provenance, ...] = ()
    data_fingerprint: Sha256 | None = None
    """Of the clips it was trained on: classes, machines, health, lengths and samples."""
    references: References | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    """What was measured with it, by the commands named there."""
    files: dict[str, Sha256]
    """SHA-256 of every other member of the archive."""

    @property
    def features(self) -> dict[str, FeatureSpec]:
        """Every feature that the networks and scorers read, by name ``owner/input``."""
        found: dict[str, FeatureSpec] = {}
        for network in self.networks:
            found |= {f"{network.id}/{name}": spec for name, spec in network.inputs.items()}
        for scorer in self.scorers:
            if isinstance(scorer, FeatureScorer):
                found[f"{scorer.id}/feature"] = scorer.feature
        return found

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Manifest:
        if self.hop_samples > self.window_samples:
            raise ValueError("hop_samples exceeds window_samples")
        network_ids = [network.id for network in self.networks]
        scorer_ids = [scorer.id for scorer in self.scorers]
        for ids in (network_ids, scorer_ids):
            if len(set(ids)) != len(ids):
                raise ValueError(f"an id is used twice among {', '.join(ids)}")
        for scorer in self.scorers:
            if not isinstance(scorer, EmbeddingScorer | BankScorer):
                continue
            if scorer.network not in network_ids:
                raise ValueError(f"scorer {scorer.id} reads an unknown network {scorer.network}")
        for name, spec in self.features.items():
            if not isinstance(spec, MagnitudeSpectrum):
                self._check_framing(name, spec.n_fft, spec.hop_length)
        return self

    @model_validator(mode="after")
    def _files_can_be_told_apart(self) -> Manifest:
        members = [n.member_of(p) for n in self.networks for p in get_args(Precision) if n.has(p)]
        if len(set(members)) != len(members):
            raise ValueError(f"a file is used twice among {', '.join(members)}")
        return self

    @model_validator(mode="after")
    def _references_fit(self) -> Manifest:
        told = self.references
        if told is None:
            return self
        if told.network not in [network.id for network in self.networks]:
            raise ValueError(f"references are of an unknown network {told.network}")
        if len(set(told.machines)) != len(told.machines):
            raise ValueError("references name a machine twice")
        return self

    def _check_framing(self, name: str, n_fft: int, hop_length: int) -> None:
        if self.hop_samples % hop_length:
            raise ValueError(
                f"hop_samples={self.hop_samples}: no multiple of hop_length={hop_length} of {name}"
            )
        if n_fft > self.window_samples:
            raise ValueError(f"n_fft={n_fft} of {name} exceeds the window")
