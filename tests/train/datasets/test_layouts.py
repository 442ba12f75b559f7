"""File names of every year say what they were published to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asd_train.datasets.layouts import LAYOUTS, split_attributes


def parse(year, folder, name):
    split = "test" if "test" in folder else "train"
    return LAYOUTS[year].parse(Path("fan") / folder / name, "fan", split)


# year, folder, name, (section, domain, anomalous, attributes)
PUBLISHED = [
    ("2020", "train", "normal_id_01_00000999.wav", ("01", None, False, ())),
    ("2020", "test", "anomaly_id_04_00000264.wav", ("04", None, True, ())),
    ("2020", "test", "id_05_00000514.wav", ("05", None, None, ())),
    (
        "2021",
        "train",
        "section_00_source_train_normal_0999_strength_1_ambient.wav",
        ("00", "source", False, (("strength", "1"), ("ambient", ""))),
    ),
    ("2021", "target_test", "section_02_target_test_anomaly_0099.wav", ("02", "target", True, ())),
    ("2021", "source_test", "section_05_source_test_0199.wav", ("05", "source", None, ())),
    (
        "2022",
        "train",
        "section_01_target_train_normal_0009_m-n_W.wav",
        ("01", "target", False, (("m-n", "W"),)),
    ),
    ("2022", "test", "section_03_0129.wav", ("03", None, None, ())),
    ("2022", "test", "section_03_test_0129.wav", ("03", None, None, ())),
    (
        "2023",
        "test",
        "section_00_target_test_anomaly_0049_car_A2_spd_28V_mic_1.wav",
        ("00", "target", True, (("car", "A2"), ("spd", "28V"), ("mic", "1"))),
    ),
    ("2023", "test", "section_00_0199.wav", ("00", None, None, ())),
    (
        "2024",
        "train",
        "section_00_source_train_normal_0033_noAttribute.wav",
        ("00", "source", False, ()),
    ),
    (
        "2024",
        "train",
        "section_00_source_normal_0035_weight15_BckgF.wav",
        ("00", "source", False, (("weight15", "BckgF"),)),
    ),
    ("2025", "test", "section_00_0095.wav", ("00", None, None, ())),
    ("2025", "train", "section_00_source_train_normal_0000_.wav", ("00", "source", False, ())),
    (
        "2026",
        "test",
        "section_00_source_test_anomaly_0006_pow_3_n_A.wav",
        ("00", "source", True, (("pow", "3"), ("n", "A"))),
    ),
]


@pytest.mark.parametrize(("year", "folder", "name", "said"), PUBLISHED)
def test_a_published_name_says_what_it_says(year, folder, name, said):
    clip = parse(year, folder, name)
    assert (clip.section, clip.domain, clip.anomalous, clip.attributes) == said


@pytest.mark.parametrize(
    ("year", "folder", "name"),
    [
        ("2020", "train", "anomaly_id_01_00000000.wav"),  # training clips are normal
        ("2020", "train", "id_01_00000000.wav"),
        ("2020", "train", "section_00_source_train_normal_0000.wav"),
        ("2022", "train", "section_06_source_train_normal_0000_vel_5.wav"),  # no such section
        ("2023", "train", "section_01_source_train_normal_0000_vel_5.wav"),
        ("2023", "train", "section_00_source_train_normal_0000_noAttribute.wav"),  # from 2024 on
        ("2023", "train", "section_00_source_test_normal_0000_vel_5.wav"),  # in the wrong folder
        ("2023", "train", "section_00_source_train_anomaly_0000_vel_5.wav"),
        ("2023", "train", "section_00_0001.wav"),
        ("2023", "test", "section_00_source_test_normal_0000_vel_5.flac"),
        ("2023", "test", "xsection_00_source_test_normal_0000.wav"),
        ("2023", "test", "section_00_centre_test_normal_0000.wav"),
    ],
)
def test_a_name_that_does_not_fit_is_not_guessed(year, folder, name):
    assert parse(year, folder, name) is None


def test_attributes_of_the_name_come_before_those_of_the_table():
    path = Path("section_00_source_train_normal_0000_vel_5.wav")
    bare = Path("section_00_source_train_normal_0001.wav")
    table = {one.name: (("vel", "7"),) for one in (path, bare)}
    layout = LAYOUTS["2022"]
    assert layout.parse(path, "fan", "train", table).attributes == (("vel", "5"),)
    assert layout.parse(bare, "fan", "train", table).attributes == (("vel", "7"),)


def test_hidden_attributes_stay_hidden():
    path = Path("section_00_source_train_normal_0000_noAttribute.wav")
    table = {path.name: (("vel", "7"),)}
    assert LAYOUTS["2024"].parse(path, "fan", "train", table).attributes == ()


def test_a_trailing_separator_is_no_attribute():
    assert split_attributes("ac_0.03_") == split_attributes("ac_0.03") == (("ac", "0.03"),)
