"""submit() and its futures."""

from __future__ import annotations

import contextvars
import gc
import pickle
import sys
import threading
import traceback
import weakref
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    as_completed,
    wait,
)
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pool_tasks as tasks
import pytest

import atoll
from atoll import BrokenInterpreterPool, InterpreterPoolExecutor, sync

LONG = 30  # seconds: a safety net


class TestResults:
    def test_result(self, pool: InterpreterPoolExecutor) -> None:
        assert pool.submit(pow, 2, 10).result(LONG) == 1024
        assert pool.submit(tasks.square, 7).result() == 49
        assert pool.submit(tasks.noop).result() is None
        assert pool.submit(int, "ff", base=16).result() == 255

    def test_runs_elsewhere(self, pool: InterpreterPoolExecutor) -> None:
        assert pool.submit(tasks.where).result() != atoll.get_current().id

    def test_reuses_its_workers(self, pool: InterpreterPoolExecutor) -> None:
        assert len({pool.submit(tasks.where).result() for _ in range(20)}) == 1
        assert pool.stats()["workers"] == 1

    def test_lambda_and_closure(self, pool: InterpreterPoolExecutor) -> None:
        factor = 3
        assert pool.submit(lambda n: n * factor, 14).result() == 42

    def test_many(self, pool: InterpreterPoolExecutor) -> None:
        futures = [pool.submit(tasks.square, n) for n in range(3000)]
        assert [future.result(LONG) for future in futures] == [n * n for n in range(3000)]

    def test_big_value(self, pool: InterpreterPoolExecutor) -> None:
        data = bytes(range(256)) * 40_000
        assert pool.submit(bytes.upper, data).result() == data.upper()

    def test_from_threads(self, pool: InterpreterPoolExecutor) -> None:
        got: list[int] = []

        def use() -> None:
            got.extend(pool.submit(tasks.square, n).result(LONG) for n in range(200))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == sorted([n * n for n in range(200)] * 4)

    def test_several_threads_wait_for_one(self, pool: InterpreterPoolExecutor) -> None:
        event = sync.Event()
        future = pool.submit(tasks.wait_for, event)
        got: list[str] = []
        threads = [threading.Thread(target=lambda: got.append(future.result(LONG))) for _ in range(4)]
        for thread in threads:
            thread.start()
        event.set()
        for thread in threads:
            thread.join()
        assert got == ["done"] * 4

    def test_contexts_do_not_leak(self, pool: InterpreterPoolExecutor) -> None:
        def use() -> str:
            name = "atoll_test_variable"
            import builtins

            if not hasattr(builtins, name):
                setattr(builtins, name, contextvars.ContextVar(name, default="unset"))
            var = getattr(builtins, name)
            before = var.get()
            var.set("set")
            return before

        assert [pool.submit(use).result() for _ in range(3)] == ["unset"] * 3

    def test_result_time_out(self, pool: InterpreterPoolExecutor) -> None:
        event = sync.Event()
        future = pool.submit(tasks.wait_for, event)
        with pytest.raises(TimeoutError):
            future.result(0.01)
        with pytest.raises(TimeoutError):
            future.exception(0)
        event.set()
        assert future.result(LONG) == "done"
        assert future.exception() is None

    def test_prints(self, pool: InterpreterPoolExecutor, capsys: pytest.CaptureFixture[str]) -> None:
        pool.submit(print, "from a worker").result()
        pool.submit(print, "no newline", end="").result()
        assert capsys.readouterr().out == "from a worker\nno newline"


class TestFailures:
    def test_the_original(self, pool: InterpreterPoolExecutor) -> None:
        future = pool.submit(tasks.fail, 3)
        with pytest.raises(ValueError, match="^3$") as caught:
            future.result(LONG)
        assert type(caught.value) is ValueError
        assert caught.value is future.exception()
        text = "".join(traceback.format_exception(caught.value))
        assert "raise ValueError(n)" in text
        assert "in fail" in text

    def test_own_exception(self, pool: InterpreterPoolExecutor) -> None:
        class Mine(Exception):
            pass

        def fail() -> None:
            raise Mine("mine")

        with pytest.raises(Mine, match="mine"):
            pool.submit(fail).result()

    def test_chain(self, pool: InterpreterPoolExecutor) -> None:
        error = pool.submit(tasks.fail_with_chain).exception(LONG)
        assert isinstance(error, ValueError)
        assert error.__notes__ == ["a note"]
        assert isinstance(error.__cause__, KeyError)
        remote = error.__cause__.__cause__
        assert "raise outer from error" in str(remote)

    def test_exception_that_stays(self, pool: InterpreterPoolExecutor) -> None:
        error = pool.submit(tasks.fail_unsendably).exception(LONG)
        assert isinstance(error, atoll.ExecutionFailed)
        assert error.excinfo.type.__name__ == "Unsendable"
        assert "it failed" in str(error)

    def test_unsendable_argument(self, pool: InterpreterPoolExecutor) -> None:
        future = pool.submit(tasks.noop, [1, {"here": sys._getframe()}])
        with pytest.raises(atoll.NotShareableError, match=r"args\[0\]\[1\]\['here'\]"):
            future.result(LONG)
        assert pool.submit(tasks.square, 2).result() == 4

    def test_unsendable_result(self, pool: InterpreterPoolExecutor) -> None:
        with pytest.raises(atoll.NotShareableError, match="result"):
            pool.submit(tasks.unsendable).result(LONG)
        assert pool.submit(tasks.square, 2).result() == 4

    @pytest.mark.parametrize("code", [0, 3, None, "text"])
    def test_sys_exit(self, pool: InterpreterPoolExecutor, code: object) -> None:
        with pytest.raises(SystemExit) as caught:
            pool.submit(tasks.exit_with, code).result(LONG)
        assert caught.value.code == code
        assert pool.submit(tasks.square, 2).result() == 4

    def test_base_exception(self, pool: InterpreterPoolExecutor) -> None:
        with pytest.raises(KeyboardInterrupt):
            pool.submit(tasks.stop_here).result(LONG)
        assert pool.submit(tasks.square, 2).result() == 4

    def test_recursion(self, pool: InterpreterPoolExecutor) -> None:
        with pytest.raises(RecursionError):
            pool.submit(tasks.recurse).result(LONG)
        assert pool.submit(tasks.square, 2).result() == 4

    def test_not_callable(self, pool: InterpreterPoolExecutor) -> None:
        with pytest.raises(TypeError):
            pool.submit(3).result(LONG)  # type: ignore[arg-type]

    def test_closed_stdout(self, pool: InterpreterPoolExecutor, capsys: pytest.CaptureFixture[str]) -> None:
        pool.submit(tasks.close_stdout).exception(LONG)
        assert pool.submit(tasks.square, 2).result() == 4

    def test_the_others_get_their_results(self, pool: InterpreterPoolExecutor) -> None:
        futures = [pool.submit(tasks.mixed, n) for n in range(500)]
        for n, future in enumerate(futures):
            if n % 7 == 3:
                assert isinstance(future.exception(LONG), KeyError)
            else:
                assert future.result(LONG) == -n
        stats = pool.stats()
        assert stats["done"] == 500
        assert stats["failed"] == sum(n % 7 == 3 for n in range(500))


class TestFutures:
    def test_states(self) -> None:
        with InterpreterPoolExecutor(1) as pool:
            event, started = sync.Event(), sync.Event()
            first = pool.submit(tasks.wait_for, event, started)
            second = pool.submit(tasks.square, 3)
            assert started.wait(LONG)
            assert first.running() and not first.done() and not first.cancelled()
            assert not second.running() and not second.done()
            assert not first.cancel()
            assert second.cancel() and second.cancel()
            assert second.cancelled() and second.done() and not second.running()
            with pytest.raises(CancelledError):
                second.result()
            with pytest.raises(CancelledError):
                second.exception()
            event.set()
            assert first.result(LONG) == "done"
            assert first.done() and not first.running() and not first.cancel()

    def test_cancel_wakes_who_waits(self) -> None:
        with InterpreterPoolExecutor(1) as pool:
            event = sync.Event()
            pool.submit(tasks.wait_for, event)
            future = pool.submit(tasks.noop)
            seen: list[type] = []

            def use() -> None:
                try:
                    future.result(LONG)
                except BaseException as error:
                    seen.append(type(error))

            thread = threading.Thread(target=use)
            thread.start()
            assert future.cancel()
            thread.join()
            assert seen == [CancelledError]
            assert wait([future], LONG).done == {future}
            event.set()

    def test_callbacks(self, pool: InterpreterPoolExecutor) -> None:
        done = threading.Event()
        seen: list[Any] = []

        def callback(future: Any) -> None:
            seen.append(future.result())
            done.set()

        future = pool.submit(tasks.square, 5)
        future.add_done_callback(callback)
        assert done.wait(LONG)
        assert seen == [25]
        future.add_done_callback(lambda f: seen.append(f))
        assert seen == [25, future]

    def test_callback_that_submits_and_shuts_down(self, pool: InterpreterPoolExecutor) -> None:
        done = threading.Event()
        inner: list[Any] = []

        def callback(future: Any) -> None:
            inner.append(pool.submit(tasks.square, 6))
            pool.shutdown(wait=True)
            done.set()

        event = sync.Event()
        future = pool.submit(tasks.wait_for, event)
        future.add_done_callback(callback)
        event.set()
        assert done.wait(LONG)
        assert inner[0].result(LONG) == 36

    def test_wait_and_as_completed(self, pool: InterpreterPoolExecutor) -> None:
        event = sync.Event()
        slow = pool.submit(tasks.wait_for, event)
        quick = [pool.submit(tasks.square, n) for n in range(20)]
        done, rest = wait([slow, *quick], LONG, FIRST_COMPLETED)
        assert done and slow in rest
        assert {f.result() for f in as_completed(quick, LONG)} == {n * n for n in range(20)}
        event.set()
        assert wait([slow, *quick], LONG).not_done == set()

    def test_dropped_futures_are_freed(self, pool: InterpreterPoolExecutor) -> None:
        future = pool.submit(tasks.noop)
        ref = weakref.ref(future)
        future.result(LONG)
        del future
        gc.collect()
        assert ref() is None

    def test_dropped_before_done(self, pool: InterpreterPoolExecutor) -> None:
        counter = sync.AtomicInt(0)
        for _ in range(50):
            pool.submit(counter.add, 1)
        pool.shutdown()
        assert counter.load() == 50


class TestPool:
    def test_is_an_executor(self, pool: InterpreterPoolExecutor) -> None:
        assert isinstance(pool, Executor)
        assert pool._max_workers == 2
        assert issubclass(BrokenInterpreterPool, BrokenThreadPool)
        assert InterpreterPoolExecutor()._max_workers >= 1

    @pytest.mark.parametrize(
        ("kwargs", "error"),
        [
            ({"max_workers": 0}, ValueError),
            ({"max_workers": -1}, ValueError),
            ({"initializer": 3}, TypeError),
            ({"max_tasks_per_child": 0}, ValueError),
            ({"max_tasks_per_child": 1.5}, TypeError),
            ({"queue_size": 0}, ValueError),
            ({"idle_timeout": -1}, ValueError),
            ({"idle_timeout": float("nan")}, ValueError),
            ({"config": "unheard of"}, ValueError),
            ({"initializer": print, "initargs": (sys._getframe(),)}, atoll.NotShareableError),
        ],
    )
    def test_bad_arguments(self, kwargs: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            InterpreterPoolExecutor(**kwargs)

    def test_pickles_as_its_configuration(self) -> None:
        pool = InterpreterPoolExecutor(
            3, "name", tasks.initialize, (1,), max_tasks_per_child=5, idle_timeout=2, queue_size=9
        )
        copy = pickle.loads(pickle.dumps(pool))
        assert copy._arguments == pool._arguments
        with copy:
            assert copy.submit(tasks.get_initialized).result(LONG)[-1] == (1,)

    def test_crosses(self, pool: InterpreterPoolExecutor) -> None:
        def use(inner: InterpreterPoolExecutor) -> int:
            with inner:
                return inner.submit(pow, 2, 5).result()  # type: ignore[no-any-return]

        assert pool.submit(use, InterpreterPoolExecutor(1)).result(LONG) == 32

    def test_after_shutdown(self, pool: InterpreterPoolExecutor) -> None:
        pool.shutdown()
        pool.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(tasks.noop)
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.map(tasks.noop, [1])

    def test_shutdown_finishes_what_waits(self) -> None:
        pool = InterpreterPoolExecutor(1)
        futures = [pool.submit(tasks.square, n) for n in range(20)]
        pool.shutdown(wait=False)
        assert [f.result(LONG) for f in futures] == [n * n for n in range(20)]
        pool.shutdown()

    def test_cancel_futures(self) -> None:
        pool = InterpreterPoolExecutor(1)
        event, started = sync.Event(), sync.Event()
        first = pool.submit(tasks.wait_for, event, started)
        rest = [pool.submit(tasks.square, n) for n in range(5)]
        assert started.wait(LONG)
        pool.shutdown(wait=False, cancel_futures=True)
        assert all(f.cancelled() for f in rest)
        event.set()
        assert first.result(LONG) == "done"
        pool.shutdown()

    def test_shutdown_from_a_task_of_its_own(self, pool: InterpreterPoolExecutor) -> None:
        def use() -> int:
            with InterpreterPoolExecutor(1) as inner:
                return inner.submit(pow, 2, 3).result()  # type: ignore[no-any-return]

        assert pool.submit(use).result(LONG) == 8

    def test_dropped_pool_finishes(self) -> None:
        pool = InterpreterPoolExecutor(1)
        future = pool.submit(tasks.square, 9)
        ref = weakref.ref(pool)
        state = pool._state
        del pool
        gc.collect()
        assert ref() is None
        assert future.result(LONG) == 81
        assert state.join(LONG)

    def test_names(self) -> None:
        with InterpreterPoolExecutor(1, "crew") as pool:

            def name() -> str | None:
                return atoll.get_current().name

            assert pool.submit(name).result(LONG) == "crew_0"
            assert "crew_0" in {thread.name for thread in threading.enumerate()}

    def test_initializer(self) -> None:
        with InterpreterPoolExecutor(2, initializer=tasks.initialize, initargs=("a", [1])) as pool:
            assert pool.submit(tasks.get_initialized).result(LONG) == [("a", [1])]

    def test_failing_initializer(self, caplog: pytest.LogCaptureFixture) -> None:
        with InterpreterPoolExecutor(2, initializer=tasks.fail_to_initialize) as pool:
            futures = [pool.submit(tasks.square, n) for n in range(3)]
            for future in futures:
                with pytest.raises(BrokenInterpreterPool, match="no such thing"):
                    future.result(LONG)
            with pytest.raises(BrokenInterpreterPool):
                pool.submit(tasks.noop)
            with pytest.raises(BrokenInterpreterPool):
                list(pool.map(tasks.noop, [1]))

    def test_max_tasks_per_child(self) -> None:
        with InterpreterPoolExecutor(1, max_tasks_per_child=2) as pool:
            seen = [pool.submit(tasks.where).result(LONG) for _ in range(6)]
            assert seen[0] == seen[1] and seen[2] == seen[3] and seen[4] == seen[5]
            assert len(set(seen)) == 3
            futures = [pool.submit(tasks.where) for _ in range(10)]
            assert len({f.result(LONG) for f in futures}) == 5
        assert pool.stats()["restarts"] >= 7

    def test_idle_timeout(self) -> None:
        with InterpreterPoolExecutor(1, idle_timeout=0) as pool:
            first = pool.submit(tasks.where).result(LONG)
            assert pool._state.core.join(LONG)
            assert pool.stats()["workers"] == 0
            assert pool.submit(tasks.where).result(LONG) != first

    def test_one_after_the_other_needs_one_worker(self) -> None:
        """Who has an outcome finds the worker that it comes from idle, and no other one is woken."""
        with InterpreterPoolExecutor(2) as pool:
            barrier = sync.Barrier(2)
            for future in [pool.submit(barrier.wait) for _ in range(2)]:
                future.result(LONG)
            assert len({pool.submit(tasks.where).result(LONG) for _ in range(300)}) == 1

    def test_queue_size(self) -> None:
        with InterpreterPoolExecutor(1, queue_size=1) as pool:
            event, started = sync.Event(), sync.Event()
            first = pool.submit(tasks.wait_for, event, started)
            assert started.wait(LONG)
            second = pool.submit(tasks.square, 1)
            seen: list[Any] = []
            thread = threading.Thread(target=lambda: seen.append(pool.submit(tasks.square, 2)))
            thread.start()
            thread.join(0.1)
            assert thread.is_alive() and not seen
            event.set()
            thread.join(LONG)
            assert [f.result(LONG) for f in (first, second, *seen)] == ["done", 1, 4]

    def test_leaves_threads_behind(self) -> None:
        event = sync.Event()
        with InterpreterPoolExecutor(1) as pool:
            pool.submit(tasks.leave_thread, event).result(LONG)
            assert pool.submit(tasks.square, 3).result(LONG) == 9
            event.set()

    def test_legacy_config(self) -> None:
        with InterpreterPoolExecutor(1, config="legacy") as pool:
            assert pool.submit(tasks.square, 3).result(LONG) == 9

    def test_stats(self, pool: InterpreterPoolExecutor) -> None:
        assert pool.stats() == dict.fromkeys(
            ["workers", "idle", "queued", "running", "done", "failed", "restarts"], 0
        )
        pool.submit(tasks.square, 3).result(LONG)
        pool.submit(tasks.fail, 3).exception(LONG)
        stats = pool.stats()
        assert (stats["done"], stats["failed"], stats["workers"]) == (2, 1, 1)
