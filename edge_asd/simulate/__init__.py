"""Physics-based machine sound with faults, for the demo, rehearsals, tests and training."""

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
