"""Pools: what a task costs, data, scaling, the first result, a busy main thread."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import atoll
from atoll import InterpreterPoolExecutor
from harness import Row, Suite, child

try:
    from concurrent.futures.interpreter import InterpreterPoolExecutor as Standard
except ImportError:
    Standard = None

suite = Suite("pools")
WORKERS = 2


def noop(*args):
    pass


def work(seconds):
    """CPU-bound, for about so long on a free core: counts loops, not the clock."""
    for _ in range(int(seconds * LOOPS)):
        pass


def calibrate():
    start = time.perf_counter()
    for _ in range(2_000_000):
        pass
    return 2_000_000 / (time.perf_counter() - start)


LOOPS = calibrate()


def pools(*, processes: bool = False, threads: bool = True) -> dict[str, Executor]:
    made: dict[str, Executor] = {"atoll": InterpreterPoolExecutor(WORKERS)}
    if Standard is not None:
        made["stdlib"] = Standard(WORKERS)
    if threads:
        made["threads"] = ThreadPoolExecutor(WORKERS)
    if processes:
        made["processes"] = ProcessPoolExecutor(WORKERS)
    for pool in made.values():
        list(pool.map(noop, range(200)))  # the workers are there
    return made


def mapping(count, *, options=None, **kinds):
    def make():
        return {
            name: lambda pool=pool, extra=(options if name == "atoll" else {}) or {}: sum(
                1 for _ in pool.map(noop, range(count), **extra)
            )
            for name, pool in pools(**kinds).items()
        }

    return make


suite.compare(
    "map(noop, range(20000)), defaults", mapping(20_000), wants={"stdlib": 10, "threads": 1}, rounds=5
)
suite.compare(
    "map(noop, range(20000), chunksize=1)",
    mapping(20_000, options={"chunksize": 1}),
    wants={"stdlib": 3},
    rounds=5,
)


def submitting():
    return {
        name: (lambda pool=pool: pool.submit(noop).result()) for name, pool in pools(processes=True).items()
    }


suite.compare("submit(noop).result()", submitting, wants={"stdlib": 4, "threads": 0.5})


def dicts():
    rows = [{f"key {i}": i * n for i in range(1000)} for n in range(200)]
    return {
        name: (lambda pool=pool: sum(pool.map(len, rows)))
        for name, pool in pools(processes=True, threads=False).items()
    }


suite.compare("map(len, 200 dicts of 1,000 keys)", dicts, wants={"stdlib": 3, "processes": 3}, rounds=5)


def scaling():
    """The time of 40 tasks of 10 ms on one worker, over that on two."""
    taken: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with InterpreterPoolExecutor(1) as one:
        one.submit(work, 0.01).result()
        competitors = {"one core": one, **pools(processes=True, threads=False)}
        best = dict.fromkeys(competitors, 1000000000.0)
        for _ in range(5):
            for name, pool in competitors.items():
                start = time.perf_counter()
                list(pool.map(work, [0.01] * 40))
                best[name] = min(best[name], time.perf_counter() - start)
    first = best.pop("one core")
    taken = {name: value / 40 for name, value in best.items()}
    taken["one core"] = first / 40
    ratios = {name: value / taken["atoll"] for name, value in taken.items() if name != "atoll"}
    return Row(
        "CPU-bound tasks of 10 ms, 2 workers",
        "s",
        taken,
        ratios,
        5,
        wants={"one core": 1.9, "processes": 0.98},
    )


suite.measure("CPU-bound tasks of 10 ms", scaling)

FIRST = """
import time
start = time.perf_counter()
{imports}
if __name__ == "__main__":
    with {pool}(2) as pool:
        pool.submit(pow, 2, 3).result()
        taken = time.perf_counter() - start
    print(taken)
"""


def first_result():
    kinds = {"atoll": ("from atoll import InterpreterPoolExecutor as P", "P")}
    if Standard is not None:
        kinds["stdlib"] = ("from concurrent.futures import InterpreterPoolExecutor as P", "P")
    kinds["processes"] = ("from concurrent.futures import ProcessPoolExecutor as P", "P")
    samples = {name: [] for name in kinds}
    for _ in range(suite.rounds):
        for name, (imports, pool) in kinds.items():
            samples[name].append(child(FIRST.format(imports=imports, pool=pool)))
    values = {name: sorted(taken)[len(taken) // 2] for name, taken in samples.items()}
    ratios = {name: value / values["atoll"] for name, value in values.items() if name != "atoll"}
    wants = {"stdlib": 1.0}
    if sys.version_info >= (3, 14):
        wants["processes"] = 1.0  # its start method is then forkserver, not fork
    return Row("first result of a cold pool, fresh process", "s", values, ratios, suite.rounds, wants)


suite.measure("first result of a cold pool", first_result)

BURN = "while True: pass"


def busy_main():
    """Tasks done while main burns CPU, and while another process does in its place."""

    def rate(pool, seconds, burn):
        done_before = pool.stats()["done"]
        futures = [pool.submit(work, 0.01) for _ in range(400)]
        end = time.perf_counter() + seconds
        if burn:
            while time.perf_counter() < end:
                pass
        else:
            time.sleep(seconds)
        done = pool.stats()["done"] - done_before
        for future in futures:
            future.cancel()
        return done / seconds

    ratios, inside, outside = [], [], []
    with InterpreterPoolExecutor(WORKERS) as pool:
        list(pool.map(noop, range(100)))
        for _ in range(3):
            inside.append(rate(pool, 1.5, True))
            other = subprocess.Popen([sys.executable, "-c", BURN])
            try:
                outside.append(rate(pool, 1.5, False))
            finally:
                other.kill()
                other.wait()
            ratios.append(inside[-1] / outside[-1])
    # As seconds a task, so that smaller is better.
    values = {"atoll": 1 / sorted(inside)[1], "busy process": 1 / sorted(outside)[1]}
    return Row(
        "tasks of 10 ms while main is busy",
        "s",
        values,
        {"busy process": sorted(ratios)[1]},
        3,
        {"busy process": 0.9},
    )


suite.measure("main thread busy", busy_main)

if __name__ == "__main__":
    assert atoll.get_main().id == 0
    suite.main()
