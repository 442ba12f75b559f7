"""The device's real case: machines of a kind that the network never heard.

A simulated data set tells in ``dataset.json`` which fault an anomalous test clip has and how badly;
a run tells which kinds of machine were left out of its training. What is measured are the machines
of these kinds, after their own normal clips were learned as on a device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from edge_asd.errors import DataError
from edge_asd.simulate import Fault
from edge_asd_train import loop
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets.index import Index
from edge_asd_train.datasets.simulated_set import DESCRIPTION
from edge_asd_train.evaluate.contest import ScoredSection
from edge_asd_train.evaluate.methods import Method
from edge_asd_train.evaluate.network import NetworkMethod
from edge_asd_train.evaluate.severity import FirstShot, grade


class _Machine(BaseModel):
    kind: str


class _Anomaly(BaseModel):
    fault: str
    severity: float = Field(ge=0.0, le=1.0, allow_inf_nan=False)


class _Description(BaseModel):
    """What is read of ``dataset.json``; the anomalous clips by their paths."""

    machines: dict[str, _Machine]
    anomalies: dict[str, _Anomaly]


@dataclass(frozen=True, slots=True)
class Described:
    """What a simulated data set tells beside its sound."""

    kinds: Mapping[str, str]
    """By machine."""
    faults: Mapping[Path, Fault]
    """By anomalous test clip."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of the machines in a training."""

    left_out: tuple[str, ...]
    """Kinds of which none was simulated."""
    simulated: int
    """Number of simulated machines."""
    recordings: str | None
    """Folder that was learned too, if any; of which kinds its machines are is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstShotCase:
    """The machines that are to be measured."""

    index: Index
    """Their clips."""
    faults: Mapping[Path, Fault]
    left_out: tuple[str, ...]
    """Their kinds that training left out."""
    heard: tuple[str, ...]
    """Their other kinds."""
    notes: tuple[str, ...]
    """What a reader of the figures has to know."""

    def grade(self, scored: Sequence[ScoredSection]) -> FirstShot:
        """AUC by severity and by fault; see ``severity.grade``."""
        return grade(scored, self.faults, left_out=self.left_out, heard=self.heard)


def read_description(index: Index) -> Described:
    """What is wrong in the anomalous clips of a simulated data set.

    Raises:
        DataError: It is no such set, or clips and description do not belong together.
    """
    path = index.root / DESCRIPTION
    try:
        read = _Description.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; --first-shot needs the severity of every fault, as"
            " edge-asd-train simulate writes it"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise DataError(
            f"{path}: not as edge-asd-train simulate wrote it ({where}{first['msg']}); simulate the"
            " set again"
        ) from error
    kinds = {name: machine.kind for name, machine in read.machines.items()}
    faults = {
        index.root / place: Fault(one.fault, one.severity) for place, one in read.anomalies.items()
    }
    for clip in index.files:
        if clip.machine not in kinds or (clip.path in faults) != bool(clip.anomalous):
            raise DataError(
                f"{clip.path}: {DESCRIPTION} tells something else of it, or nothing; take away what"
                " was added to the set, or simulate it again"
            )
    return Described(kinds, faults)


def training_of(method: Method) -> Training | None:
    """What a network was trained on; ``None`` for a method that hears the tested machines only.

    Raises:
        DataError: The checkpoint of the run cannot be read.
    """
    if not isinstance(method, NetworkMethod):
        return None
    if method.run is not None:
        told = load_checkpoint(method.run / loop.CHECKPOINT).sources
    else:
        told = method.clips.manifest.metrics.get("training", {})
    return Training(
        left_out=tuple(told.get("left_out_kinds", ())),
        simulated=told.get("simulated_machines", 0),
        recordings=told.get("data"),
    )


def choose_machines(
    index: Index, described: Described, training: Training | None, *, all_kinds: bool = False
) -> FirstShotCase:
    """Leave out the machines whose kinds a network heard in training.

    Args:
        index: The data set.
        described: From ``read_description``.
        training: From ``training_of``.
        all_kinds: Leave none out, and say so.

    Raises:
        DataError: None would remain.
    """
    kinds = {machine: described.kinds[machine] for machine, _ in index.sections}
    unheard = set(kinds.values()) if training is None else set(training.left_out)
    heard = sorted(machine for machine, kind in kinds.items() if kind not in unheard)
    if len(heard) == len(kinds) and not all_kinds:
        raise DataError(
            f"{index.root}: training left out none of the kinds in it"
            f" ({', '.join(sorted(set(kinds.values())))}); train with fit --leave-out KINDS, or"
            " give --all-kinds to measure machines of kinds that it heard"
        )
    if not all_kinds:
        files = tuple(one for one in index.files if one.machine not in heard)
        index = dataclasses.replace(index, files=files)
    measured = {kinds[machine] for machine, _ in index.sections}
    return FirstShotCase(
        index,
        described.faults,
        left_out=tuple(sorted(measured & unheard)),
        heard=tuple(sorted(measured - unheard)),
        notes=tuple(_notes(training, heard, all_kinds=all_kinds)),
    )


def _notes(training: Training | None, heard: Sequence[str], *, all_kinds: bool) -> Iterator[str]:
    if training is None:
        return
    if heard:
        # Without simulated machines nothing tells of which kinds those in the recordings are.
        how = "heard" if training.simulated else "may have heard"
        so = "measured, but not first-shot" if all_kinds else "not measured"
        yield f"{so}: {', '.join(heard)}; training {how} machines of their kinds"
    if training.recordings is not None and training.left_out:
        yield (
            f"training heard the machines in {training.recordings} too; whether some of them are of"
            " the kinds that were left out is not known"
        )
