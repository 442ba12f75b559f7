"""Physics-based machine sound with faults, for the demo, rehearsals, tests and training.

A `Scene` says which machine, how it runs and where it is heard; `render` gives a clip of it,
`SimulatedMachine` an endless stream. The chain: shafts turn with load and 1/f wander
(`moment`), parts excite sound as they turn (`parts`), structure, room and microphone filter it
(`hearing`, `room`). Normal models are in `rotating`, `driven` and `cyclic`; faults in
`faults` and its three companions, bearing kinematics in `kinematics`.

Cost, measured as CPU time on one x86 core with other work beside it, median over 60 drawn
scenes, 10 s at 16 kHz with background: 70 ms for the first clip of a scene (building the unit,
its kernels and its reference level included), 43 ms for every further one.
"""

from __future__ import annotations

from edge_asd.simulate.kinematics import Bearing
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.render import render
from edge_asd.simulate.scene import (
    KINDS,
    Fault,
    Scene,
    build_machine,
    draw_scene,
    faults_of,
    shifted,
)
from edge_asd.simulate.schedule import Schedule
from edge_asd.simulate.stream import SimulatedMachine

__all__ = [
    "KINDS",
    "Bearing",
    "Fault",
    "Machine",
    "Scene",
    "Schedule",
    "SimulatedMachine",
    "build_machine",
    "draw_scene",
    "faults_of",
    "render",
    "shifted",
]
