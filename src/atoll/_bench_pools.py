"""`atoll bench`: pools: the cost of a task, of data, and what more workers bring."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent import futures

from ._bench import standard_pool
from .futures import InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any

    from ._bench import Bench


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


def _pools(workers: int) -> dict[str, Executor]:
    """Warm ones."""
    made: dict[str, Executor] = {"atoll": InterpreterPoolExecutor(workers)}
    std = standard_pool()
    if std is not None:
        made["stdlib"] = std(workers)
    made["threads"] = futures.ThreadPoolExecutor(workers)
    made["processes"] = futures.ProcessPoolExecutor(workers)
    for pool in made.values():
        list(pool.map(noop, range(50 * workers)))
    return made


def _close(pools: dict[str, Executor]) -> None:
    for pool in pools.values():
        pool.shutdown()


def run(bench: Bench) -> None:
    """Measure the rows."""
    jobs = InterpreterPoolExecutor()._max_workers
    if bench.wants("pool.submit", "pool.map", "pool.size"):
        pools = _pools(jobs)
        try:
            _tasks(bench, pools)
        finally:
            _close(pools)
    if bench.wants("pool.first"):
        _first(bench)
    for count in (1, 10, 100, 1000, 10_000):
        if bench.wants(f"pool.count.{count}"):
            _cold(bench, jobs, count)
    for workers in sorted({1, 2, 4, jobs}):
        if bench.wants(f"pool.workers.{workers}"):
            _speed_up(bench, workers)


def _submit(pool: Executor) -> None:
    pool.submit(noop).result()


def _map(pool: Executor, function: Callable[..., Any], items: Any) -> None:
    for _ in pool.map(function, items):
        pass


def _tasks(bench: Bench, pools: dict[str, Executor]) -> None:
    def each(function: Callable[..., Any], *args: Any) -> dict[str, Callable[[], object]]:
        return {name: lambda pool=pool: function(pool, *args) for name, pool in pools.items()}  # type: ignore[misc]

    bench.compare("pool.submit", "submit(noop).result()", each(_submit))
    bench.compare(
        "pool.map.noop", "map(noop, range(2000)), a task", each(_map, noop, range(2000)), per=2000, rounds=5
    )
    rows = [{f"key {i}": i * n for i in range(1000)} for n in range(100)]
    bench.compare(
        "pool.map.dicts", "map(len, 1,000-key dicts), a task", each(_map, len, rows), per=100, rounds=5
    )
    for size in (10, 1000, 10_000, 100_000, 1_000_000):
        data = [bytes(size)] * 50
        bench.compare(
            f"pool.size.{size}",
            f"map(len, {size:,} bytes), a task",
            each(_map, len, data),
            per=50,
            series="pool.size",
            x=size,
            x_unit="bytes",
            rounds=5,
        )


_FIRST = """
import time
start = time.perf_counter()
{imports}
if __name__ == "__main__":
    with P(2) as pool:
        pool.submit(pow, 2, 3).result()
        taken = time.perf_counter() - start
    print(taken)
"""


def _first(bench: Bench) -> None:
    """In a fresh process, import and all."""
    imports = {"atoll": "from atoll import InterpreterPoolExecutor as P"}
    if standard_pool() is not None:
        imports["stdlib"] = "from concurrent.futures import InterpreterPoolExecutor as P"
    imports["threads"] = "from concurrent.futures import ThreadPoolExecutor as P"
    imports["processes"] = "from concurrent.futures import ProcessPoolExecutor as P"
    samples: dict[str, list[float]] = {}
    for _ in range(bench.rounds):
        for name, text in imports.items():
            out = subprocess.run(
                [sys.executable, "-c", _FIRST.format(imports=text)],
                capture_output=True,
                text=True,
                check=True,
            )
            samples.setdefault(name, []).append(float(out.stdout))
    bench.add("pool.first", "first result of a pool, fresh process", samples)


def _makers(workers: int) -> dict[str, Callable[[], Executor]]:
    makers: dict[str, Callable[[], Executor]] = {"atoll": lambda: InterpreterPoolExecutor(workers)}
    std = standard_pool()
    if std is not None:
        makers["stdlib"] = lambda: std(workers)
    makers["threads"] = lambda: futures.ThreadPoolExecutor(workers)
    makers["processes"] = lambda: futures.ProcessPoolExecutor(workers)
    return makers


def _cold(bench: Bench, jobs: int, count: int) -> None:
    """So many tasks of some 2 ms by a new pool, its start and end included."""
    samples: dict[str, list[float]] = {}
    for _ in range(3 if count < 1000 else 1):
        for name, make in _makers(jobs).items():
            start = time.perf_counter()
            with make() as pool:
                for _ in pool.map(count_primes, [200] * count):
                    pass
            samples.setdefault(name, []).append(time.perf_counter() - start)
    bench.add(
        f"pool.count.{count}",
        f"{count:,} small tasks in a new pool",
        samples,
        series="pool.count",
        x=count,
        x_unit="tasks",
    )


def _speed_up(bench: Bench, workers: int) -> None:
    """CPU-bound tasks, beside one thread."""
    tasks = [4000] * 8 * workers
    pools = _pools(workers)
    samples: dict[str, list[float]] = {}
    try:
        for _ in range(3):
            start = time.perf_counter()
            for task in tasks[:8]:
                count_primes(task)
            alone = (time.perf_counter() - start) * workers
            for name, pool in pools.items():
                start = time.perf_counter()
                for _ in pool.map(count_primes, tasks):
                    pass
                samples.setdefault(name, []).append(alone / (time.perf_counter() - start))
    finally:
        _close(pools)
    bench.add(
        f"pool.workers.{workers}",
        f"speed-up of CPU-bound tasks, {workers} worker{'s' * (workers > 1)}",
        samples,
        unit="x",
        series="pool.workers",
        x=workers,
        x_unit="workers",
    )
