"""What the data sets of DCASE Task 2 look like on disk, one description a year.

``MACHINE/FOLDER/NAME.wav`` holds a clip. A name is described by a template: fields in braces, what
may be missing in brackets. Years differ in the fields, not in code.

Source: the data sets' published directory trees (Zenodo 3678171, 4562016, 6355122, 7882613,
10902294, 15097779, 19336329 and their evaluation parts). Clip lengths are those of the
development and evaluation sets together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import cast

from edge_asd_train.datasets.index import ClipFile, Domain, Split

NO_ATTRIBUTE = "noAttribute"
"""Stands in a name where the attributes are hidden."""

_FIELDS = {
    "domain": "source|target",
    "split": "train|test",
    "label": "normal|anomaly",
    "number": r"\d+",
    "attributes": ".*",
}
_TOKEN = re.compile(r"\{(?P<field>\w+)\}|(?P<open>\[)|(?P<close>\])|(?P<text>[^\[\]{}]+)")


@dataclass(frozen=True)
class Layout:
    """One year's data set; ``name`` is what ``--layout`` calls it."""

    name: str
    names: tuple[str, ...]
    """Templates of file names without ``.wav``; the first that fits counts."""
    sections: str
    """Pattern of the section (of the machine identifier in 2020)."""
    clip_s: tuple[float, float]
    """Shortest and longest clip in seconds."""
    folders: tuple[tuple[str, Split], ...] = (("train", "train"), ("test", "test"))
    """Folders with clips in a machine's folder."""
    renamed_test: str = "test_rename"
    """Where it exists it replaces ``test``: the same clips with the revealed labels as names."""
    other_folders: tuple[str, ...] = ()
    """Folders whose sounds are neither for training nor tests."""
    channels: int = 1
    channel: int = 0
    """The one that is read."""
    attribute_tables: bool = False
    """``attributes_SECTION.csv`` in the machine's folder."""
    hidden_attributes: bool = False
    """Whether ``noAttribute`` occurs."""

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """The templates as regular expressions."""
        return tuple(_compile(template, self.sections) for template in self.names)

    def parse(
        self,
        path: Path,
        machine: str,
        split: Split,
        tables: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType({}),
    ) -> ClipFile | None:
        """What a file's name says, or nothing where the name does not fit.

        Args:
            path: The file.
            machine: Folder of the machine.
            split: What the folder of the file is for.
            tables: Attributes by file name, for names that carry none.
        """
        found = next((m for p in self.patterns if (m := p.fullmatch(path.name))), None)
        if found is None:
            return None
        said = found.groupdict()
        hidden = said.get("attributes") == NO_ATTRIBUTE
        if said.get("split") not in (None, split) or (hidden and not self.hidden_attributes):
            return None
        if split == "train" and said.get("label") != "normal":
            return None
        attributes = () if hidden else split_attributes(said.get("attributes") or "")
        label = said.get("label")
        return ClipFile(
            path=path,
            machine=machine,
            section=said["section"],
            split=split,
            domain=cast("Domain | None", said.get("domain")),
            anomalous=None if label is None else label == "anomaly",
            attributes=attributes or (() if hidden else tables.get(path.name, ())),
        )


def split_attributes(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values of ``car_A1_spd_28V``; an odd last word has an empty value."""
    words = [word for word in text.split("_") if word]
    words += [""] * (len(words) % 2)
    return tuple(zip(words[::2], words[1::2], strict=True))


def _compile(template: str, sections: str) -> re.Pattern[str]:
    parts = []
    for token in _TOKEN.finditer(template):
        if token["field"]:
            pattern = sections if token["field"] == "section" else _FIELDS[token["field"]]
            parts.append(f"(?P<{token['field']}>{pattern})")
        elif token["text"]:
            parts.append(re.escape(token["text"]))
        else:
            parts.append("(?:" if token["open"] else ")?")
    return re.compile("".join(parts) + r"\.wav")


_LABELLED = "section_{section}_{domain}_{split}_{label}_{number}[_{attributes}]"
_UNTOLD = "section_{section}[_{split}]_{number}"

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        one.name: one
        for one in (
            Layout(
                name="2020",
                names=("{label}_id_{section}_{number}", "id_{section}_{number}"),
                sections="0[0-7]",
                clip_s=(10.0, 11.0),
            ),
            Layout(
                name="2021",
                names=(_LABELLED, "section_{section}_{domain}_{split}_{number}"),
                sections="0[0-5]",
                clip_s=(10.0, 10.0),
                folders=(
                    ("train", "train"),
                    ("test", "test"),
                    ("source_test", "test"),
                    ("target_test", "test"),
                ),
            ),
            Layout(
                name="2022",
                names=(_LABELLED, _UNTOLD),
                sections="0[0-5]",
                clip_s=(10.0, 10.0),
                attribute_tables=True,
            ),
            Layout(
                name="2023",
                names=(_LABELLED, _UNTOLD),
                sections="00",
                clip_s=(6.0, 18.0),
                attribute_tables=True,
            ),
            Layout(
                name="2024",
                # One machine of the evaluation set was published without the word train or test.
                names=(_LABELLED.replace("_{split}", "[_{split}]"), _UNTOLD),
                sections="00",
                clip_s=(6.0, 12.0),
                attribute_tables=True,
                hidden_attributes=True,
            ),
            Layout(
                name="2025",
                names=(_LABELLED, _UNTOLD),
                sections="00",
                clip_s=(6.0, 12.0),
                other_folders=("supplemental",),
                attribute_tables=True,
                hidden_attributes=True,
            ),
            Layout(
                name="2026",
                names=(_LABELLED, _UNTOLD),
                sections="00",
                clip_s=(6.0, 16.0),
                channels=2,  # near and far from the machine
                attribute_tables=True,
                hidden_attributes=True,
            ),
        )
    }
)
"""By year, oldest first."""
