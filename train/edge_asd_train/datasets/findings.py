"""What is wrong with clips of a data set, and what is done about it."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_asd.errors import DataError
from edge_asd.files import replace_file

_logger = logging.getLogger(__name__)

Invalid = Literal["refuse", "skip"]
"""Refuse the data set, or leave its bad clips out."""

Kind = Literal[
    "name",
    "undecodable",
    "truncated",
    "empty",
    "rate",
    "length",
    "silent",
    "clipped",
    "duplicate",
    "one-class",
    "single-clip",
]

REPORT = "findings.csv"
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a clip, or with a whole data set."""

    path: Path
    kind: Kind
    text: str
    """What is wrong, to be read after the path."""

    def __str__(self) -> str:
        """The finding as a message shows it."""
        return f"{self.path}: {self.text}"


def settle(findings: Sequence[Finding], invalid: Invalid, folder: Path) -> None:
    """Write the report; then refuse the data set or log what is left out of it.

    Args:
        findings: May be empty.
        invalid: What to do about them. Too few clips or classes are refused in any case.
        folder: Where the report ``findings.csv`` goes.

    Raises:
        DataError: The data set is refused; the first ten findings and their number are named.
        StorageError: The report cannot be written.
    """
    report = folder / REPORT
    replace_file(report, _table(findings))
    whole = [one for one in findings if one.kind in {"one-class", "single-clip"}]
    refused = list(findings) if invalid == "refuse" else whole
    if not refused:
        for one in findings:
            _logger.warning("left_out=%s kind=%s reason=%s", one.path, one.kind, one.text)
        return
    listed = "; ".join(str(one) for one in refused[:_LISTED])
    more = f"; and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
    remedy = "" if len(whole) == len(refused) else "; repair them or add --invalid skip"
    raise DataError(
        f"{len(refused)} findings in the data set (all in {report}){remedy}: {listed}{more}"
        if len(refused) > 1
        else f"{refused[0]}{remedy.replace('them', 'it')}"
    )


def _table(findings: Sequence[Finding]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "kind", "text"))
    table.writerows((one.path, one.kind, one.text) for one in findings)
    return text.getvalue().encode("utf-8", "surrogateescape")
