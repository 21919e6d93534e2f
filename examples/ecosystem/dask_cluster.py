"""A parameter sweep on a Dask cluster, in the interpreters of its workers.

    pip install 'atoll[dask]'
    python examples/ecosystem/dask_cluster.py [--workers N] [--points N] [--scheduler tcp://host:8786]

Without --scheduler it starts a cluster of its own: a scheduler and N worker
processes on this machine, connected by TCP.  It shows Dask's progress bar on a
terminal, and at the end what the pools in the workers have done: the numbers
that are also among the workers' metrics on the dashboard.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

from distributed import Client, LocalCluster, progress

from atoll import dask as atoll_dask


def escape_share(bound: float) -> float:
    """The share of a grid that leaves a circle of radius 2 under z*z + c, c within bound."""
    side, escaped = 60, 0
    for row in range(side):
        for column in range(side):
            c = complex(bound * (2 * column / side - 1), bound * (2 * row / side - 1))
            z = 0j
            for _ in range(60):
                z = z * z + c
                if abs(z) > 2:
                    escaped += 1
                    break
    return escaped / side**2


def sweep(client: Client, points: int) -> dict[float, float]:
    bounds = [0.5 + 1.5 * n / points for n in range(points)]
    futures = atoll_dask.map(client, escape_share, bounds)
    if sys.stdout.isatty():
        progress(futures)
    return dict(zip(bounds, client.gather(futures), strict=True))


def numbers(client: Client) -> dict[str, dict[str, int]]:
    """What each worker's pool says of itself: there with the worker's next heartbeat."""
    deadline = time.monotonic() + 10
    while True:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        found = {name: info["metrics"].get(atoll_dask.NAME) for name, info in workers.items()}
        if all(found.values()) or time.monotonic() > deadline:
            return {name: stats for name, stats in found.items() if stats}
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster that runs already")
    args = parser.parse_args()
    if args.scheduler:
        with Client(args.scheduler) as client:
            report(client, args.points)
        return
    with (
        LocalCluster(
            n_workers=args.workers, threads_per_worker=2, protocol="tcp", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        report(client, args.points)


def report(client: Client, points: int) -> None:
    start = time.perf_counter()
    results = sweep(client, points)
    seconds = time.perf_counter() - start
    widest = max(results, key=lambda bound: results[bound])
    assert all(math.isfinite(share) for share in results.values())
    print(f"{len(results)} points in {seconds:.2f} s; most escape within {widest:.2f}: {results[widest]:.1%}")
    for name, stats in sorted(numbers(client).items()):
        print(
            f"{name}: {stats['workers']} interpreters, {stats['done']} calls done, {stats['failed']} failed"
        )
    print("dashboard:", client.dashboard_link)


if __name__ == "__main__":  # Dask's worker processes import this file
    main()
