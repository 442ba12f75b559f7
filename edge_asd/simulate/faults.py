"""What can go wrong with each kind, as changes of the unit's normal model.

A fault changes levels of normal parts (in dB, in proportion to the severity), adds parts (with
an amplitude in proportion to the severity) and may change the speed. Signatures follow the
usual diagnostic charts (ISO 13373-3; Randall, Vibration-based Condition Monitoring, 2011).
"""

from __future__ import annotations

from edge_asd.simulate.faults_contact import belt_squeal, broken_tooth, knock, rub, worn_gear
from edge_asd.simulate.faults_flow import (
    blocked_flow,
    cavitation,
    chatter,
    contamination,
    damaged_blade,
    leak,
    missing_propeller,
    sluggish,
    valve_leak,
)
from edge_asd.simulate.faults_rotor import (
    bearing,
    broken_bar,
    imbalance,
    looseness,
    misalignment,
    supply_fault,
)
from edge_asd.simulate.machine import Builder

_ROTOR_FAULTS: dict[str, Builder] = {
    "bearing_outer": bearing("outer"),
    "bearing_inner": bearing("inner"),
    "imbalance": imbalance,
    "misalignment": misalignment,
    "looseness": looseness,
}

FAULTS: dict[str, dict[str, Builder]] = {
    "pump": {
        **_ROTOR_FAULTS,
        "cavitation": cavitation,
        "clogged": blocked_flow,
        "damaged_impeller": damaged_blade,
        "leak": leak,
        "lost_lubrication": rub("dry", -8.0, -2.0, "rotor"),
    },
    "fan": {
        **_ROTOR_FAULTS,
        "blocked_flow": blocked_flow,
        "damaged_blade": damaged_blade,
        "rub": rub("rub", -8.0, -1.0, "rotor"),
        "voltage": supply_fault,
    },
    "gearbox": {
        **_ROTOR_FAULTS,
        "broken_tooth": broken_tooth,
        "worn_gear": worn_gear,
        "lost_lubrication": rub("dry", -8.0, -1.0, "gear_1"),
    },
    "valve": {
        "leak": valve_leak,
        "sluggish": sluggish,
        "chatter": chatter,
        "contamination": contamination,
    },
    "slider": {
        "lost_lubrication": rub("dry", -5.0, 2.0, "rotor", 0.2),
        "rail_damage": knock("pit", "cycle", order=2, path="shell"),
        "bearing_ball": bearing("ball"),
        "looseness": looseness,
    },
    "bearing": {
        "bearing_outer": bearing("outer"),
        "bearing_inner": bearing("inner"),
        "bearing_ball": bearing("ball"),
        "bearing_cage": bearing("cage"),
        "lost_lubrication": rub("dry", -8.0, -1.0, "rotor"),
    },
    "conveyor": {
        "belt_squeal": belt_squeal,
        "belt_damage": knock("splice", "belt", order=3),
        "roller_seized": rub("roller", -5.0, 1.0, "roller"),
        "bearing_outer": bearing("outer"),
        "looseness": looseness,
        "misalignment": misalignment,
    },
    "compressor": {
        "valve_leak": valve_leak,
        "knock": knock("slap", "rotor"),
        "clogged_filter": blocked_flow,
        "leak": leak,
        "belt_squeal": belt_squeal,
        "bearing_outer": bearing("outer"),
        "looseness": looseness,
    },
    "drone": {
        "missing_propeller": missing_propeller,
        "damaged_propeller": damaged_blade,
        "imbalance": imbalance,
        "bearing_outer": bearing("outer"),
        "looseness": looseness,
    },
    "motor": {
        **_ROTOR_FAULTS,
        "broken_bar": broken_bar,
        "phase_loss": supply_fault,
        "rub": rub("rub", -8.0, -1.0, "rotor"),
    },
}
