"""What a service may open on this computer: the drop-in made from the nodes and groups found.

Nodes and groups differ between one JetPack and the next and from a computer without a GPU, and a
group that does not exist keeps a unit from starting: so nothing of this is in the unit.
"""

from __future__ import annotations

import grp
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_NVIDIA = (
    "nvidia*",
    "nvidia-caps/*",
    "nvmap",
    "nvhost-*",
    "nvgpu/*/*",
    "nvsciipc",
    "host1x-fence",
)
"""Jetson's integrated GPU, by JetPack, and discrete ones."""

_RENDER = ("dri/renderD*",)
_SOUND_GROUPS = ("audio",)
_GPU_GROUPS = ("video", "render")


@dataclass(frozen=True, slots=True)
class Nodes:
    """What is there, in the order of names."""

    nvidia: tuple[str, ...] = ()
    render: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Those that exist of the groups that may open them."""


def find_nodes(
    dev: Path = Path("/dev"),
    groups: Sequence[str] | None = None,
    is_device: Callable[[Path], bool] | None = None,
) -> Nodes:
    """Look for GPUs and for the groups of sound and GPU.

    Args:
        dev: Where device nodes are.
        groups: Names of all groups; None asks this computer.
        is_device: Whether a path is a character device.
    """
    known = {group.gr_name for group in grp.getgrall()} if groups is None else set(groups)
    check = is_device or _is_character_device
    nvidia, render = (
        tuple(
            sorted({f"/dev/{p.relative_to(dev)}" for g in globs for p in dev.glob(g) if check(p)})
        )
        for globs in (_NVIDIA, _RENDER)
    )
    wanted = _SOUND_GROUPS + (_GPU_GROUPS if nvidia or render else ())
    return Nodes(nvidia, render, tuple(name for name in wanted if name in known))


def devices_drop_in(nodes: Nodes) -> str:
    """The drop-in that lets the service at the microphones and at the GPU, and at nothing else."""
    lines = [
        "# Written by `edge-asd service install` from what it found on this computer.",
        "# Run it again after the GPU, its driver or JetPack has changed.",
        "[Service]",
        "DevicePolicy=closed",
        "# Microphones, also those that are plugged in later.",
        "DeviceAllow=char-alsa rw",
    ]
    if nodes.nvidia or nodes.render:
        lines.append("# The GPU.")
        lines += [f"DeviceAllow={node} rw" for node in (*nodes.nvidia, *nodes.render)]
    if nodes.groups:
        lines.append(f"SupplementaryGroups={' '.join(nodes.groups)}")
    if nodes.nvidia:
        lines += [
            "# CUDA and TensorRT compile as they go; not tried here without this.",
            "MemoryDenyWriteExecute=no",
            "# The GPU's memory is the computer's on a Jetson.",
            "MemoryHigh=3G",
            "MemoryMax=4G",
            "LimitMEMLOCK=infinity",
        ]
    return "\n".join(lines) + "\n"


def credentials_drop_in(folder: str, names: Sequence[str]) -> str:
    """The drop-in that hands every secret of a folder to the service.

    Args:
        folder: Where they lie on the device.
        names: Of the files; each is the name of its credential.
    """
    lines = [
        f"# Written by `edge-asd service install`: what lies in {folder}.",
        "# In config.yaml: password_file: credential:NAME",
        "[Service]",
        *(f"LoadCredential={name}:{folder}/{name}" for name in sorted(names)),
    ]
    return "\n".join(lines) + "\n"


def _is_character_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False
