"""``python -m edge_asd`` is ``edge-asd``."""

from __future__ import annotations

import os

from edge_asd.interrupts import leave_at_once


def main() -> None:
    """Load the command line and run it; Ctrl-C is an exit code from here on."""
    leave_at_once()
    # NumPy's OpenBLAS keeps a thread that spins after every product in case another follows. Ours
    # are small and a second apart: it took 7 % of a core, four times the rest of the daemon.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edge_asd.cli import main as run  # noqa: PLC0415 - importing it takes a while

    run()


if __name__ == "__main__":
    main()
