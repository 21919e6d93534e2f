"""options(timeout=): calls that stop at their deadline, and only there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import stop_functions as functions
from children import LIMIT
from test_interrupt import assert_still, moving

import atoll
from atoll.sync import AtomicInt, Event

Make = Callable[..., atoll.Interpreter]


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
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.1).exec("while True: counter.add(1)")
        assert_still(counter)
        assert counter.load() > 0

    def test_shared_gil(self, make: Make, counter: AtomicInt) -> None:
        with pytest.raises(atoll.ExecutionTimeout):
            make(config="legacy").options(timeout=0.1).call(functions.spin, counter)
        assert_still(counter)

    def test_thread(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = interp.options(timeout=0.1).call_in_thread(functions.spin, counter)
        assert type(thread.future.exception(LIMIT)) is atoll.ExecutionTimeout
        thread.join(LIMIT)
        assert_still(counter)

    def test_soon(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        best = LIMIT
        for _ in range(10):
            begun = time.monotonic()
            with pytest.raises(atoll.ExecutionTimeout):
                interp.options(timeout=0.01).call(functions.spin, counter)
            best = min(best, time.monotonic() - begun)
        assert 0.01 <= best < 0.11

    def test_finally_runs(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        cleaned = AtomicInt(0)
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.5).call(functions.spin_and_clean_up, counter, cleaned)
        assert cleaned.load() == 1000

    def test_who_goes_on_is_told_again(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        caught = AtomicInt(0)
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.5).call(functions.catch_and_go_on, counter, caught, 1)
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
    @pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, 3600, 1, 10**30])
    def test_not_reached(self, interp: atoll.Interpreter, timeout: float | None) -> None:
        view = interp.options(timeout=timeout)
        assert view.call(functions.count_to, 4) == 6
        view.exec("pass")
        thread = view.call_in_thread(functions.count_to, 4)
        assert thread.future.result(LIMIT) == 6
        thread.join(LIMIT)

    # The thread may have ended before its future is asked for: then its error
    # is threading.excepthook's, as documented.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
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


class TestStuckInC:
    def test_the_future_is_settled(self, interp: atoll.Interpreter) -> None:
        release = Event()
        thread = interp.options(timeout=0.1).call_in_thread(functions.stuck_in_c, release)
        error = thread.future.exception(LIMIT)
        assert type(error) is atoll.ExecutionTimeout
        assert thread.is_alive()
        assert repr(thread.name) in str(error) and "unresponsive" in str(error)
        assert "stuck_in_c" in error.excinfo.errdisplay, "its stack is told"
        release.set()
        thread.join(LIMIT)
        assert not thread.is_alive()
        assert thread.future.exception() is error
        assert interp.call(functions.count_to, 4) == 6

    def test_in_c_that_keeps_the_gil(self, interp: atoll.Interpreter) -> None:
        interp.exec("try:\n    import ctypes\nexcept ImportError:\n    pass  # 3.12: it refuses")
        interp.call(functions.count_to, 1)  # the deadline is to come in C, not in an import
        reader, writer = os.pipe()
        thread = interp.options(timeout=0.5).call_in_thread(functions.keep_gil, reader)
        try:
            error = thread.future.exception(LIMIT)
            assert type(error) is atoll.ExecutionTimeout
            assert "unresponsive" in str(error) and "keeps its interpreter's GIL" in str(error)
            assert thread.is_alive()
        finally:
            os.write(writer, b"x")
        thread.join(LIMIT)
        os.close(reader)
        os.close(writer)

    def test_after_one_that_is_very_far(self, make: Make) -> None:
        """A deadline beyond what a lock can wait does not end the watcher."""
        release, begun = Event(), Event()
        far = (
            make()
            .options(timeout=1e300)
            .call_in_thread(functions.announce_and, begun, functions.wait_for, release)
        )
        begun.wait(LIMIT)
        stuck = make().options(timeout=0.1).call_in_thread(functions.stuck_in_c, release)
        assert type(stuck.future.exception(LIMIT)) is atoll.ExecutionTimeout
        release.set()
        for thread in (far, stuck):
            thread.join(LIMIT)
        assert far.future.result(LIMIT) is None

    def test_two_deadlines(self, make: Make) -> None:
        """One that is stuck does not keep the watcher from the others."""
        release = Event()
        stuck = make().options(timeout=0.05).call_in_thread(functions.stuck_in_c, release)
        late = make().options(timeout=0.1).call_in_thread(functions.stuck_in_c, release)
        fine = make().options(timeout=3600).call_in_thread(functions.count_to, 4)
        assert fine.future.result(LIMIT) == 6
        assert type(stuck.future.exception(LIMIT)) is atoll.ExecutionTimeout
        assert type(late.future.exception(LIMIT)) is atoll.ExecutionTimeout
        release.set()
        for thread in (stuck, late, fine):
            thread.join(LIMIT)

    def test_nobody_asked(self, interp: atoll.Interpreter) -> None:
        """The error of a thread that is given up is reported by nobody twice."""
        release = Event()
        reported: list[Any] = []
        old, threading.excepthook = threading.excepthook, reported.append
        try:
            thread = interp.options(timeout=0.01).call_in_thread(functions.stuck_in_c, release)
            future = thread.future
            assert type(future.exception(LIMIT)) is atoll.ExecutionTimeout
            release.set()
            thread.join(LIMIT)
        finally:
            threading.excepthook = old
        assert reported == []
