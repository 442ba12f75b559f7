"""Where clips come from: folders of recordings, clip folders as classes, simulated machines.

Every source yields ``Clip`` records; ``ClipStore`` decodes them once into 16-bit samples on disk
and checks them before any training time is spent. Only ``batches`` needs torch, so the processes
that render side by side start without it.
"""

from __future__ import annotations

from edge_asd_train.datasets.folders import class_folders
from edge_asd_train.datasets.simulated import simulated_machines
from edge_asd_train.datasets.store import Clip, ClipStore, Pending

__all__ = [
    "Clip",
    "ClipStore",
    "Pending",
    "class_folders",
    "simulated_machines",
]
