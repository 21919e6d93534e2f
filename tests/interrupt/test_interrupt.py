"""interrupt(): what runs stops, and nothing else does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stop_functions as functions
from children import LIMIT, LONG, run_child

import atoll
from atoll.sync import AtomicInt, Barrier, Condition, Event, Lock, RLock, Semaphore

Make = Callable[..., atoll.Interpreter]


def moving(counter: AtomicInt, beyond: int = 0) -> None:
    """Waits until the code that moves counter runs."""
    end = time.monotonic() + LIMIT
    while counter.load() <= beyond:
        assert time.monotonic() < end, "the counter does not move"
        time.sleep(0.0005)


def assert_still(counter: AtomicInt) -> None:
    """Nobody moves it any more: the code has stopped."""
    before = counter.load()
    time.sleep(0.05)
    assert counter.load() == before


def longer_deadlines(timeout: float) -> Iterator[float]:
    """Each twice the one before: what must have begun by its deadline has, by one of these."""
    while timeout < LIMIT:
        yield timeout
        timeout *= 2


def in_thread(
    interp: atoll.Interpreter, func: Callable[..., Any], *args: Any
) -> atoll._threads.InterpreterThread:
    thread = interp.call_in_thread(func, *args)
    _ = thread.future
    return thread


def outcome(thread: Any) -> BaseException:
    """The exception with which a call_in_thread ended; the thread has ended, too."""
    error = thread.future.exception(LIMIT)
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert error is not None
    return error


class TestStops:
    def test_a_loop(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert interp.interrupt() is True
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert isinstance(error, atoll.ExecutionFailed)
        assert type(error.__cause__) is atoll.Interrupted
        assert error.excinfo.type.__name__ == "Interrupted"
        assert "spin" in error.excinfo.errdisplay
        assert_still(counter)
        assert not interp.is_running()
        assert interp.call(functions.count_to, 4) == 6

    def test_exec(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        interp.prepare_main(counter=counter)
        errors: list[BaseException] = []

        def run() -> None:
            try:
                interp.exec("while True: counter.add(1)")
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        moving(counter)
        assert interp.interrupt()
        thread.join(LIMIT)
        assert [type(error) for error in errors] == [atoll.ExecutionInterrupted]
        assert_still(counter)

    def test_again_and_again(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        for _ in range(10):
            thread = in_thread(interp, functions.spin, counter)
            moving(counter, counter.load())
            assert interp.interrupt()
            assert type(outcome(thread)) is atoll.ExecutionInterrupted

    def test_finally_runs(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        cleaned = AtomicInt(0)
        thread = in_thread(interp, functions.spin_and_clean_up, counter, cleaned)
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert cleaned.load() == 1000
        assert_still(counter)

    def test_except_exception_does_not_catch_it(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.except_exception, counter)
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)

    def test_who_goes_on_is_told_again(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        caught = AtomicInt(0)
        thread = in_thread(interp, functions.catch_and_go_on, counter, caught, 2)
        moving(counter)
        assert interp.interrupt()
        # Twice it is caught, the third time it ends the call.
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert caught.load() == 2
        assert_still(counter)

    def test_who_catches_it_may_return(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.catch_and_return, counter)
        moving(counter)
        assert interp.interrupt()
        assert thread.future.result(LIMIT) == "Interrupted"
        thread.join(LIMIT)

    def test_a_later_failure_is_its_own(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.catch_then_fail, counter)
        moving(counter)
        assert interp.interrupt()
        error = outcome(thread)
        assert type(error) is atoll.ExecutionFailed
        assert error.excinfo.formatted == "ValueError: of its own"

    def test_a_failure_in_finally_is_the_interruption(
        self, interp: atoll.Interpreter, counter: AtomicInt
    ) -> None:
        thread = in_thread(interp, functions.fail_while_cleaning_up, counter)
        moving(counter)
        assert interp.interrupt()
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert error.excinfo.formatted == "ValueError: in finally"
        assert type(error.__cause__.__context__) is atoll.Interrupted

    def test_while_the_result_is_sent(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.unshareable_slowly, counter)
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)

    def test_beside_a_busy_thread_of_the_same_interpreter(
        self, interp: atoll.Interpreter, counter: AtomicInt
    ) -> None:
        stop = Event()
        thread = in_thread(interp, functions.spin_beside_threads, counter, stop)
        moving(counter)
        assert interp.interrupt(functions.Custom(7, "seven"))
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert type(error.__cause__) is functions.Custom
        assert (error.__cause__.number, error.__cause__.text) == (7, "seven")
        assert_still(counter)

    @pytest.mark.python(">=3.13")  # 3.12 does not switch threads that share a GIL: lifecycle.md
    def test_shared_gil(self, make: Make, counter: AtomicInt) -> None:
        interp = make(config="legacy")
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)

    def test_many_at_once(self, make: Make) -> None:
        interps = [make() for _ in range(6)]
        counters = [AtomicInt(0) for _ in interps]
        threads = [in_thread(i, functions.spin, c) for i, c in zip(interps, counters, strict=True)]
        for counter in counters:
            moving(counter)
        assert [interp.interrupt() for interp in interps] == [True] * 6
        for thread, counter in zip(threads, counters, strict=True):
            assert type(outcome(thread)) is atoll.ExecutionInterrupted
            assert_still(counter)


class TestWhatIsRaised:
    def test_a_class(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert interp.interrupt(KeyError)
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert type(error.__cause__) is KeyError
        assert error.excinfo.type.__name__ == "KeyError"

    def test_an_instance(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert interp.interrupt(exc=functions.Custom(3, "three"))
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert type(error.__cause__) is functions.Custom
        assert (error.__cause__.number, error.__cause__.text) == (3, "three")

    def test_none_is_what_no_argument_is(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert interp.interrupt(None)
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert error.excinfo.type.__name__ == "Interrupted"

    @pytest.mark.parametrize("wrong", [1, "text", object, int, [KeyError]])
    def test_wrong_types(self, interp: atoll.Interpreter, wrong: object) -> None:
        with pytest.raises(TypeError, match="exc must be an exception"):
            interp.interrupt(wrong)  # type: ignore[arg-type]

    def test_one_that_cannot_cross(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        with pytest.raises(atoll.NotShareableError):
            interp.interrupt(ValueError(threading.Lock()))
        before = counter.load()
        moving(counter, before)
        assert interp.interrupt()
        outcome(thread)


class TestNothingRuns:
    def test_idle(self, interp: atoll.Interpreter) -> None:
        assert interp.interrupt() is False
        assert interp.call(functions.count_to, 3) == 3
        assert interp.interrupt() is False
        assert interp.call(functions.count_to, 3) == 3

    def test_closed(self) -> None:
        interp = atoll.create()
        interp.close()
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.interrupt()

    def test_main(self) -> None:
        assert atoll.get_main().interrupt() is False

    def test_itself(self, interp: atoll.Interpreter) -> None:
        with pytest.raises(atoll.ExecutionInterrupted):
            interp.call(functions.interrupt_it, interp)
        assert interp.call(functions.count_to, 3) == 3


class TestNested:
    def test_the_inner(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        thread = in_thread(a, functions.call_other_and_note, b, functions.spin, counter)
        moving(counter)
        assert b.interrupt()
        error = outcome(thread)
        # B was interrupted; for A that is a failure like any other.
        assert type(error) is atoll.ExecutionFailed
        assert error.excinfo.type.__name__ == "ExecutionInterrupted"
        assert a.call(functions.what_was_seen) == ["ExecutionInterrupted"]
        assert_still(counter)

    def test_the_outer(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        thread = in_thread(a, functions.call_other_and_note, b, functions.spin, counter)
        moving(counter)
        assert a.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)
        assert not a.is_running() and not b.is_running()

    def test_the_outer_goes_on(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        after = AtomicInt(0)
        thread = in_thread(a, functions.call_other_and_go_on, b, functions.spin, counter, after)
        moving(counter)
        assert a.interrupt()
        # It took the inner one's end for a failure; but it is told itself.
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)
        assert_still(after)

    def test_only_the_inner_is_told(self, make: Make, counter: AtomicInt) -> None:
        a, b = make(), make()
        after = AtomicInt(0)
        thread = in_thread(a, functions.call_other_and_go_on, b, functions.spin, counter, after)
        moving(counter)
        assert b.interrupt()
        moving(after)
        assert_still(counter)
        assert thread.is_alive()
        assert a.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(after)

    @pytest.mark.parametrize("which", [0, 2, 5])
    def test_deep(self, make: Make, counter: AtomicInt, which: int) -> None:
        chain = [make() for _ in range(6)]
        thread = in_thread(chain[0], functions.call_others, chain[1:], counter)
        moving(counter)
        assert chain[which].interrupt()
        error = outcome(thread)
        assert type(error) is (atoll.ExecutionInterrupted if which == 0 else atoll.ExecutionFailed)
        assert_still(counter)
        assert not any(interp.is_running() for interp in chain)

    def test_from_another_interpreter(self, make: Make, counter: AtomicInt) -> None:
        target, other = make(), make()
        thread = in_thread(target, functions.spin, counter)
        assert other.call(functions.interrupt_when_moving, target, counter) is True
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)

    def test_from_many_threads(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        results: list[bool] = []
        others = [threading.Thread(target=lambda: results.append(interp.interrupt())) for _ in range(8)]
        for other in others:
            other.start()
        for other in others:
            other.join(LIMIT)
        assert any(results)
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert interp.call(functions.count_to, 3) == 3


def full_queue() -> atoll.Queue:
    queue = atoll.create_queue(1)
    queue.put(1)
    return queue


def unfinished_queue() -> atoll.Queue:
    queue = atoll.create_queue()
    queue.put(1)
    return queue


def held(lock: Any) -> Any:
    lock.acquire()
    return lock


#: name -> (function, argument)
WAITS: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
    "Queue.get": (functions.get_item, atoll.create_queue),
    "Queue.get_many": (functions.get_many, atoll.create_queue),
    "Queue iteration": (functions.iterate, atoll.create_queue),
    "Queue.join": (functions.join_queue, unfinished_queue),
    "wait": (functions.wait_queues, lambda: [atoll.create_queue(), atoll.create_queue()]),
    "Lock": (functions.acquire, lambda: held(Lock())),
    "RLock": (functions.acquire, lambda: held(RLock())),
    "Semaphore": (functions.acquire, lambda: Semaphore(0)),
    "Event": (functions.wait_for, Event),
    "Condition": (functions.wait_condition, Condition),
    "Barrier": (functions.wait_for, lambda: Barrier(2)),
}


class TestWaits:
    @pytest.mark.parametrize("name", WAITS)
    def test_interrupted(self, interp: atoll.Interpreter, name: str) -> None:
        function, make_argument = WAITS[name]
        argument = make_argument()
        started = Event()
        thread = in_thread(interp, functions.announce_and, started, function, argument)
        started.wait(LIMIT)
        assert interp.interrupt(functions.Custom(1, name))
        error = outcome(thread)
        assert type(error) is atoll.ExecutionInterrupted
        assert type(error.__cause__) is functions.Custom
        assert error.__cause__.text == name
        assert interp.call(functions.count_to, 3) == 3

    def test_put(self, interp: atoll.Interpreter) -> None:
        queue = full_queue()
        started = Event()
        thread = in_thread(interp, functions.announce_and, started, functions.put_item, queue, 2)
        started.wait(LIMIT)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert queue.get_nowait() == 1
        with pytest.raises(atoll.QueueEmpty):
            queue.get_nowait()

    @pytest.mark.parametrize("name", WAITS)
    def test_of_a_nested_call(self, make: Make, name: str) -> None:
        function, make_argument = WAITS[name]
        a, b = make(), make()
        started = Event()
        thread = in_thread(
            a, functions.call_other, b, functions.announce_and, started, function, make_argument()
        )
        started.wait(LIMIT)
        assert a.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert not b.is_running()

    @pytest.mark.parametrize("name", WAITS)
    def test_deadline(self, interp: atoll.Interpreter, name: str) -> None:
        function, make_argument = WAITS[name]
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.05).call(function, make_argument())
        assert interp.call(functions.count_to, 3) == 3


class TestEventLoops:
    """One that has nothing to do sleeps in C, and is woken all the same."""

    @pytest.mark.parametrize("nested", [False, True])
    def test_interrupted(self, make: Make, nested: bool) -> None:
        a, b = make(), make()
        started, cleaned = Event(), AtomicInt(0)
        what = functions.sleep_in_event_loop, started, cleaned
        for turn in range(1, 3):  # the second time asyncio is there already
            thread = in_thread(a, functions.call_other, b, *what) if nested else in_thread(a, *what)
            assert started.wait(LIMIT)
            assert a.interrupt()
            assert type(outcome(thread)) is atoll.ExecutionInterrupted
            assert cleaned.load() == turn
            started.clear()

    def test_deadline(self, interp: atoll.Interpreter) -> None:
        interp.exec("import asyncio; asyncio.run(asyncio.sleep(0))")
        for timeout in longer_deadlines(0.3):
            started, cleaned = Event(), AtomicInt(0)
            with pytest.raises(atoll.ExecutionTimeout):
                interp.options(timeout=timeout).call(functions.sleep_in_event_loop, started, cleaned)
            if started.is_set():  # from within the try block
                break
        assert started.is_set()
        assert cleaned.load() == 1

    def test_in_a_thread(self) -> None:
        """close(interrupt=True) ends it."""
        interp = atoll.create()
        started, cleaned = Event(), AtomicInt(0)
        interp.prepare_main(started=started, cleaned=cleaned)
        interp.exec(
            "import threading\n"
            "from stop_functions import sleep_in_event_loop\n"
            "threading.Thread(target=sleep_in_event_loop, args=(started, cleaned)).start()"
        )
        assert started.wait(LIMIT)
        interp.close(interrupt=True, timeout=LIMIT)
        assert cleaned.load() == 1

    def test_one_that_cannot_be_watched(self, interp: atoll.Interpreter) -> None:
        """It works as ever."""
        interp.exec(
            "import asyncio\n"
            "class Loop(asyncio.SelectorEventLoop):\n"
            "    def add_reader(self, fd, callback, *args):\n"
            "        raise NotImplementedError\n"
            "loop = Loop()\n"
            "assert loop.run_until_complete(asyncio.sleep(0, 'slept')) == 'slept'\n"
            "loop.close()\n"
        )


class TestThreads:
    def test_its_own_call(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert thread.interrupt() is True
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)
        assert thread.interrupt() is False

    def test_no_other_call(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        first = in_thread(interp, functions.noop)
        first.join(LIMIT)
        second = in_thread(interp, functions.spin, counter)
        moving(counter)
        assert first.interrupt() is False
        before = counter.load()
        moving(counter, before)
        assert second.interrupt(functions.Custom(2, "second")) is True
        assert type(outcome(second).__cause__) is functions.Custom

    def test_before_it_begins(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        """Interrupted between its start and its call, it never runs."""
        for _ in range(200):
            thread = in_thread(interp, functions.spin, counter)
            assert thread.interrupt() is True
            assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert_still(counter)

    def test_without_a_future(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        reported: list[Any] = []
        old, threading.excepthook = threading.excepthook, reported.append
        try:
            thread = interp.call_in_thread(functions.spin, counter)
            moving(counter)
            assert thread.interrupt()
            thread.join(LIMIT)
        finally:
            threading.excepthook = old
        assert [entry.exc_type for entry in reported] == [atoll.ExecutionInterrupted]

    @pytest.mark.parametrize("where", ["threading.Event.wait", "_thread.daemon_threads_allowed"])
    def test_a_start_that_is_cut_off(self, where: str) -> None:
        """Ctrl-C within call_in_thread: the call ends before long, if it begins, and nothing waits for it."""
        run_child(f"""
            import atoll, atoll._threads, _thread, threading
            from atoll.sync import Event
            atoll._threads.GRACE = 60
            never, interp = Event(), atoll.create()
            interp.call_in_thread(never.is_set).join()
            before = {where}
            def cut(*args):
                raise KeyboardInterrupt
            def try_it():
                {where} = cut
                try:
                    interp.call_in_thread(never.wait)
                finally:
                    {where} = before
            try:
                try_it()
            except KeyboardInterrupt:
                print("cut")
            try:
                with interp:
                    try_it()
            except KeyboardInterrupt:
                print("cut")
            for thread in threading.enumerate():
                if thread is not threading.main_thread():
                    thread._started.wait()
                    thread.join()
            print(never.is_set(), atoll.list_all() == [atoll.get_main()])
            """).check("cut\ncut\nFalse True\n")

    @pytest.mark.parametrize("how", ["join", "result", "exception"])
    def test_of_one_inside(self, interp: atoll.Interpreter, how: str) -> None:
        """Who waits for a thread within the interpreter is woken; the thread goes on."""
        started = Event()
        thread = interp.call_in_thread(functions.wait_for_thread, started, how)
        future = thread.future
        assert started.wait(LIMIT)
        thread.interrupt()
        with pytest.raises(atoll.ExecutionInterrupted):
            future.result(LIMIT)

    def test_one_inside_is_awaited_for_a_time(self, interp: atoll.Interpreter) -> None:
        interp.exec("""if True:
            import atoll, pytest
            from atoll.sync import Event
            event = Event()
            thread = atoll.create().call_in_thread(event.wait)
            try:
                for seconds in (0, -1, 0.001):
                    thread.join(seconds)
                    assert thread.is_alive()
                    with pytest.raises(TimeoutError):
                        thread.future.result(seconds)
                    with pytest.raises(TimeoutError):
                        thread.future.exception(seconds)
            finally:
                event.set()
            thread.join()
            assert not thread.is_alive() and thread.future.result() is True
            assert thread.future.exception() is None
            failing = atoll.create().call_in_thread(int, "x")
            assert failing.future.exception().excinfo.type.__name__ == "ValueError"
            failing.join()
            """)


class TestFirstCall:
    """It sets its interpreter up; what it is told meanwhile reaches its code."""

    @pytest.mark.parametrize(
        "exc", [atoll.Interrupted, functions.Custom(1, "early")], ids=["plain", "custom"]
    )
    def test_interrupt(self, exc: Any, counter: AtomicInt) -> None:
        for _ in range(10):
            with atoll.create() as interp:
                thread = in_thread(interp, functions.spin, counter)
                while not interp.is_running():
                    pass
                assert interp.interrupt(exc)
                error = outcome(thread)
                assert type(error) is atoll.ExecutionInterrupted
                # Not its __cause__: the module of the class may be the one whose import it cut short.
                kind = exc if isinstance(exc, type) else type(exc)
                assert error.excinfo is not None and error.excinfo.type.__name__ == kind.__name__

    def test_close(self, counter: AtomicInt) -> None:
        for number in range(20):
            interp = atoll.create()
            thread = in_thread(interp, functions.spin, counter)
            while number % 2 and not interp.is_running() and thread.is_alive():
                pass
            interp.close(interrupt=True, timeout=LIMIT)
            assert isinstance(outcome(thread), atoll.InterpreterError)
            assert interp not in atoll.list_all()


class TestDropped:
    """What is told where exceptions are dropped ends the call all the same."""

    def test_in_a_finalizer(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.finalize_and_return, counter)
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted

    def test_while_arguments_are_built(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        called = AtomicInt(0)
        thread = in_thread(interp, functions.add_to, called, functions.DroppedWhileBuilt(counter))
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted
        assert called.load() == 0

    def test_while_the_result_is_sent(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        thread = in_thread(interp, functions.result_that_drops, counter)
        moving(counter)
        assert interp.interrupt()
        assert type(outcome(thread)) is atoll.ExecutionInterrupted

    def test_importing(self, interp: atoll.Interpreter, counter: AtomicInt) -> None:
        """No lock of importlib's stays taken: the next thread can import."""
        for _ in range(200):
            thread = in_thread(interp, functions.import_again, counter)
            moving(counter, counter.load())
            assert interp.interrupt()
            assert type(outcome(thread)) is atoll.ExecutionInterrupted

    def test_where_the_end_of_objects_is_noticed(self) -> None:
        """Atoll's own callback of weak references lets none through, and complains of none."""
        run_child(f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import atoll, stop_functions as functions
            from atoll.sync import AtomicInt
            counter = AtomicInt(0)
            with atoll.create() as interp:
                for _ in range(200):
                    thread = interp.call_in_thread(functions.identify_and_drop, counter)
                    future, before = thread.future, counter.load()
                    while counter.load() < before + 100:
                        pass
                    assert interp.interrupt()
                    assert type(future.exception()) is atoll.ExecutionInterrupted
                    thread.join()
        """).check()

    def test_in_a_pool(self, counter: AtomicInt) -> None:
        with atoll.InterpreterPoolExecutor(1) as pool:
            for func, args in [
                (functions.finalize_and_return, ()),
                (functions.add_to, (functions.DroppedWhileBuilt(counter),)),
                (functions.result_that_drops, ()),
            ]:
                before = counter.load()
                future = pool.submit(func, counter, *args)
                moving(counter, before)
                assert future.interrupt()
                assert type(future.exception(LIMIT)) is atoll.ExecutionInterrupted
            assert pool.submit(functions.noop).result(LIMIT) is None
            assert pool.stats()["restarts"] == 0


class TestExactly:
    """Every interrupt() that says True ends exactly one call, and nothing else does."""

    @pytest.mark.parametrize("exc", [atoll.Interrupted, functions.Custom(1, "race")], ids=["plain", "custom"])
    def test_race(self, make: Make, exc: Any) -> None:
        # The calls are made in an interpreter of their own, so that the two
        # threads do not share a GIL.
        driver, target = make(), make()
        enough, made, interrupted = AtomicInt(0), AtomicInt(0), AtomicInt(0)
        calls = 1_000_000 if LONG else 100_000
        thread = in_thread(driver, functions.drive, target, enough, made, interrupted)
        hits = 0
        try:
            while made.load() < calls or hits < 100:
                if target.interrupt(exc):
                    hits += 1
                    end = time.monotonic() + LIMIT
                    while interrupted.load() < hits:
                        os.sched_yield()  # the other thread may need this very processor
                        assert time.monotonic() < end, "a promised interruption was lost"
        finally:
            enough.store(1)
            other = thread.future.result(LIMIT)
            thread.join(LIMIT)
        assert other == []
        assert interrupted.load() == hits

    def test_deadlines_race(self, make: Make) -> None:
        """A deadline that passes late never hits the call after it."""
        driver, target = make(), make()
        calls = 100_000 if LONG else 10_000
        for timeout in (0.000001, 0.00001, 0.0001):
            late, other = driver.call(functions.drive_deadlines, target, calls, timeout)
            assert other == 0
            assert 0 <= late <= calls


def start_one_that_is_slow(begins: Event) -> None:
    import threading
    import time

    class Slow(threading.Thread):
        def _set_ident(self) -> None:  # called before start() goes on
            super()._set_ident()  # type: ignore[misc]
            begins.set()
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

        def run(self) -> None:
            while True:
                pass

    threading.Thread(target=lambda: Slow().start()).start()


def test_close_while_a_thread_is_just_starting() -> None:
    """It begins before it is interrupted: who starts it would wait for ever, and so would close()."""
    begins = Event()
    interp = atoll.create()
    interp.call(start_one_that_is_slow, begins)
    begins.wait(LIMIT)
    interp.close(interrupt=True, timeout=LIMIT)
    assert interp not in atoll.list_all()
