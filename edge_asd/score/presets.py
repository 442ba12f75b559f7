"""Scorers by name, for comparisons and for recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from edge_asd.bundle import manifest as schema
from edge_asd.errors import ConfigError

SCORERS: Mapping[str, Mapping[str, Any]] = {
    # As the FeatEx system was published: 16 k-means centres of the source, and every target.
    "published": {"kind": "centres"},
    # The mean of every class where labels are known, else of the source; every target.
    "means": {"kind": "banks", "references": "means"},
    "knn": {"kind": "banks"},
    "ldn": {"kind": "banks", "density": "ratio"},
    "smote": {"kind": "banks", "targets": "smote"},
    "memmixup": {"kind": "banks", "targets": "memmixup", "standardise_domains": True},
    # Without a network.
    "log_mel": {"kind": "neighbours", "feature": {"kind": "log_mel_statistics"}},
    "level": {"kind": "level"},
}
"""What a manifest says of each, but for its id and the network it reads."""

_SPEC: TypeAdapter[schema.ScorerSpec] = TypeAdapter(schema.ScorerSpec)


def named_scorers(names: str, network: str) -> tuple[schema.ScorerSpec, ...]:
    """The scorers that names joined by ``+`` stand for, with the names as their ids.

    Args:
        names: One or several of ``SCORERS``, such as ``ldn`` or ``ldn+log_mel``.
        network: Network whose embeddings they read, where they read any.

    Raises:
        ConfigError: A name is unknown or stands twice.

    >>> [spec.id for spec in named_scorers("ldn+log_mel", "featex")]
    ['ldn', 'log_mel']
    """
    chosen = names.split("+")
    for name in chosen:
        if name not in SCORERS:
            raise ConfigError(
                f"scorer {name!r} is unknown; choose of {', '.join(SCORERS)}, or join two by '+'"
            )
        if chosen.count(name) > 1:
            raise ConfigError(f"scorer {name} stands twice in {names}; name it once")
    return tuple(_spec(name, network) for name in chosen)


def _spec(name: str, network: str) -> schema.ScorerSpec:
    fields = {"id": name, **SCORERS[name]}
    if fields["kind"] in ("centres", "banks"):
        fields["network"] = network
    return _SPEC.validate_python(fields)
