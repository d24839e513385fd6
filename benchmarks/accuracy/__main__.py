"""Trains all experiments and writes what they show; goes on where it stopped.

python -m benchmarks.accuracy --data DATA --weights WEIGHTS --work WORK --out benchmarks/figures/accuracy.json
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.accuracy.plan import EXPERIMENTS
from benchmarks.accuracy.running import Place, run_all
from hdf5_helper.atomic import write_text


def main() -> None:
    """Runs what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "weights", "work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--only", default="", help="experiments whose names begin with this")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    place = Place(work, options.data.resolve(), options.weights.resolve(), lambda text: print(text, file=sys.stderr))  # noqa: T201
    chosen = [experiment for experiment in EXPERIMENTS if experiment.name.startswith(options.only)]
    found = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else []
    for results in run_all(chosen, place, found):
        found += results
        write_text(options.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
