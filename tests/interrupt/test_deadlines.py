"""options(timeout=): calls that stop at their deadline, and only there."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stop_functions as functions
from children import LIMIT
from test_interrupt import assert_still, longer_deadlines, moving

import atoll
from atoll.sync import AtomicInt, Event

Make = Callable[..., atoll.Interpreter]

#: A thread may have ended before its future is asked for: then its error is
#: threading.excepthook's, as documented.
may_end_early = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@contextlib.contextmanager
def stuck(
    *views: atoll.Options,
    func: Callable[..., None] = functions.stuck_in_c,
    told: str = "in stuck_in_c",
) -> Iterator[list[atoll._threads.InterpreterThread[None]]]:
    """Threads that their deadlines find in C, all at once; at the end of the block they are let go.

    told: what their errors say of where the code was.
    """
    end = time.monotonic() + LIMIT
    met = False
    while not met:
        assert time.monotonic() < end, "the deadlines never find them there"
        reader, writer = os.pipe()
        release, entered = AtomicInt(0), [Event() for _ in views]
        threads = []
        try:
            for view, event in zip(views, entered, strict=True):
                threads.append(view.call_in_thread(func, event, reader, release))
                _ = threads[-1].future
            errors: list[Any] = [thread.future.exception(LIMIT) for thread in threads]
            # One that comes too early keeps its thread from getting there.
            met = all(event.is_set() for event in entered) and all(
                "unresponsive" in str(error) and told in f"{error}\n{error.excinfo.errdisplay}"
                for error in errors
            )
            if met:
                yield threads
        finally:
            release.store(1)
            os.write(writer, b"x" * len(views))
            for thread in threads:
                thread.join(LIMIT)
            os.close(reader)
            os.close(writer)


class TestStops:
    def test_call(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        begun = time.monotonic()
        with pytest.raises(atoll.ExecutionTimeout) as caught:
            interp.options(timeout=0.1).call(functions.spin, counter)
        assert time.monotonic() - begun >= 0.1
        error = caught.value
        assert isinstance(error, atoll.ExecutionFailed)
        assert isinstance(error, TimeoutError)
        assert type(error.__cause__) is atoll.Interrupted
        assert error.excinfo.type.__name__ == "Interrupted"
        assert_still(counter)
        assert interp.call(functions.count_to, 4) == 6

    def test_exec(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        interp.prepare_main(counter=counter)
        for timeout in longer_deadlines(0.1):
            with pytest.raises(atoll.ExecutionTimeout):
                interp.options(timeout=timeout).exec("while True: counter.add(1)")
            assert_still(counter)
            if counter.load() > 0:
                break
        assert counter.load() > 0

    def test_shared_gil(self, make: Make, counter: AtomicInt) -> None:
        with pytest.raises(atoll.ExecutionTimeout):
            make(config="legacy").options(timeout=0.1).call(functions.spin, counter)
        assert_still(counter)

    @may_end_early
    def test_thread(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = interp.options(timeout=0.1).call_in_thread(functions.spin, counter)
        assert type(thread.future.exception(LIMIT)) is atoll.ExecutionTimeout
        thread.join(LIMIT)
        assert_still(counter)

    def test_again_and_again(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        for _ in range(10):
            begun = time.monotonic()
            with pytest.raises(atoll.ExecutionTimeout):
                interp.options(timeout=0.01).call(functions.spin, counter)
            assert 0.01 <= time.monotonic() - begun < LIMIT

    def test_finally_runs(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        for timeout in longer_deadlines(0.1):
            cleaned = AtomicInt(0)
            with pytest.raises(atoll.ExecutionTimeout):
                interp.options(timeout=timeout).call(functions.spin_and_clean_up, counter, cleaned)
            if counter.load() > 0:  # it was in the try block
                break
        assert counter.load() > 0
        assert cleaned.load() == 1000

    def test_who_goes_on_is_told_again(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        for timeout in longer_deadlines(0.1):
            caught = AtomicInt(0)
            with pytest.raises(atoll.ExecutionTimeout):
                interp.options(timeout=timeout).call(functions.catch_and_go_on, counter, caught, 1)
            if counter.load() > 0:  # it was in the try block
                break
        assert counter.load() > 0
        assert caught.load() == 1
        assert_still(counter)

    def test_interrupted_before_it(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = interp.options(timeout=3600).call_in_thread(functions.spin, counter)
        future = thread.future
        moving(counter)
        assert interp.interrupt()
        assert type(future.exception(LIMIT)) is atoll.ExecutionInterrupted
        thread.join(LIMIT)


class TestInTime:
    @pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, 3600, 10**30])
    def test_not_reached(self, interp: atoll.Interpreter, timeout: float | None) -> None:
        view = interp.options(timeout=timeout)
        assert view.call(functions.count_to, 4) == 6
        view.exec("pass")
        thread = view.call_in_thread(functions.count_to, 4)
        assert thread.future.result(LIMIT) == 6
        thread.join(LIMIT)

    @may_end_early
    def test_zero_runs_nothing(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        interp.prepare_main(counter=counter)
        view = interp.options(timeout=0)
        with pytest.raises(atoll.ExecutionTimeout):
            view.call(functions.counter_add, counter)
        with pytest.raises(atoll.ExecutionTimeout):
            view.exec("counter.add(1)")
        thread = view.call_in_thread(functions.counter_add, counter)
        assert type(thread.future.exception(LIMIT)) is atoll.ExecutionTimeout
        thread.join(LIMIT)
        assert counter.load() == 0
        assert interp.call(functions.count_to, 4) == 6

    @pytest.mark.parametrize("timeout", [1e-300, 1e-9, 1e-6])
    def test_tiny(self, interp: atoll.Interpreter, counter: AtomicInt, timeout: float) -> None:
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=timeout).call(functions.spin, counter)
        assert_still(counter)

    @pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
    def test_refused(self, interp: atoll.Interpreter, timeout: float) -> None:
        with pytest.raises(ValueError, match="timeout must not be"):
            interp.options(timeout=timeout)

    @pytest.mark.parametrize("timeout", ["1", [1], object()])
    def test_no_number(self, interp: atoll.Interpreter, timeout: Any) -> None:
        with pytest.raises((TypeError, ValueError)):
            interp.options(timeout=timeout).call(functions.noop)

    def test_never_the_next_call(self, interp: atoll.Interpreter) -> None:
        """The first call ends just before its deadline; the second runs past it."""
        view = interp.options(timeout=0.02)
        for _ in range(20):
            with contextlib.suppress(atoll.ExecutionTimeout):
                view.call(functions.noop)
            begun = time.monotonic()
            while time.monotonic() - begun < 0.03:
                assert interp.call(functions.count_to, 1000) == 499500


class TestNested:
    def test_the_outer_deadline(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        with pytest.raises(atoll.ExecutionTimeout):
            a.options(timeout=0.1).call(functions.call_other, b, functions.spin, counter)
        assert_still(counter)
        assert not a.is_running() and not b.is_running()

    def test_the_inner_deadline(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        with pytest.raises(atoll.ExecutionFailed) as caught:
            a.options(timeout=3600).call(functions.call_with_deadline, b, 0.1, functions.spin, counter)
        assert type(caught.value) is atoll.ExecutionFailed
        assert caught.value.excinfo.type.__name__ == "ExecutionTimeout"
        assert_still(counter)

    def test_both(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        with pytest.raises(atoll.ExecutionTimeout):
            a.options(timeout=0.05).call(functions.call_with_deadline, b, 3600, functions.spin, counter)
        assert_still(counter)
        assert b.call(functions.count_to, 4) == 6


@may_end_early
class TestStuckInC:
    def test_the_future_is_settled(self, interp: atoll.Interpreter) -> None:
        with stuck(interp.options(timeout=0.1)) as [thread]:
            error = thread.future.exception(LIMIT)
            assert type(error) is atoll.ExecutionTimeout
            assert thread.is_alive()
            assert repr(thread.name) in str(error) and "unresponsive" in str(error)
            assert "stuck_in_c" in error.excinfo.errdisplay, "its stack is told"
        assert not thread.is_alive()
        assert thread.future.exception() is error
        assert interp.call(functions.count_to, 4) == 6

    def test_in_c_that_keeps_the_gil(self, interp: atoll.Interpreter) -> None:
        kept = "keeps its interpreter's GIL"
        with stuck(interp.options(timeout=0.1), func=functions.keep_gil, told=kept) as [thread]:
            error = thread.future.exception(LIMIT)
            assert type(error) is atoll.ExecutionTimeout
            assert "unresponsive" in str(error) and kept in str(error)
            assert thread.is_alive()
        assert not thread.is_alive()

    def test_after_one_that_is_very_far(self, make: Make) -> None:
        """A deadline beyond what a lock can wait does not end the watcher."""
        release, begun = Event(), Event()
        far = (
            make()
            .options(timeout=1e300)
            .call_in_thread(functions.announce_and, begun, functions.wait_for, release)
        )
        begun.wait(LIMIT)
        with stuck(make().options(timeout=0.1)) as [thread]:
            assert type(thread.future.exception(LIMIT)) is atoll.ExecutionTimeout
        release.set()
        far.join(LIMIT)
        assert far.future.result(LIMIT) is None

    def test_two_deadlines(self, make: Make) -> None:
        """One that is stuck does not keep the watcher from the others."""
        with stuck(make().options(timeout=0.05), make().options(timeout=0.1)) as threads:
            fine = make().options(timeout=3600).call_in_thread(functions.count_to, 4)
            assert fine.future.result(LIMIT) == 6
            for thread in threads:
                assert type(thread.future.exception(LIMIT)) is atoll.ExecutionTimeout
        fine.join(LIMIT)

    def test_nobody_asked(self, interp: atoll.Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error of a thread that is given up is reported by nobody twice."""
        reported: list[Any] = []
        with stuck(interp.options(timeout=0.01)) as [thread]:
            monkeypatch.setattr(threading, "excepthook", reported.append)
            assert type(thread.future.exception(LIMIT)) is atoll.ExecutionTimeout
        assert not thread.is_alive()
        assert reported == []
