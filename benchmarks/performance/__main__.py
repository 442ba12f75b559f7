"""Measure the product on this machine and write ``docs/performance.md``: what ``make bench`` does.

    python -m benchmarks.performance [--recordings DIR] [--only PART,PART] [--again] [--page-only]
                                     [--page FILE]

It takes a quarter of an hour on two cores that have nothing else to do, and some minutes more the
first time, when the network is trained. What is interrupted goes on with the next call; what is
complete begins anew. A part that fails leaves the others, and the page says which is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.performance.parts import PARTS, Setting, run, run_here

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "bench")
    parser.add_argument("--recordings", type=Path, help="Holds mimii_ch0/ and drone_prop/.")
    parser.add_argument("--only", help="Measure these parts anew, joined by commas; keep the rest.")
    parser.add_argument("--again", action="store_true", help="Begin anew what was interrupted.")
    parser.add_argument("--page-only", action="store_true", help="Write the page as measured.")
    parser.add_argument("--page", type=Path, default=PAGE, help="Where to; pictures lie beside it.")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    setting = Setting(arguments.folder, arguments.recordings)
    if arguments.part:
        run_here(arguments.part, setting)
        return
    run_file = setting.folder / "performance.json"
    if not arguments.page_only:
        measure(setting, run_file, _chosen(arguments.only), again=arguments.again)
    elif not run_file.exists():
        raise SystemExit(f"{run_file}: nothing was measured yet; run make bench")
    from benchmarks.performance.page import write_page  # noqa: PLC0415 - loads matplotlib

    found = json.loads(run_file.read_text(encoding="utf-8"))
    write_page(arguments.page, found)
    missing = [name for name, part in found["parts"].items() if part["figures"] is None]
    print(f"{arguments.page} written", f"without {', '.join(missing)}" if missing else "")


def measure(setting: Setting, run_file: Path, only: set[str], *, again: bool) -> None:
    """Measure the parts that are wanted or not there yet, and keep each as soon as it is there."""
    setting.folder.mkdir(parents=True, exist_ok=True)
    found = _begun(run_file, keep=bool(only), again=again)
    for part in PARTS:
        if part.name in (found["parts"].keys() - only):
            continue
        if only and part.name not in only:
            continue
        print(f"{part.title} ...", end=" ", flush=True)
        outcome = run(part, setting)
        print(f"{outcome.seconds:.0f} s", outcome.problem, flush=True)
        found["parts"][part.name] = {
            "figures": outcome.figures,
            "problem": outcome.problem,
            "seconds": outcome.seconds,
            "at": _now(),
            "commit": _commit(),
        }
        _write(run_file, found)
    found["complete"] = all(part.name in found["parts"] for part in PARTS)
    _write(run_file, found)


def _begun(run_file: Path, *, keep: bool, again: bool) -> dict[str, Any]:
    """A run that was interrupted at this commit, or a new one."""
    from edge_asd.bench.machine import describe  # noqa: PLC0415 - a part does without

    commit = _commit()
    if run_file.exists() and not again:
        found: dict[str, Any] = json.loads(run_file.read_text(encoding="utf-8"))
        if keep or (not found["complete"] and found["commit"] == commit):
            return found
    machine = describe()
    return {
        "begun": _now(),
        "commit": commit,
        "machine": machine,
        "parts": {},
        "complete": False,
    }


def _chosen(only: str | None) -> set[str]:
    names = set(only.split(",")) if only else set()
    unknown = names - {part.name for part in PARTS}
    if unknown:
        known = ", ".join(part.name for part in PARTS)
        raise SystemExit(f"--only {','.join(sorted(unknown))}: unknown; there are {known}")
    return names


def _commit() -> str:
    """Of this checkout, with a plus where it was changed."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    done = subprocess.run(describe, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _write(path: Path, found: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    main()
