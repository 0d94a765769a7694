"""Measure what each exact rewrite is worth on this machine, and keep the record.

    python -m studies.rewrites results/rewrites_cpu_DATE.json

The table of docs/speed.md is written from the record.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resnexus.machine import check_threads
from resnexus.progress import Shown
from resnexus.records import write_json
from studies.worth import measure_worth


def main() -> None:
    """Measure every rewrite and write the record after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the record")
    parser.add_argument("--rounds", type=int, default=20, help="in which all take turns")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1], help="images per call")
    arguments = parser.parse_args()
    for record in measure_worth(
        arguments.batch_sizes,
        rounds=arguments.rounds,
        threads=check_threads(None),
        progress=Shown(),
    ):
        write_json(record, arguments.out)


if __name__ == "__main__":
    main()
