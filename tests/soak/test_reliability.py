"""What docs/reliability.md names as proof is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
PROOF = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_every_proof_exists():
    proofs = PROOF.findall(PAGE.read_text())
    assert len(proofs) > 40
    missing = [
        f"{path}::{name}"
        for path, name in proofs
        if not (TESTS / path).exists() or f"def {name}(" not in (TESTS / path).read_text()
    ]
    assert missing == []


def test_every_row_of_the_matrix_has_a_proof():
    tables = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [line for line in tables if not line.startswith(("| Fault", "| Promise"))]
    assert len(rows) > 30
    assert [row for row in rows if not PROOF.search(row)] == []
