"""One monitor's pipeline for hours of sound, as fast as it goes: does the cost stay the same?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.bench.subject import Stream, prepare
from edge_asd.bundle import Bundle
from edge_asd.engine import open_networks
from edge_asd.features.fft import fft_backend

WINDOWS, BLOCK = 6000, 50
_PAGE_BYTES = 4096


def measure(bundle: Bundle, *, windows: int = WINDOWS) -> dict[str, Any]:
    """Processor time a window, block by block, and memory.

    Args:
        bundle: Whose pipeline.
        windows: How many, in blocks of ``BLOCK``.
    """
    networks = open_networks(bundle)
    subject = prepare(networks, lambda _done, _what: None)
    stream = Stream(subject)
    for _ in range(BLOCK):
        stream.hear()
    at_h, cpu_ms, rss_mb = [], [], []
    for block in range(windows // BLOCK):
        begun_s = time.process_time()
        for _ in range(BLOCK):
            stream.hear()
        cpu_ms.append(1e3 * (time.process_time() - begun_s) / BLOCK)
        at_h.append((block + 1) * BLOCK * subject.hop_s / 3600)
        rss_mb.append(_resident_mb())
    quarter = max(1, len(cpu_ms) // 4)
    return {
        "engine": f"{networks.backend} {networks.precision}",
        "fft": fft_backend(),
        "windows": len(cpu_ms) * BLOCK,
        "at_h": at_h,
        "cpu_ms": cpu_ms,
        "rss_mb": rss_mb,
        "last_to_first": float(np.median(cpu_ms[-quarter:]) / np.median(cpu_ms[:quarter])),
        "grown_mb": float(np.median(rss_mb[-quarter:]) - np.median(rss_mb[:quarter])),
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE_BYTES / 2**20
