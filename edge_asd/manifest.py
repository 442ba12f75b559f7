"""What a bundle says about itself: the schema of ``manifest.json``.

Sample rate, window, features and scorers stand here and nowhere in the operator's file, so that
nothing on a device can make serving differ from training.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_asd.features.spec import FeatureSpec, LogMelStatistics, MagnitudeSpectrum

SCHEMA = 1
"""Newest manifest schema that this version reads."""

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
    """Largest cosine distance to the golden embeddings at which an engine may be used."""

    @property
    def member(self) -> str:
        """Name of the fp32 network inside the archive."""
        return f"networks/{self.id}.onnx"


class EmbeddingScorer(_Model):
    """Minimum cosine distance to cluster centres of a network's embeddings."""

    kind: Literal["centres"] = "centres"
    id: Identifier
    network: Identifier
    clusters: Positive = 16
    """k-means centres of the source embeddings; clamped to the data."""


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


ScorerSpec = Annotated[EmbeddingScorer | FeatureScorer | LevelScorer, Field(discriminator="kind")]


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
            if isinstance(scorer, EmbeddingScorer) and scorer.network not in network_ids:
                raise ValueError(f"scorer {scorer.id} reads an unknown network {scorer.network}")
        for name, spec in self.features.items():
            if not isinstance(spec, MagnitudeSpectrum):
                self._check_framing(name, spec.n_fft, spec.hop_length)
        return self

    def _check_framing(self, name: str, n_fft: int, hop_length: int) -> None:
        if self.hop_samples % hop_length:
            raise ValueError(
                f"hop_samples={self.hop_samples}: no multiple of hop_length={hop_length} of {name}"
            )
        if n_fft > self.window_samples:
            raise ValueError(f"n_fft={n_fft} of {name} exceeds the window")
