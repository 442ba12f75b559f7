"""What to do where a check is not healthy: for every check there is, by the first part of its name.

The text of a check says what is wrong, often with a remedy of its own; this is where to begin.
"""

from __future__ import annotations

_DISK = "free space on the disk, and check that the state directory can be written"

REMEDIES = {
    "calibration": "nothing while the machine is well: the threshold improves with what is heard; "
    "enrolling with more sound gets there at once",
    "capture": "is the microphone plugged in, and listed by edge-asd devices? The daemon tries "
    "again by itself",
    "configuration": "correct the file as the text says, then edge-asd reload; until then the one "
    "before is in force",
    "engine": "nothing is lost, but scoring costs more than it could: see the log and the GPU "
    "(nvidia-smi, tegrastats), then restart; engine: onnxruntime does without",
    "enrolment": "put right what the text names, then enrol again with edge-asd enrol",
    "events": _DISK,
    "evidence": "free space on the disk, or raise evidence.quota_mb",
    "history": _DISK,
    "jsonl": "check the folder of jsonl.path and the space on its disk",
    "ledger": _DISK,
    "microphone": "check cable, plug and mixer (alsamixer), then try another microphone",
    "mqtt": "check mqtt.url, the network, the credentials and the broker's log; nothing is lost "
    "meanwhile, alerts wait in the outbox",
    "outbox": "bring the broker back first; edge-asd outbox ls shows what waits, edge-asd outbox "
    "fsck checks it; more room: outbox.max_mb and outbox.max_days",
    "overload": "see what else runs on this computer; else fewer monitors, or a smaller bundle",
    "profile": _DISK,
    "workers": "look at the log, the disk and the load; systemd restarts a daemon that stands "
    "still",
}


def remedy_of(check: str) -> str:
    """Where to begin with a check that is not healthy.

    Args:
        check: Its name, such as ``capture/pump-1``.

    Returns:
        A sentence for people; empty for a check that is not known.

    >>> remedy_of("capture/pump-1").partition("?")[0]
    'is the microphone plugged in, and listed by edge-asd devices'
    """
    return REMEDIES.get(check.partition("/")[0], "")
