"""anyio, on asyncio or Trio: CPU-bound calls that a deadline stops.

pip install 'atoll[anyio]' trio
python examples/ecosystem/anyio_calls.py [asyncio|trio]
"""

from __future__ import annotations

import sys

import anyio

from atoll.anyio import run_sync


def count_primes(below: int) -> int:
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, below))


def forever() -> None:
    while True:
        pass


async def main() -> None:
    async def show(below: int) -> None:
        print(f"{await run_sync(count_primes, below)} primes below {below}")

    async with anyio.create_task_group() as group:
        for below in (1_000, 10_000):
            group.start_soon(show, below)
    with anyio.move_on_after(0.2) as scope:
        await run_sync(forever)
    print("stopped at the deadline:", scope.cancelled_caught)


anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
