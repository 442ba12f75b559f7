"""Whether a run fits into memory and its clips onto the disk, asked before hours are spent."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from edge_asd.errors import ConfigError, StorageError
from edge_asd_train.learner import Learner
from edge_asd_train.recipe import Recipe

_PROBE = 2  # windows of the smaller trial: one pair of partners
_COPIES = 4  # of every trained number: itself, its gradient and Adam's two moments
_PEAK = 1.5
"""What a step takes in all for each byte that its forward pass keeps: 1.3 to 1.5, measured on a CPU
with batches of 8 and 16 in both precisions."""
_FRONT_END = 7.0
"""What waveforms and their features take in all for each byte of the waveforms: 6.2 to 6.7 with
network bands, whose forward pass keeps next to nothing, measured with batches of 14 and 42."""
_BYTES = 4  # of a sample

_logger = logging.getLogger(__name__)


def check_memory(recipe: Recipe, classes: int, rows: int, device: torch.device) -> None:
    """Refuse a run that cannot fit into the memory that is free now.

    Args:
        recipe: Network, heads and precision.
        classes: N.
        rows: Windows of a batch in this process.
        device: Whose memory counts.

    Raises:
        ConfigError: It is too little, by an estimate.
    """
    free = free_memory_bytes(device)
    if free is None:
        return
    weights = weights_bytes(recipe, classes)
    # The trial needs the heads themselves, so what is hopeless is refused before it.
    batch = batch_bytes(recipe, classes, rows) if weights < free else 0
    _logger.info("memory_free=%d weights=%d batch=%d", free, weights, batch)
    if weights + batch > free:
        remedy = "train on fewer classes" if weights > batch else "lower batch or window_s"
        raise ConfigError(
            f"recipe {recipe.name}: {_gb(weights)} for the weights of {classes} classes and"
            f" {_gb(batch)} for {rows} windows are needed, but {_gb(free)} of memory are free;"
            f" {remedy}"
        )


def check_disk(folder: Path, needed_bytes: int) -> None:
    """Refuse to fill a disk.

    Args:
        folder: Where to write; need not exist yet.
        needed_bytes: How much.

    Raises:
        StorageError: Less is free.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if needed_bytes > free:
        raise StorageError(
            f"{folder}: the decoded clips take {_gb(needed_bytes)}, but {_gb(free)} are free;"
            " choose another folder or fewer clips"
        )


def weights_bytes(recipe: Recipe, classes: int) -> int:
    """Memory of everything that does not depend on the batch; nothing is allocated to find out."""
    with torch.device("meta"):
        learner = Learner(recipe, classes)
    trained = sum(p.nbytes for p in learner.parameters())
    fixed = sum(b.nbytes for b in learner.buffers())
    averaged = sum(p.nbytes for p in learner.network.parameters()) if recipe.ema else 0
    return _COPIES * trained + fixed + averaged


def batch_bytes(recipe: Recipe, classes: int, rows: int) -> int:
    """Memory that a batch of ``rows`` windows takes, from the forward passes of a few."""
    probe = recipe.episodes.batch // recipe.episodes.machines if recipe.episodes else _PROBE
    # Two trials tell what each window adds from what is kept anyway, such as rounded weights.
    once, twice = (_kept_bytes(recipe, classes, probe, parts) for parts in (1, 2))
    kept = once + (twice - once) * (rows - probe) / probe
    return round(max(_PEAK * kept, _FRONT_END * rows * recipe.window_samples * _BYTES))


def _kept_bytes(recipe: Recipe, classes: int, probe: int, parts: int) -> int:
    """What a forward pass of ``parts`` times ``probe`` windows keeps for the backward pass."""
    kept: dict[int, int] = {}
    if recipe.episodes is not None:
        machines = recipe.episodes.model_copy(update={"machines": parts})
        recipe = recipe.model_copy(update={"episodes": machines})

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng(devices=[]):
        learner = Learner(recipe, classes)
        waveforms = 0.1 * torch.randn(parts * probe, recipe.window_samples)
    labels = functional.one_hot(torch.arange(parts * probe) % classes, classes)
    rng = torch.Generator().manual_seed(0)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        losses = learner.losses(waveforms, labels.to(torch.float32), rng)
    for own in (*learner.parameters(), *learner.buffers()):
        kept.pop(own.untyped_storage().data_ptr(), None)
    del losses  # until here everything was alive, so that no address stands for two tensors
    return sum(kept.values())


def free_memory_bytes(device: torch.device) -> int | None:
    """Memory that a process may still take; nothing where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    limit = _container_limit_bytes()
    free = 1024 * int(kilobytes)
    return free if limit is None else min(free, limit)


def _container_limit_bytes() -> int | None:
    """Limit of the control group, if any; what is in use of it counts the page cache too."""
    try:
        word = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(word) if word.isdigit() else None


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
