"""Where a run is computed."""

from __future__ import annotations

import torch

from edge_asd.errors import UsageError


def choose_device(name: str = "auto", *, local_rank: int | None = None) -> torch.device:
    """The device that a word names.

    Args:
        name: ``auto`` (the accelerator if there is one that torch supports fully), ``cpu``,
            ``cuda``, ``cuda:N`` or ``mps``.
        local_rank: Number of this process on its machine, where several train together: each
            takes a graphics processor of its own.

    Raises:
        UsageError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        return _cuda(name, int(number) if number else None, local_rank)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: not available here; choose cpu")
    return torch.device(kind)


def _cuda(name: str, number: int | None, local_rank: int | None) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise UsageError(f"--device {name}: torch finds no CUDA device; choose cpu")
    if local_rank is not None:
        if number is not None:
            raise UsageError(f"--device {name}: every process takes its own; say --device cuda")
        number = local_rank
    number = number or 0
    if number >= count:
        raise UsageError(
            f"--device {name}: device {number} of {count} was asked for (they count from 0);"
            " start fewer processes or choose another"
        )
    # All batches have one shape, so the fastest kernels are worth looking for once.
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda", number)
