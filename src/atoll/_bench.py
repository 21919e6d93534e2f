"""`atoll bench`: the same work by atoll, the standard library's interpreters, threads and processes.

Small on purpose: what the project measures itself by is in its bench/ folder.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from importlib import import_module

from .futures import InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any


def noop(*args: object) -> None:
    pass


def count_primes(limit: int) -> int:
    """CPU-bound: some milliseconds."""
    found = 0
    for n in range(2, limit):
        for d in range(2, int(n**0.5) + 1):
            if not n % d:
                break
        else:
            found += 1
    return found


def _executors(jobs: int) -> dict[str, Callable[[], Executor]]:
    from concurrent import futures

    made: dict[str, Callable[[], Executor]] = {"atoll": lambda: InterpreterPoolExecutor(jobs)}
    try:
        standard: Any = import_module("concurrent.futures.interpreter").InterpreterPoolExecutor
        if standard is not InterpreterPoolExecutor:
            made["interpreters (stdlib)"] = lambda: standard(jobs)
    except ImportError:
        pass
    made["threads"] = lambda: futures.ThreadPoolExecutor(jobs)
    made["processes"] = lambda: futures.ProcessPoolExecutor(jobs)
    return made


def _time(function: Callable[[], Any], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _rows(pool: Executor, jobs: int, rounds: int) -> dict[str, float]:
    rows = [{f"key {i}": i * n for i in range(1000)} for n in range(100)]
    heavy = 8 * jobs
    for _ in range(jobs * 2):
        pool.submit(count_primes, 2000).result()  # all workers are there
    one = _time(lambda: count_primes(5000), rounds)
    many = _time(lambda: list(pool.map(count_primes, [5000] * heavy)), rounds)
    return {
        "submit(noop).result(), us": _time(lambda: [pool.submit(noop).result() for _ in range(300)], rounds)
        / 300e-6,
        "map(noop), a task, us": _time(lambda: list(pool.map(noop, range(2000))), rounds) / 2000e-6,
        "map(len, 1,000-key dicts), a task, us": _time(lambda: list(pool.map(len, rows)), rounds) / 100e-6,
        f"speed-up of CPU-bound work, {jobs} workers": one * heavy / many,
    }


def run_bench(args: argparse.Namespace) -> int:
    """The command `atoll bench`; its exit status."""
    jobs = InterpreterPoolExecutor()._max_workers
    rounds = 3 if args.quick else 7
    results: dict[str, dict[str, float]] = {}
    out = sys.stderr if args.json == "-" else sys.stdout
    print(f"CPython {platform.python_version()}, {jobs} CPUs, {platform.platform()}", file=out)
    for name, make in _executors(jobs).items():
        start = time.perf_counter()
        with make() as pool:
            pool.submit(noop).result()
            first = time.perf_counter() - start
            results[name] = {"first result of a new pool, ms": first * 1e3, **_rows(pool, jobs, rounds)}
    names = list(results)
    print(f"{'':44}" + "".join(f"{name:>23}" for name in names), file=out)
    for row in results[names[0]]:
        print(f"{row:44}" + "".join(f"{results[name][row]:>23.3g}" for name in names), file=out)
    if args.json:
        data = {
            "python": sys.version,
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "results": results,
        }
        text = json.dumps(data, indent=1)
        if args.json == "-":
            print(text)
        else:
            with open(args.json, "w") as file:
                file.write(text + "\n")
    return 0
