"""map()."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pool_tasks as tasks
import pytest

import atoll
from atoll import InterpreterPoolExecutor, sync

LONG = 30


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
@pytest.mark.parametrize("buffersize", [None, 1, 7])
class TestOrder:
    def test_one_iterable(
        self, pool: InterpreterPoolExecutor, chunksize: int | None, buffersize: int | None
    ) -> None:
        got = pool.map(tasks.square, range(500), chunksize=chunksize, buffersize=buffersize)
        assert list(got) == [n * n for n in range(500)]

    def test_several(
        self, pool: InterpreterPoolExecutor, chunksize: int | None, buffersize: int | None
    ) -> None:
        got = pool.map(tasks.add, range(50), itertools.count(5), chunksize=chunksize, buffersize=buffersize)
        assert list(got) == [2 * n + 5 for n in range(50)]

    def test_none(self, pool: InterpreterPoolExecutor, chunksize: int | None, buffersize: int | None) -> None:
        assert list(pool.map(tasks.square, [], chunksize=chunksize, buffersize=buffersize)) == []

    def test_failure(
        self, pool: InterpreterPoolExecutor, chunksize: int | None, buffersize: int | None
    ) -> None:
        """What stands before the failure is given, and the failure is the original."""
        got = pool.map(tasks.fail_at, range(20), [11] * 20, chunksize=chunksize, buffersize=buffersize)
        assert [next(got) for _ in range(11)] == list(range(11))
        with pytest.raises(ValueError, match="^11$"):
            next(got)
        with pytest.raises(StopIteration):
            next(got)

    def test_unsendable_result(
        self, pool: InterpreterPoolExecutor, chunksize: int | None, buffersize: int | None
    ) -> None:
        got = pool.map(tasks.unsendable_at, range(20), [5] * 20, chunksize=chunksize, buffersize=buffersize)
        assert [next(got) for _ in range(5)] == list(range(5))
        with pytest.raises(atoll.NotShareableError):
            next(got)


def test_map_without_iterables(pool: InterpreterPoolExecutor) -> None:
    assert list(pool.map(tasks.noop)) == []


@pytest.mark.parametrize("chunksize", [None, 1, 100])
def test_map_runs_without_iteration(chunksize: int | None) -> None:
    counter = sync.AtomicInt(0)
    with InterpreterPoolExecutor(2) as pool:
        pool.map(counter.add, [1] * 1000, chunksize=chunksize)
    assert counter.load() == 1000
    with InterpreterPoolExecutor(2) as pool:
        kept = pool.map(counter.add, [1] * 1000, chunksize=chunksize)
    assert counter.load() == 2000
    assert sum(1 for _ in kept) == 1000


def test_map_reads_no_further_than_the_buffer(pool: InterpreterPoolExecutor) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for n in itertools.count():
            read.append(n)
            yield n

    got = pool.map(tasks.square, numbers(), buffersize=10)
    assert len(read) == 10
    assert next(got) == 0
    assert len(read) == 11
    assert [next(got) for _ in range(50)] == [n * n for n in range(1, 51)]
    assert len(read) == 61
    got.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [0, -1])
def test_map_bad_sizes(pool: InterpreterPoolExecutor, value: int) -> None:
    with pytest.raises(ValueError, match="buffersize"):
        pool.map(tasks.square, [1], buffersize=value)
    with pytest.raises(ValueError, match="chunksize"):
        pool.map(tasks.square, [1], chunksize=value)
    with pytest.raises(TypeError):
        pool.map(tasks.square, [1], buffersize="5")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pool.map(tasks.square, 5)  # type: ignore[arg-type]


def test_map_time_out(pool: InterpreterPoolExecutor) -> None:
    event = sync.Event()
    got = pool.map(tasks.wait_for, [event], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(got)
    event.set()


def test_map_close_cancels() -> None:
    with InterpreterPoolExecutor(1) as pool:
        event = sync.Event()
        counter = sync.AtomicInt(0)
        blocker = pool.submit(tasks.wait_for, event)
        got = pool.map(lambda n: n == 0 or counter.add(1), range(10), chunksize=1)
        more = pool.map(tasks.wait_for, [event], chunksize=1, timeout=0)
        with pytest.raises(TimeoutError):
            next(got) if blocker.done() else next(more)
        rest = pool.map(counter.add, [1] * 10, chunksize=1, timeout=0)
        with pytest.raises(TimeoutError):
            next(rest)  # it has begun, and ends: what waits of it is cancelled
        event.set()
        assert blocker.result(LONG) == "done"
        assert list(got)[0] is True
    assert counter.load() == 9


def test_map_cancelled_by_shutdown() -> None:
    with InterpreterPoolExecutor(1) as pool:
        event, started = sync.Event(), sync.Event()
        pool.submit(tasks.wait_for, event, started)
        assert started.wait(LONG)
        got = pool.map(tasks.square, range(3), chunksize=1)
        pool.shutdown(wait=False, cancel_futures=True)
        event.set()
        with pytest.raises(CancelledError):
            next(got)


def test_map_input_fails(pool: InterpreterPoolExecutor) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(pool.map(tasks.square, numbers()))


def test_map_unsendable_item(pool: InterpreterPoolExecutor) -> None:
    import sys

    with pytest.raises(atoll.NotShareableError):
        list(pool.map(tasks.noop, [1, sys._getframe()]))


def test_map_divides_chunks(pool: InterpreterPoolExecutor) -> None:
    """A chunk that turns out to take long does not hold up the other worker."""

    def take(seconds: float) -> int:
        time.sleep(seconds)
        return atoll.get_current().id

    barrier = sync.Barrier(2)  # both are there, and idle
    for future in [pool.submit(barrier.wait) for _ in range(2)]:
        future.result(LONG)
    seen = list(pool.map(take, [0.02] * 12, chunksize=12))
    assert len(seen) == 12
    assert len(set(seen)) == 2


def test_map_in_a_lambda(pool: InterpreterPoolExecutor) -> None:
    base = 10
    assert list(pool.map(lambda n: n + base, range(200))) == list(range(10, 210))


def test_map_with_values_that_are_large(pool: InterpreterPoolExecutor) -> None:
    rows = [{f"key {i}": n * i for i in range(1000)} for n in range(60)]
    assert list(pool.map(len, rows)) == [1000] * 60
    assert list(pool.map(dict, rows)) == rows


def test_map_after_a_reference_is_gone() -> None:
    def make() -> Any:
        pool = InterpreterPoolExecutor(1)
        return pool.map(tasks.square, range(100)), pool._state

    got, state = make()
    assert list(got) == [n * n for n in range(100)]
    assert state.join(LONG)
