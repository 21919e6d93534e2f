"""What the tests of the integrations run in interpreters: nothing of joblib, anyio or Dask is imported here."""

from __future__ import annotations

import os
from collections.abc import Callable

from atoll import get_current, sync


def where(_: object = None) -> int:
    return get_current().id


def square(n: int) -> int:
    return n * n


def adder(offset: int) -> Callable[[int], int]:
    return lambda n: n + offset


def fail(n: int) -> int:
    if n == 3:
        raise LookupError(n, "no such number")
    return n


def spin_unless_first(n: int, counter: sync.AtomicInt) -> int:
    if n == 0:
        while counter.load() < 1:
            pass
        raise LookupError("the first")
    while True:
        counter.add(1)


def nested(n: int) -> list[int]:
    from joblib import Parallel, delayed

    return Parallel(n_jobs=2)(delayed(square)(k) for k in range(n))


def here() -> int:
    return get_current().id


def spin(counter: sync.AtomicInt) -> None:
    while True:
        counter.add(1)


def fail_always() -> None:
    raise LookupError("no such thing")


def count_in(now: sync.AtomicInt, most: sync.AtomicInt, release: sync.Event) -> None:
    here = now.add(1) + 1
    while here > (seen := most.load()) and not most.compare_exchange(seen, here):
        pass
    release.wait(0.01)
    now.add(-1)


def process_and_interpreter(_: object = None) -> tuple[int, int]:
    return os.getpid(), get_current().id


def fail_with(n: int) -> None:
    raise LookupError(n, "no such number")


def append_forever(path: str) -> None:
    while True:
        with open(path, "a") as file:
            file.write(".")


def slow_square(n: int, path: str) -> int:
    """Slow until the file is there."""
    while not os.path.exists(path):
        pass
    return n * n


def fail_until(path: str, times: int) -> int:
    with open(path, "a") as file:
        file.write(".")
    done = os.path.getsize(path)
    if done < times:
        raise OSError(done)
    return done


def set_and_wait(started: sync.Event, event: sync.Event, timeout: float) -> bool:
    started.set()
    return event.wait(timeout)
