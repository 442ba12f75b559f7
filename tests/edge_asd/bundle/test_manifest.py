"""The manifest accepts what fits together and names what does not."""

import pytest
from pydantic import ValidationError
from support.tiny import HOP, WINDOW, tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.features import LogMelStatistics, MagnitudeSpectrum, StftMagnitude


def manifest(**changes):
    return Manifest.model_validate({"schema": 1, "files": {}, **tiny_fields(), **changes})


def changed(index, section="networks", **changes):
    parts = [dict(part) for part in tiny_fields()[section]]
    parts[index] |= changes
    return {section: parts}


def test_features_are_named_by_their_owner():
    assert manifest().features == {
        "tiny/spectrum": MagnitudeSpectrum(),
        "tiny/spectrogram": StftMagnitude(),
        "log_mel/feature": LogMelStatistics(),
    }


def test_a_network_knows_its_member():
    assert manifest().networks[0].member == "networks/tiny.onnx"


def test_a_manifest_cannot_be_changed():
    with pytest.raises(ValidationError):
        manifest().sample_rate = 8000


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hop_samples": WINDOW + 512}, "hop_samples exceeds window_samples"),
        ({"hop_samples": HOP + 1}, "no multiple of hop_length=512"),
        (changed(0, inputs={"s": {"kind": "stft_magnitude", "n_fft": 65536}}), "exceeds the win"),
        (changed(0, inputs={"s": {"kind": "stft_magnitude", "hop": 4}}), "hop"),
        (changed(0, inputs={"s": {"kind": "wavelet"}}), "kind"),
        (changed(0, id="Tiny"), "id"),
        (changed(0, id="../tiny"), "id"),
        (changed(0, id="other"), "reads an unknown network tiny"),
        (changed(0, "scorers", network="other"), "reads an unknown network other"),
        (changed(1, "scorers", id="embedding"), "used twice"),
        (changed(1, "scorers", kind="forest"), "kind"),
        (changed(2, "scorers", spread_db=0), "spread_db"),
        (changed(0, "scorers", clusters=0), "clusters"),
        ({"networks": tiny_fields()["networks"] * 2}, "used twice"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"window_samples": 100}, "window_samples"),
        ({"reference_dbfs": 1.0}, "reference_dbfs"),
        ({"files": {"golden.npz": "abc"}}, "golden.npz"),
        ({"colour": "red"}, "colour"),
        ({"licence": None}, "licence"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, says):
    with pytest.raises(ValidationError, match=says):
        manifest(**changes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"network": "other"}, "reads an unknown network other"),
        ({"references": "some"}, "references"),
        ({"density": "sum"}, "density"),
        ({"density_neighbours": 0}, "density_neighbours"),
        ({"targets": "drop"}, "targets"),
        ({"neighbours": 0}, "neighbours"),
        ({"k": 1}, "k"),
    ],
)
def test_options_of_banks_that_do_not_exist_are_refused_by_name(options, says):
    bank = {"kind": "banks", "id": "knn", "network": "tiny"}
    assert manifest(scorers=[bank]).scorers[0].references == "all"
    with pytest.raises(ValidationError, match=says):
        manifest(scorers=[bank | options])


def test_a_level_scorer_needs_no_network():
    (scorer,) = manifest(scorers=[{"kind": "level", "id": "level"}]).scorers
    assert scorer.spread_db > 0
