"""``edge-asd-train``, also as ``python -m edge_asd_train``: says what is missing, then runs."""

from __future__ import annotations

import importlib.util
import sys

_UNAVAILABLE = 69
_NEEDED = ("torch", "onnx")


def main() -> None:
    """Run the command line, or say in one line that the device's installation cannot train."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"edge-asd-train: {', '.join(missing)} not installed: pip install 'edge-asd[train]'\n"
        )
        sys.exit(_UNAVAILABLE)
    from edge_asd_train.cli import main as run  # noqa: PLC0415 - only once torch is there

    run()


if __name__ == "__main__":
    main()
