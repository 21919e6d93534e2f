"""Runs every bench_*.py in a process of its own, one JSON file for each.

    tools/dev bench [--python X] [--quick] [NAME...]

The files go to build/bench/results-<version>/.  Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three rounds instead of fifteen")
    parser.add_argument("names", nargs="*", metavar="NAME", help='such as "interpreters"')
    args = parser.parse_args()
    results = HERE.parent / "build/bench" / f"results-{sys.version.split()[0]}"
    results.mkdir(parents=True, exist_ok=True)
    missed = ran = 0
    for script in sorted(HERE.glob("bench_*.py")):
        name = script.stem.removeprefix("bench_")
        if args.names and name not in args.names:
            continue
        command = [sys.executable, str(script), "--json", str(results / f"{name}.json")]
        ran += 1
        missed += subprocess.run(command + ["--quick"] * args.quick).returncode != 0
        print(flush=True)
    print(f"JSON in {results}")
    return 1 if missed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
