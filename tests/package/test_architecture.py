"""ARCHITECTURE.md is true to the tree."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
PACKAGES = ("edge_asd", "train/edge_asd_train")
HOMES = (ROOT, *(ROOT / name for name in PACKAGES))


def test_every_module_that_it_names_exists():
    named = set(re.findall(r"[\w/]+\.py\b", PAGE))
    assert len(named) > 60
    modules = [
        f"/{file.relative_to(ROOT)}" for home in PACKAGES for file in (ROOT / home).rglob("*.py")
    ]
    modules += [f"/{file.relative_to(ROOT)}" for file in (ROOT / "tools").glob("*.py")]
    assert [one for one in named if not any(file.endswith(f"/{one}") for file in modules)] == []


def test_every_folder_of_the_device_is_in_its_table_and_every_folder_of_the_table_is_there():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and "/`" in line]
    named = {name for row in rows for name in re.findall(r"`(\w+)/`", row.split("|")[1])}
    assert all(any((home / name).is_dir() for home in HOMES) for name in named)
    packages = {file.parent.name for file in (ROOT / "edge_asd").glob("*/__init__.py")}
    assert packages - named == set()
