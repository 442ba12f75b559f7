"""Evidence where no memory may be both written and run, as in the hardened service."""

import subprocess
import sys

import pytest
from support.confirmed import keep_alert, load_sound

CANNOT = 77

PROGRAM = f"""
import ctypes, io, sys
from pathlib import Path

import numpy as np
import soundfile

from edge_asd.normal.alert_sound import read_alert_sound
from edge_asd.cli.events_find import read_stories
from edge_asd.evidence.compose import encode

set_mdwe, refuse_exec_gain = 65, 1
if ctypes.CDLL(None).prctl(set_mdwe, refuse_exec_gain, 0, 0, 0):
    sys.exit({CANNOT})  # before Linux 6.3
try:
    soundfile.write(io.BytesIO(), np.zeros(9), 16_000, format="FLAC")
except MemoryError:
    pass
else:
    sys.exit({CANNOT})
assert encode(np.full(160_000, 0.25, np.float32), 16_000)[:4] == b"fLaC"
(story,) = read_stories(Path(sys.argv[1])).values()
assert len(read_alert_sound(story.kept).samples)
"""


def test_the_sound_of_an_alert_is_kept_and_read_back(tmp_path):
    keep_alert(tmp_path, 1, load_sound(seed=7))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, check=False
    )
    if done.returncode == CANNOT:
        pytest.skip("this system cannot forbid it")
    assert done.returncode == 0, done.stderr
