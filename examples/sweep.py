"""A parameter sweep: simulate an epidemic for many parameters, with progress and Ctrl-C.

    python examples/sweep.py [--steps N] [--jobs N]

Each simulation is plain Python and CPU-bound.  The results come as they are
done; Ctrl-C stops what runs, drops what waits, and shows what there is.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from concurrent.futures import as_completed

from atoll import InterpreterPoolExecutor


def simulate(infectious: float, recovery: float, people: int, seed: int) -> int:
    """How many were ever ill."""
    dice = random.Random(seed)
    healthy, ill, recovered = people - 3, 3, 0
    while ill:
        risk = min(1.0, infectious * ill / people)
        new = sum(dice.random() < risk for _ in range(healthy))
        well = sum(dice.random() < recovery for _ in range(ill))
        healthy -= new
        ill += new - well
        recovered += well
    return recovered


def show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        width = 40 * done // total
        print(f"\r[{'#' * width:40}] {done}/{total}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=8, help="values of each parameter")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=None)
    args = parser.parse_args()
    values = [(i + 1) / args.steps for i in range(args.steps)]
    ill: dict[tuple[float, float], int] = {}
    status = 0
    try:
        # Ctrl-C inside the block: what is queued is cancelled, what runs is interrupted.
        with InterpreterPoolExecutor(args.jobs) as pool:
            futures = {
                pool.submit(simulate, infectious, recovery, args.people, 1): (infectious, recovery)
                for infectious, recovery in itertools.product(values, values)
            }
            for future in as_completed(futures):
                ill[futures[future]] = future.result()
                show_progress(len(ill), len(futures))
    except KeyboardInterrupt:
        status = 130
        print("\nstopped", file=sys.stderr)
    print("share of the people who were ever ill, by infectiousness (down) and recovery (across)")
    print("      " + "".join(f"{recovery:6.2f}" for recovery in values))
    for infectious in values:
        cells = (ill.get((infectious, recovery)) for recovery in values)
        print(
            f"{infectious:6.2f}"
            + "".join("     -" if n is None else f"{n / args.people:6.0%}" for n in cells)
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
