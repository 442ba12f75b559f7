"""``python -m edge_asd`` is ``edge-asd``."""

from __future__ import annotations

from edge_asd.interrupts import leave_at_once


def main() -> None:
    """Load the command line and run it; Ctrl-C is an exit code from here on."""
    leave_at_once()
    from edge_asd.cli import main as run  # noqa: PLC0415 - importing it takes a while

    run()


if __name__ == "__main__":
    main()
