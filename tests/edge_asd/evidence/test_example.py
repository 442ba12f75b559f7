"""The example in the documentation is what the daemon makes of real recordings."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.processes import ROOT

from edge_asd.bundle import builtin_bundle
from edge_asd.evidence.details import Details
from edge_asd.evidence.picture import MAX_BYTES
from edge_asd.publish.messages import EventMessage

DOCS = ROOT / "docs" / "evidence"
FAN = ROOT.parent / "shared" / "data" / "mimii_ch0" / "fan" / "id_02_0dB"


def test_the_example_has_the_form_of_today():
    text = (DOCS / "details.json").read_bytes()
    details = Details.model_validate_json(text)
    assert details.to_file() == text
    message = EventMessage.model_validate_json((DOCS / "event.json").read_bytes())
    assert message.id == details.event_id
    assert (DOCS / "spectrogram.png").stat().st_size <= MAX_BYTES


@pytest.mark.recordings
@pytest.mark.slow
def test_the_fault_of_a_real_fan_is_named_by_its_bands(tmp_path):
    if not FAN.is_dir():
        pytest.skip("the recordings of mimii_ch0 are not there")
    if not builtin_bundle().exists():
        pytest.skip("there is no built-in bundle in this source tree")
    script = ROOT / "benchmarks" / "evidence_example.py"
    command = [sys.executable, script, "--unit", FAN, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    details = json.loads((tmp_path / "details.json").read_bytes())
    first = details["difference"]["deviations"][0]
    assert first["quantity"] == "level"
    assert first["difference_db"] < -4.0  # this fan has lost its upper bands
    assert first["from_hz"] < 2000
    assert first["to_hz"] > 3500
    shipped = json.loads((DOCS / "details.json").read_bytes())
    assert details["summary"][0] == shipped["summary"][0]
    assert (tmp_path / "spectrogram.png").stat().st_size <= MAX_BYTES
