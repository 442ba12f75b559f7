"""Classes: machine, section, attributes and domain, of training clips only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.datasets.labels import class_label, training_classes

CLIP = ClipFile(
    path=Path("a.wav"),
    machine="ToyCar",
    section="00",
    split="train",
    domain="source",
    attributes=(("car", "A1"), ("spd", "28V"), ("new", "")),
)


def test_a_class_names_all_that_is_known():
    assert class_label(CLIP) == "ToyCar/00/car=A1,spd=28V,new/source"
    assert class_label(ClipFile(Path("a.wav"), "pump", "00", "train")) == "pump/00"


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "ToyTrain"},
        {"section": "01"},
        {"domain": "target"},
        {"domain": None},
        {"attributes": ()},
        {"attributes": (("car", "A1"), ("spd", "31V"), ("new", ""))},
    ],
)
def test_any_difference_makes_another_class(change):
    assert class_label(replace(CLIP, **change)) != class_label(CLIP)


def test_clips_that_differ_in_the_file_alone_are_of_one_class():
    assert class_label(replace(CLIP, path=Path("b.wav"))) == class_label(CLIP)


def test_names_of_test_clips_make_no_classes():
    test = replace(CLIP, split="test", attributes=(("car", "Z9"),))
    fan = replace(CLIP, machine="fan")
    assert training_classes([fan, CLIP, test, CLIP]) == (class_label(CLIP), class_label(fan))
