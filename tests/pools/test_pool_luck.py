"""Bad luck: exceptions at the worst moment, callbacks that fail, threads and interpreters that cannot be had."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pool_tasks as tasks
import pytest
from children import LIMIT
from ctrl_c_at import CtrlCAt

import atoll
from atoll import BrokenInterpreterPool, InterpreterPoolExecutor, futures, sync

LONG = 30


class Once:
    """Stands before a function; raises at its n-th call, before or after calling it."""

    def __init__(self, function: Any, error: BaseException, *, after: bool, at: int = 1) -> None:
        self.function, self.error, self.after, self.left = function, error, after, at

    def __call__(self, *args: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise self.error
        value = self.function(*args)
        if self.left == 0:
            raise self.error
        return value


@contextlib.contextmanager
def busy_collector(pool: InterpreterPoolExecutor) -> Iterator[None]:
    """The pool's collector is inside a callback meanwhile: only who asks for an outcome fetches it."""
    gate = sync.Event()
    inside, leave = threading.Event(), threading.Event()
    future = pool.submit(tasks.wait_for, gate)
    future.add_done_callback(lambda _: (inside.set(), leave.wait()))
    gate.set()
    try:
        assert inside.wait(LONG)
        yield
    finally:
        leave.set()


@pytest.mark.parametrize("after", [False, True])
def test_ctrl_c_between_the_outcome_and_the_future(
    pool: InterpreterPoolExecutor, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The outcome is there for who asks next, and for who waits at the same time."""
    event = sync.Event()
    got: list[str] = []
    with busy_collector(pool):
        future = pool.submit(tasks.wait_for, event)
        monkeypatch.setattr(futures, "_settle", Once(futures._settle, KeyboardInterrupt(), after=after))
        event.set()
        with pytest.raises(KeyboardInterrupt):
            future.result(LONG)
    others = [threading.Thread(target=lambda: got.append(future.result(LONG))) for _ in range(2)]
    for thread in others:
        thread.start()
    assert future.result(LONG) == "done"
    for thread in others:
        thread.join(LONG)
    assert got == ["done", "done"]


def test_ctrl_c_before_a_cancelled_future_knows(pool: InterpreterPoolExecutor) -> None:
    event = sync.Event()
    futures_ = [pool.submit(tasks.wait_for, event) for _ in range(3)]
    task = futures_[2]._task
    assert task.cancel()  # and the exception comes here
    with pytest.raises(CancelledError):
        futures_[2].result(LONG)
    assert futures_[2].cancelled()
    event.set()
    assert [future.result(LONG) for future in futures_[:2]] == ["done", "done"]


class Loud:
    """Raises SIGINT the first time that it is rebuilt at home."""

    first = True

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        if threading.current_thread() is threading.main_thread() and type(self).first:
            type(self).first = False
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("chunk", [False, True])
def test_ctrl_c_while_a_result_is_rebuilt(pool: InterpreterPoolExecutor, chunk: bool) -> None:
    """It is not the task's exception, and the result is not lost."""
    Loud.first = True
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if chunk:
            with pytest.raises(KeyboardInterrupt):
                list(pool.map(tasks.make_loud, [1]))
            assert not Loud.first
            return
        with busy_collector(pool):
            future = pool.submit(tasks.make_loud, 1)
            with pytest.raises(KeyboardInterrupt):
                future.result(LONG)
        assert not Loud.first
        assert future.result(LONG).value == 1
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("of the callback")])
def test_a_callback_that_fails(pool: InterpreterPoolExecutor, error: BaseException) -> None:
    logged = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is error:
                logged.set()

    def fail(future: object) -> None:
        raise error

    event = sync.Event()
    first = pool.submit(tasks.wait_for, event)
    first.add_done_callback(fail)
    done = threading.Event()
    second = pool.submit(tasks.wait_for, event)
    second.add_done_callback(lambda future: done.set())
    logger, handler = logging.getLogger("concurrent.futures"), Handler()
    logger.addHandler(handler)
    try:
        event.set()
        assert done.wait(LONG)
        assert [first.result(LONG), second.result(LONG)] == ["done", "done"]
        assert logged.wait(LONG)
    finally:
        logger.removeHandler(handler)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The submit that needs one fails; where there are workers already, they do the work."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if "collector" not in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with InterpreterPoolExecutor(2) as pool:
        with monkeypatch.context() as context:
            context.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start"):
                pool.submit(tasks.square, 2)
            with pytest.raises(RuntimeError, match="can't start"):
                pool.map(tasks.square, [2])
        event, started = sync.Event(), sync.Event()
        blocker = pool.submit(tasks.wait_for, event, started)
        assert started.wait(LONG)
        with monkeypatch.context() as context:
            context.setattr(threading.Thread, "start", fail)
            waiting = [pool.submit(tasks.square, n) for n in range(5)]
            event.set()
            assert [future.result(LONG) for future in waiting] == [n * n for n in range(5)]
            end = time.monotonic() + LIMIT
            while pool.stats()["workers"] != 1:  # the collector is just failing to start one
                assert time.monotonic() < end
                time.sleep(0.001)
        assert blocker.result(LONG) == "done"
        assert pool.stats()["workers"] == 1


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("others", [0, 1])
def test_ctrl_c_while_a_worker_starts(monkeypatch: pytest.MonkeyPatch, others: int, begun: bool) -> None:
    """It is raised; the worker is counted once, whether its thread has begun by then or does so later."""
    start = threading.Thread.start
    event, running = sync.Event(), sync.Event()
    late: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        if "collector" in thread.name:
            start(thread)
            return
        if begun:
            start(thread)
            assert running.wait(LONG)
        else:
            late.append(thread)
        raise KeyboardInterrupt

    # No `with`: it would wait for a worker that is counted wrongly.
    pool = InterpreterPoolExecutor(1 + others)
    try:
        first = [pool.submit(tasks.wait_for, event) for _ in range(others)]
        with monkeypatch.context() as context:
            context.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pool.submit(tasks.wait_for, event, running)
        for thread in late:
            start(thread)
            thread.join(LONG)
            assert not thread.is_alive()
        assert pool.stats()["workers"] == others + begun
        event.set()
        assert [future.result(LONG) for future in first] == ["done"] * others
        assert pool.submit(tasks.square, 3).result(LONG) == 9
    finally:
        event.set()
        pool.shutdown(wait=False)
    assert pool._state.join(LONG)
    assert pool.stats()["workers"] == 0


def test_ctrl_c_anywhere_in_the_first_submit() -> None:
    """Wherever it comes, what was promised is kept or taken back, and no lock stays taken."""
    at = 0
    while True:
        at += 1
        pool = InterpreterPoolExecutor(1)
        ctrl_c = CtrlCAt(at, futures)
        try:
            with ctrl_c:
                assert pool.submit(tasks.square, 2)
        except KeyboardInterrupt:
            pass
        assert pool.submit(tasks.square, 3).result(LONG) == 9, at
        pool.shutdown(wait=False)
        assert pool._state.join(LONG), at
        assert pool.stats()["workers"] == 0
        if not ctrl_c.came:
            break
    assert at > 50, "it was never reached"


def test_no_collector_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with InterpreterPoolExecutor(1) as pool:
        with monkeypatch.context() as context:
            context.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start"):
                pool.submit(tasks.square, 2)
        assert pool.submit(tasks.square, 3).result(LONG) == 9


def test_no_interpreter_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**kwargs: object) -> None:
        raise MemoryError("no room")

    with InterpreterPoolExecutor(2) as pool:
        monkeypatch.setattr(atoll, "create", fail)
        future = pool.submit(tasks.square, 2)
        with pytest.raises(BrokenInterpreterPool, match="MemoryError: no room"):
            future.result(LONG)
        with pytest.raises(BrokenInterpreterPool, match="no room"):
            pool.submit(tasks.square, 2)


def test_failing_initializer_is_logged_first(caplog: pytest.LogCaptureFixture) -> None:
    """By the time that a future fails, the reason is in the log, once for each worker that ran it."""
    with InterpreterPoolExecutor(1, initializer=tasks.fail_to_initialize) as pool:
        future = pool.submit(tasks.square, 2)
        with pytest.raises(BrokenInterpreterPool):
            future.result(LONG)
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("concurrent.futures", logging.CRITICAL)
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], atoll.ExecutionFailed)
        assert "LookupError: no such thing" in str(record.exc_info[1])


def test_initializer_fails_while_others_join() -> None:
    """shutdown() in another thread ends, however the failure falls."""
    for _ in range(10):
        pool = InterpreterPoolExecutor(2, initializer=tasks.fail_to_initialize)
        waiting = [pool.submit(tasks.square, n) for n in range(4)]
        pool.shutdown(wait=True)
        for future in waiting:
            assert isinstance(future.exception(LONG), BrokenInterpreterPool)


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
@pytest.mark.parametrize("buffersize", [None, 4])
def test_map_of_an_item_that_cannot_be_sent(chunksize: int | None, buffersize: int | None) -> None:
    """What stands before it is given; it is at fault alone, and says so when its turn comes."""

    items = [sys._getframe() if n == 7 else n for n in range(10)]
    with InterpreterPoolExecutor(2) as pool:
        got = pool.map(tasks.square, items, chunksize=chunksize, buffersize=buffersize)
        assert [next(got) for _ in range(7)] == [n * n for n in range(7)]
        with pytest.raises(atoll.NotShareableError) as caught:
            next(got)
        assert any("item 7" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_map_runs_all_that_can_be_sent(chunksize: int | None) -> None:
    """Nobody has come to the item at fault (which would drop the rest) before the pool is through."""

    done = sync.AtomicInt(0)
    items: list[Any] = [sys._getframe() if n == 7 else 1 for n in range(10)]
    with InterpreterPoolExecutor(2) as pool:
        got = pool.map(done.add, items, chunksize=chunksize)
    assert done.load() == 9
    del got


def test_pool_as_an_argument_is_another_one(pool: InterpreterPoolExecutor) -> None:
    """A task that shuts "its own" pool down has a pool of its own."""
    assert pool.submit(pool.shutdown).result(LONG) is None
    assert pool.submit(tasks.square, 3).result(LONG) == 9


def test_shutdown_from_a_task(pool: InterpreterPoolExecutor) -> None:
    """By way of the interpreter that made the pool."""
    queue = atoll.create_queue()
    asked = threading.Thread(target=lambda: pool.shutdown(wait=queue.get()))
    asked.start()

    def ask(queue: atoll.Queue[bool]) -> str:
        queue.put(True)
        return "asked"

    assert pool.submit(ask, queue).result(LONG) == "asked"
    asked.join(LONG)
    assert not asked.is_alive()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(tasks.noop)


def test_reprs() -> None:
    with InterpreterPoolExecutor(2, "crew") as pool:
        assert repr(pool) == "<InterpreterPoolExecutor 'crew', 0 of 2 workers, 0 running, 0 queued>"
        event, started = sync.Event(), sync.Event()
        future = pool.submit(tasks.wait_for, event, started)
        assert started.wait(LONG)
        assert "1 running" in repr(pool)
        assert "state=running" in repr(future)
        event.set()
        assert future.result(LONG) == "done"
        assert "state=finished returned str" in repr(future)
    with InterpreterPoolExecutor(1, initializer=tasks.fail_to_initialize) as pool:
        assert pool.submit(tasks.noop).exception(LONG) is not None
        assert "broken" in repr(pool)


def test_failures_leave_nothing(pool: InterpreterPoolExecutor) -> None:
    """Not one object stays of tasks that failed, whatever way they did."""

    def fail_all() -> int:
        for function, args in [
            (tasks.fail, (1,)),
            (tasks.exit_with, (1,)),
            (tasks.unsendable, ()),
            (tasks.fail_with_chain, ()),
            (tasks.fail_unsendably, ()),
        ]:
            for future in [pool.submit(function, *args) for _ in range(100)]:
                assert future.exception(LONG) is not None
        gc.collect()
        return len(gc.get_objects())

    fail_all()
    before = fail_all()
    assert fail_all() - before < 100
