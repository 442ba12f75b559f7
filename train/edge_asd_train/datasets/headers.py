"""What the headers of a data set's files tell, before any of them is decoded."""

from __future__ import annotations

import logging
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from edge_asd_train.datasets.findings import Finding
from edge_asd_train.datasets.index import ClipFile, Index
from edge_asd_train.datasets.layouts import LAYOUTS

_logger = logging.getLogger(__name__)

_LENGTH_SLACK_S = 0.5
"""Published lengths are rounded to seconds."""

_UNKNOWN_BYTES = 0x7FFFF000
"""From this on the size in a WAV header only says that it was not known when it was written."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header promises."""

    rate_hz: int
    frames: int


def read_headers(files: Sequence[ClipFile]) -> tuple[dict[Path, Header], list[Finding]]:
    """Headers of the files, and what is wrong with single ones of them."""
    headers: dict[Path, Header] = {}
    findings: list[Finding] = []
    for path in (file.path for file in files):
        header = _read(path)
        if isinstance(header, Finding):
            findings.append(header)
        else:
            headers[path] = header
    return headers, findings


def compare_headers(
    index: Index, headers: Mapping[Path, Header], sample_rate: int
) -> Iterator[Finding]:
    """What is wrong with files in view of the others.

    Args:
        index: The data set.
        headers: Those that could be read.
        sample_rate: Rate to which clips are brought, Hz.
    """
    machines: dict[str, list[Path]] = {}
    for file in index.files:
        if file.path in headers:
            machines.setdefault(file.machine, []).append(file.path)
    usual = {
        machine: Counter(headers[path].rate_hz for path in paths).most_common(1)[0][0]
        for machine, paths in machines.items()
    }
    _say_rates(usual, sample_rate)
    for machine, paths in machines.items():
        for path in paths:
            rate = headers[path].rate_hz
            if rate != usual[machine]:
                yield Finding(path, "rate", f"{rate} Hz, while {machine} has {usual[machine]} Hz")
            elif rate < min(sample_rate, max(usual.values())):
                yield Finding(path, "rate", _too_low(rate))
        if index.layout in LAYOUTS:
            yield from _lengths(machine, paths, headers, LAYOUTS[index.layout].clip_s)


def _read(path: Path) -> Header | Finding:
    try:
        info = soundfile.info(path)
        cut = _bytes_missing(path)
    except (OSError, RuntimeError) as error:
        return Finding(path, "undecodable", f"cannot be decoded ({error})")
    if cut:
        return Finding(path, "truncated", f"is cut off: {cut} bytes are missing at its end")
    if info.frames == 0:
        return Finding(path, "empty", "holds no samples")
    return Header(info.samplerate, info.frames)


def _bytes_missing(path: Path) -> int:
    """Bytes that a RIFF file's header promises beyond its end; libsndfile reads on silently."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"data":
                missing = file.tell() + int(length) - size
                return max(0, missing) if length < _UNKNOWN_BYTES else 0
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _too_low(rate: int) -> str:
    return (
        f"{rate} Hz, while other machines have more: silence above {rate // 2} Hz alone would"
        " tell it apart"
    )


def _say_rates(usual: Mapping[str, int], sample_rate: int) -> None:
    rates = sorted(set(usual.values()) - {sample_rate})
    if rates:
        named = ",".join(map(str, rates))
        _logger.info("rates_hz=%s clips are resampled to %d Hz", named, sample_rate)
    if rates and max(usual.values()) < sample_rate:
        _logger.warning("rates_hz=%s are below the recipe's %d Hz", named, sample_rate)


def _lengths(
    machine: str,
    paths: Sequence[Path],
    headers: Mapping[Path, Header],
    published_s: tuple[float, float],
) -> Iterator[Finding]:
    """Clips outside the published lengths where most of the machine's clips keep them.

    A machine whose clips are all of another length was made so, as simulated ones are.
    """
    lengths_s = {path: headers[path].frames / headers[path].rate_hz for path in paths}
    shortest, longest = published_s[0] - _LENGTH_SLACK_S, published_s[1] + _LENGTH_SLACK_S
    outside = [path for path in paths if not shortest <= lengths_s[path] <= longest]
    if 2 * len(outside) > len(paths):
        _logger.info(
            "machine=%s most clips are not %g to %g s long, as the layout's are",
            *(machine, *published_s),
        )
        return
    for path in outside:
        text = f"is {lengths_s[path]:.2f} s long; the layout has {published_s[0]:g}"
        if published_s[0] != published_s[1]:
            text += f" to {published_s[1]:g}"
        yield Finding(path, "length", f"{text} s")
