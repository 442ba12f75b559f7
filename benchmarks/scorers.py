"""Every scorer on the runs of an ablation: mean and standard deviation over the seeds.

    edge-asd-train ablate --data SIM --out RUNS --seeds 3
    python benchmarks/scorers.py --data SIM --runs RUNS [--variants all-trainable,...] [--json FILE]

Embeddings that the ablation kept are used again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.evaluate.clips import ClipEmbedder
from edge_asd_train.evaluate.contest import run_method
from edge_asd_train.evaluate.engines import open_embedder
from edge_asd_train.evaluate.network import NetworkMethod, choose_scorers
from edge_asd_train.evaluate.rules import evaluate

SCORERS = (
    "published",
    "means",
    "knn",
    "ldn",
    "smote",
    "memmixup",
    "published+log_mel",
    "ldn+log_mel",
)


def main() -> None:
    """Print a table: a row a scorer, a column a variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="Folder of ablate's --out.")
    parser.add_argument("--variants", help="Joined by commas; all by default.")
    parser.add_argument("--rules", type=int, default=2023)
    parser.add_argument("--json", type=Path, help="Also write every figure here.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    index = index_folder(arguments.data)
    folders = sorted((arguments.runs / "runs").iterdir())
    if arguments.variants:
        folders = [one for one in folders if one.name in arguments.variants.split(",")]
    found: dict[str, dict[str, list[float]]] = {name: {} for name in SCORERS}
    for folder in folders:
        for run in sorted(folder.glob("seed-*")):
            print(run, file=sys.stderr)
            embedder = open_embedder(run=run, device="cpu")
            for name in SCORERS:
                scorers = choose_scorers(name.split("+"), embedder.manifest)
                clips = ClipEmbedder(embedder, scorers.specs, cache=run / "embeddings")
                sections = run_method(NetworkMethod(clips, scorers), index)
                official = 100.0 * evaluate(sections, arguments.rules).official
                found[name].setdefault(folder.name, []).append(official)
            if arguments.json:
                arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    names = [folder.name for folder in folders]
    print("| scorer | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for scorer, values in found.items():
        cells = [f"{np.mean(v):.1f} ± {np.std(v, ddof=1):.1f}" for v in values.values()]
        print(f"| {scorer} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
