"""Stopping tasks: interrupt(), deadlines, what will not stop."""

from __future__ import annotations

import threading

import pool_tasks as tasks
import pytest

import atoll
from atoll import ExecutionInterrupted, ExecutionTimeout, InterpreterPoolExecutor, sync

LONG = 30


def stopped(counter: sync.AtomicInt) -> bool:
    """Does the counter no longer move?  The task is over: asked twice."""
    seen = counter.load()
    threading.Event().wait(0.05)
    return counter.load() == seen


def test_interrupt(pool: InterpreterPoolExecutor) -> None:
    started, counter = sync.Event(), sync.AtomicInt(0)
    future = pool.submit(tasks.spin, started, counter)
    other = pool.submit(tasks.square, 4)
    assert started.wait(LONG)
    assert future.interrupt()
    with pytest.raises(ExecutionInterrupted):
        future.result(LONG)
    assert stopped(counter)
    assert not future.interrupt()
    assert other.result(LONG) == 16
    assert pool.submit(tasks.square, 5).result(LONG) == 25


def test_interrupt_a_wait(pool: InterpreterPoolExecutor) -> None:
    started, event = sync.Event(), sync.Event()
    future = pool.submit(tasks.wait_for, event, started)
    assert started.wait(LONG)
    assert future.interrupt()
    with pytest.raises(ExecutionInterrupted):
        future.result(LONG)


def test_interrupt_hits_nobody_else(pool: InterpreterPoolExecutor) -> None:
    """Interruptions race with tasks that are just ending: only their own task may fail."""
    hits = 0
    for n in range(400):
        first = pool.submit(tasks.square, n)
        first.interrupt()
        second = pool.submit(tasks.square, n + 1)
        error = first.exception(LONG)
        hits += error is not None
        assert error is None or isinstance(error, ExecutionInterrupted)
        assert second.result(LONG) == (n + 1) ** 2


def test_interrupt_what_waits_or_is_over(pool: InterpreterPoolExecutor) -> None:
    event = sync.Event()
    futures = [pool.submit(tasks.wait_for, event) for _ in range(3)]
    assert not futures[2].interrupt()
    event.set()
    assert [f.result(LONG) for f in futures] == ["done"] * 3
    assert not futures[0].interrupt()


def test_deadline(pool: InterpreterPoolExecutor) -> None:
    counter = sync.AtomicInt(0)
    timed = pool.options(timeout=0.05)
    future = timed.submit(tasks.spin, None, counter)
    with pytest.raises(ExecutionTimeout):
        future.result(LONG)
    assert isinstance(future.exception(), TimeoutError)
    assert stopped(counter)
    assert pool.options(timeout=LONG).submit(tasks.square, 3).result(LONG) == 9
    assert pool.options(timeout=None).submit(tasks.square, 3).result(LONG) == 9
    assert pool.options(timeout=float("inf")).submit(tasks.square, 3).result(LONG) == 9


def test_deadline_starts_with_the_task() -> None:
    with InterpreterPoolExecutor(1) as pool:
        event = sync.Event()
        blocker = pool.submit(tasks.wait_for, event)
        future = pool.options(timeout=2).submit(tasks.square, 3)
        with pytest.raises(TimeoutError):
            blocker.result(2.1)
        event.set()
        assert future.result(LONG) == 9


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_bad_deadline(pool: InterpreterPoolExecutor, value: float) -> None:
    with pytest.raises(ValueError):
        pool.options(timeout=value)


def test_stuck_worker_is_replaced() -> None:
    with InterpreterPoolExecutor(1) as pool:
        started, release = sync.Event(), sync.Event()
        future = pool.submit(tasks.stubborn, started, release)
        other = pool.submit(tasks.square, 5)
        assert started.wait(LONG)
        assert future.interrupt()
        with pytest.raises(ExecutionInterrupted, match="did not stop"):
            future.result(LONG)
        assert other.result(LONG) == 25
        assert pool.stats()["restarts"] == 1
        release.set()
        pool.shutdown()


def test_stuck_at_its_deadline() -> None:
    with InterpreterPoolExecutor(1) as pool:
        started, release = sync.Event(), sync.Event()
        error = None
        while not started.is_set():  # else the deadline was over before the task began
            future = pool.options(timeout=0.3).submit(tasks.stubborn, started, release)
            error = future.exception(LONG)
            assert isinstance(error, ExecutionTimeout)
        assert "did not stop" in str(error)
        assert pool.submit(tasks.square, 5).result(LONG) == 25
        assert pool.stats()["restarts"] == 1
        release.set()


def test_terminate_workers() -> None:
    pool = InterpreterPoolExecutor(1)
    started, counter = sync.Event(), sync.AtomicInt(0)
    running = pool.submit(tasks.spin, started, counter)
    waiting = pool.submit(tasks.square, 1)
    assert started.wait(LONG)
    pool.terminate_workers()
    with pytest.raises(ExecutionInterrupted):
        running.result(LONG)
    assert waiting.cancelled()
    assert stopped(counter)
    with pytest.raises(RuntimeError):
        pool.submit(tasks.noop)
    pool.shutdown()


def test_exception_in_the_block() -> None:
    started, counter = sync.Event(), sync.AtomicInt(0)
    with pytest.raises(KeyError, match="body"), InterpreterPoolExecutor(1) as pool:
        running = pool.submit(tasks.spin, started, counter)
        waiting = pool.submit(tasks.square, 1)
        assert started.wait(LONG)
        raise KeyError("body")
    assert waiting.cancelled()
    assert isinstance(running.exception(LONG), ExecutionInterrupted)
    assert stopped(counter)


def test_interrupted_map(pool: InterpreterPoolExecutor) -> None:
    started = sync.Event()
    got = pool.map(tasks.spin, [started])
    assert started.wait(LONG)
    pool.terminate_workers()
    with pytest.raises(ExecutionInterrupted):
        next(got)


def test_hanging_initializer(caplog: pytest.LogCaptureFixture) -> None:
    started = sync.Event()
    pool = InterpreterPoolExecutor(1, initializer=tasks.spin, initargs=(started,))
    future = pool.submit(tasks.square, 1)
    assert started.wait(LONG)
    pool.terminate_workers()
    assert future.cancelled()
    pool.shutdown()
    assert len(atoll.list_all()) >= 1
    assert not caplog.records, "it did not fail: it was stopped"


def test_result_inside_an_interpreter_can_be_interrupted(pool: InterpreterPoolExecutor) -> None:
    """A wait for a pool's result is a wait of atoll's, like any other."""
    started = sync.Event()

    def use(started: sync.Event) -> None:
        with InterpreterPoolExecutor(1) as inner:
            inner.submit(tasks.spin, started).result()

    future = pool.submit(use, started)
    assert started.wait(LONG)
    assert future.interrupt()
    assert isinstance(future.exception(LONG), ExecutionInterrupted)
