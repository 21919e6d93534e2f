"""A pool of interpreters on each node of a Ray cluster.

pip install ray
python examples/ecosystem/ray_actors.py

An actor for each node owns a pool; Ray moves the work between nodes, the pool
between cores.  Nothing of Ray is called inside an interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ray
from ray.util import ActorPool

from atoll import InterpreterPoolExecutor


def count_primes(below: int) -> int:
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, below))


@ray.remote
class Node:
    def __init__(self, interpreters: int) -> None:
        self.pool = InterpreterPoolExecutor(interpreters)

    def map(self, func: Callable[[int], int], items: Iterable[int]) -> list[int]:
        return list(self.pool.map(func, items))


def main() -> None:
    # Of a cluster: ray.init("auto"), and options(scheduling_strategy="SPREAD").
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    nodes = ActorPool([Node.remote(2) for _ in range(2)])
    chunks = [range(1000 * n, 1000 * n + 50, 10) for n in range(1, 9)]
    counts = list(nodes.map(lambda node, chunk: node.map.remote(count_primes, chunk), chunks))
    for chunk, found in zip(chunks, counts, strict=True):
        print(f"below {chunk.start:5}: {found[0]} primes")
    ray.shutdown()


main()
