"""Alerts to confirm as normal: their windows, and their evidence on the disk."""

from __future__ import annotations

import json

import numpy as np

from edge_asd.clock import rfc3339
from edge_asd.embed import WindowEmbedder
from edge_asd.evidence.compose import encode
from edge_asd.evidence.records import EvidenceRecord
from edge_asd.evidence.store import EvidenceStore
from edge_asd.normal.alert_sound import AlertSound, embed_alert
from edge_asd.profile.targets import Recording, choose_windows
from edge_asd.publish.store import EventStore
from edge_asd.records import Severity
from edge_asd.simulate import Scene, SimulatedMachine
from support.evidence import event_id
from support.sound import RATE, WALL_S, machine

RESTS_S = 3.0
"""Alerts of the tests rest on their first three seconds."""
DAY_S = 86_400.0


def at(number):
    """When the alert with this number began; one a day."""
    return WALL_S + number * DAY_S


def load_sound(seconds=6.0, *, load=1.0, speed=0.9, seed=7):
    """The pump of ``support.sound`` under another load, (n,)."""
    scene = Scene("pump", unit=5, snr_db=20.0, load=load, speed=speed)
    return SimulatedMachine(scene, seed=seed).read(round(seconds * RATE))


def fault_sound(seconds=6.0):
    """The same pump with a fault, (n,)."""
    return machine("pump", seconds, fault="bearing_outer", seed=3)


def recording_of(networks, profile, samples, number=0, *, expires_at=None, by="anna"):
    """What confirming this sound would add to a profile."""
    sound = AlertSound(samples, RATE, RESTS_S)
    heard = embed_alert(sound, WindowEmbedder(networks), profile.gain_db)
    chosen = choose_windows(
        profile.targets.enrolled if profile.targets else profile.detector,
        profile.few,
        profile.recordings,
        heard.views,
        heard.rests,
        enough=profile.calibration.usual,
        room=64,
    )
    return Recording(
        event_id=event_id(number),
        by=by,
        at=rfc3339(at(number) + 600.0),
        expires_at=None if expires_at is None else rfc3339(expires_at),
        began_at=rfc3339(at(number)),
        severity="warning",
        audio=f"{event_id(number)}.flac",
        rests_s=RESTS_S,
        views=heard.views,
        chosen=chosen,
    )


def keep_alert(
    state_dir, number, samples, *, acked_by=None, gaps=(), pinned=False, rehearsal=False
):
    """Put an alert of ``pump-1`` and its evidence on the disk; returns its id."""
    from publish_samples import message  # processes of the tests do not find it

    began, name = at(number), event_id(number)
    events = EventStore(state_dir)
    fields = {"started_at": began, "updated_at": began + 2.0, "acked_by": acked_by}
    if acked_by:
        fields["acked_at"] = began + 60.0
    for kind in ("new", "end"):
        ended = {"ended_at": began + 60.0, "reason": "score back to normal"}
        step = message(kind, id=name, **(fields | (ended if kind == "end" else {})))
        step = step.model_copy(update={"rehearsal": rehearsal})
        events.record(step, monitor="pump-1", topic=None)
    events.close()
    clip = {
        "evidence_s": 0.0,
        "decided_s": RESTS_S,
        "gaps": [{"begin_s": low, "end_s": high} for low, high in gaps],
    }
    files = {
        "clip.flac": encode(np.asarray(samples, np.float32), RATE),
        "details.json": json.dumps({"schema": 1, "clip": clip}).encode(),
    }
    store = EvidenceStore(state_dir, free_floor_bytes=0)
    record = EvidenceRecord(name, "pump-1", "hall", began, began, Severity.WARNING, 9.0)
    kept = store.write(record, files)
    if pinned:
        (kept.folder / "pinned").touch()
    store.close()
    return name
