"""call_in_thread(), its future, and the with statement."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from typing import Any

import pytest
from children import LIMIT, LONG, run_child
from ctrl_c_at import CtrlCAt

import atoll
from atoll import _future, _threads
from atoll.sync import Event


@pytest.fixture
def interp() -> Any:
    made = atoll.create()
    yield made
    try:
        made.close()
    except atoll.InterpreterNotFoundError:
        pass


class Own(Exception):
    pass


def fail(go: Any, text: str) -> None:
    go.wait()
    raise KeyError(text)


class TestThread:
    def test_is_a_started_thread(self, interp: atoll.Interpreter) -> None:
        go = Event()
        thread = interp.call_in_thread(go.wait)
        assert isinstance(thread, threading.Thread)
        assert thread.is_alive() and not thread.daemon
        assert thread in threading.enumerate()
        with pytest.raises(RuntimeError):
            thread.start()
        go.set()
        thread.join(LIMIT)
        assert not thread.is_alive()

    def test_runs_in_that_thread_with_arguments(self, interp: atoll.Interpreter) -> None:
        def f(*args: Any, **kwargs: Any) -> Any:
            return args, kwargs, threading.get_native_id(), atoll.get_current().id

        thread = interp.call_in_thread(f, 1, "two", three=[3], self=0, timeout=5, callable=7)
        args, kwargs, ident, id = thread.future.result(LIMIT)
        thread.join()
        assert (args, kwargs) == ((1, "two"), {"three": [3], "self": 0, "timeout": 5, "callable": 7})
        assert ident == thread.native_id and id == interp.id

    def test_has_ended_in_the_child_of_a_fork(self) -> None:
        """As every thread but the one that forks; join() does not wait for what nobody will tell."""
        run_child(
            """
            import atoll, os, warnings
            from atoll import sync
            warnings.simplefilter("ignore")
            interp, event = atoll.create(), sync.Event()
            thread = interp.call_in_thread(event.wait)
            child = os.fork()
            if child == 0:
                thread.join()
                thread.join(60)
                print(thread.is_alive(), flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            event.set()
            """
        ).check("False\n")

    @pytest.mark.parametrize("timeout", [-1, 0, 1e-9, threading.TIMEOUT_MAX])
    def test_join_with_any_timeout(self, interp: atoll.Interpreter, timeout: float) -> None:
        event = Event()
        thread = interp.call_in_thread(event.wait)
        if timeout > 1:
            event.set()
        thread.join(timeout)
        assert thread.is_alive() == (timeout < 1)
        if timeout < 1:
            with pytest.raises(OverflowError):
                thread.join(1e300)
        event.set()
        thread.join()
        thread.join(timeout)

    def test_the_current_thread_there_is_known(self, interp: atoll.Interpreter) -> None:
        """threading inside tells a thread that is no main thread; locks and conditions work in it."""

        def look() -> Any:
            me = threading.current_thread()
            return me is threading.main_thread(), me.ident == threading.get_ident(), me.is_alive()

        assert interp.call(look) == (True, True, True)
        thread = interp.call_in_thread(look)
        assert thread.future.result(LIMIT) == (False, True, True)
        thread.join()

    def test_wrong_arguments(self, interp: atoll.Interpreter) -> None:
        with pytest.raises(TypeError):
            interp.call_in_thread()  # type: ignore[call-arg]

    def test_arguments_are_held_until_sent(self, interp: atoll.Interpreter) -> None:
        thread = interp.call_in_thread(len, [0] * 1000)
        assert thread.future.result(LIMIT) == 1000
        thread.join()

    def test_from_inside_another_interpreter(self, interp: atoll.Interpreter) -> None:
        outer = atoll.create()

        def go(inner: atoll.Interpreter) -> Any:
            thread = inner.call_in_thread(lambda: atoll.get_current().id)
            got = thread.future.result(60)
            thread.join()
            return got

        assert outer.call(go, interp) == interp.id
        outer.close()


class TestErrors:
    def test_that_nobody_asks_for(self) -> None:
        run_child(
            """
            import threading, atoll
            told = []
            threading.excepthook = told.append
            interp = atoll.create()
            thread = interp.call_in_thread(int, "x")
            thread.join()
            args, = told
            assert args.exc_type is atoll.ExecutionFailed and args.thread is thread
            assert type(args.exc_value.__cause__) is ValueError
            # Asked for after it has ended, it is there all the same.
            assert thread.future.exception(60) is args.exc_value
            del told, args
            """
        ).check()

    def test_default_hook(self) -> None:
        done = run_child(
            """
            import atoll
            atoll.create(name="the name").call_in_thread(int, "x").join()
            """
        )
        assert done.status == 0 and done.out == ""
        assert "Exception in thread the name-1 (int)" in done.err
        assert "ValueError: invalid literal" in done.err

    def test_that_somebody_asks_for(self, interp: atoll.Interpreter) -> None:
        """No excepthook is called: pytest would make that an error."""
        go = Event()
        thread = interp.call_in_thread(fail, go, "k")
        future = thread.future
        go.set()
        error = future.exception(LIMIT)
        thread.join()
        assert type(error) is atoll.ExecutionFailed and type(error.__cause__) is KeyError

    def test_that_cannot_be_sent(self, interp: atoll.Interpreter) -> None:
        run_child(
            """
            import threading, atoll
            told = []
            threading.excepthook = told.append
            interp = atoll.create()
            thread = interp.call_in_thread(id, threading.Lock())
            thread.join()
            assert told.pop().exc_type is atoll.NotShareableError
            assert "args[0]" in str(thread.future.exception(60))
            thread = interp.call_in_thread(3)
            thread.join()
            assert told.pop().exc_type is TypeError
            """
        ).check()

    def test_system_exit(self) -> None:
        """As the standard module does it: it is a failure there, and no end of the process."""
        done = run_child(
            """
            import sys, threading, atoll
            told = []
            threading.excepthook = told.append
            thread = atoll.create().call_in_thread(sys.exit, 5)
            thread.join()
            error = told.pop().exc_value
            assert error.excinfo.type.__name__ == "SystemExit"
            """
        )
        done.check()


class TestFuture:
    def test_wait_and_as_completed(self) -> None:
        interps = [atoll.create() for _ in range(3)]
        threads = [interp.call_in_thread(pow, 2, n) for n, interp in enumerate(interps)]
        futures = [thread.future for thread in threads]
        assert all(isinstance(f, concurrent.futures.Future) for f in futures)
        done, not_done = concurrent.futures.wait(futures, timeout=LIMIT)
        assert not not_done and {f.result() for f in done} == {1, 2, 4}
        assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == [1, 2, 4]
        assert all(thread.future is future for thread, future in zip(threads, futures, strict=True))
        for thread, interp in zip(threads, interps, strict=True):
            thread.join()
            interp.close()

    def test_wrap_future(self, interp: atoll.Interpreter) -> None:
        async def main() -> Any:
            thread = interp.call_in_thread(sum, [1, 2])
            result = await asyncio.wrap_future(thread.future)
            thread.join()
            return result

        assert asyncio.run(main()) == 3

    def test_is_running_and_cannot_be_cancelled(self, interp: atoll.Interpreter) -> None:
        go = Event()
        thread = interp.call_in_thread(go.wait)
        future = thread.future
        assert future.running() and not future.cancel()
        go.set()
        assert future.result(LIMIT) is True
        thread.join()

    def test_asked_for_by_many_threads_at_once(self, interp: atoll.Interpreter) -> None:
        go = Event()
        thread = interp.call_in_thread(go.wait)
        found: list[Any] = []
        askers = [threading.Thread(target=lambda: found.append(thread.future)) for _ in range(8)]
        for asker in askers:
            asker.start()
        go.set()
        for asker in askers:
            asker.join()
        thread.join()
        assert len(found) == 8 and len(set(map(id, found))) == 1
        assert found[0].result(LIMIT) is True

    def test_callback_that_uses_the_interpreter(self, interp: atoll.Interpreter) -> None:
        got: list[Any] = []
        go = Event()
        thread = interp.call_in_thread(go.wait)
        thread.future.add_done_callback(lambda f: got.append(interp.call(len, "abc")))
        go.set()
        thread.join()
        assert got == [3]


class TestWith:
    def test_interrupted_while_a_thread_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C in Thread.start() ends the wait for the thread, which starts all the same."""
        real = threading.Thread.start

        def start(self: threading.Thread) -> None:
            event = self._started  # type: ignore[attr-defined]

            def wait(timeout: float | None = None) -> bool:
                del event.wait
                raise KeyboardInterrupt

            event.wait = wait
            real(self)

        monkeypatch.setattr(threading.Thread, "start", start)
        monkeypatch.setattr(threading, "excepthook", lambda args: None)
        monkeypatch.setattr("atoll._threads.GRACE", LIMIT)
        with pytest.raises(KeyboardInterrupt), atoll.create() as interp:
            interp.call_in_thread(pow, 2, 3)
        monkeypatch.undo()
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.call(len, ())

    def test_joins_and_closes(self) -> None:
        order = []
        with atoll.create() as interp:
            assert isinstance(interp, atoll.Interpreter)
            thread = interp.call_in_thread(lambda: sum(range(1000)))
            thread.future.add_done_callback(lambda f: order.append("ended"))
        order.append("left")
        assert order == ["ended", "left"]
        assert not thread.is_alive()
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.is_running()

    def test_body_that_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What runs is interrupted; the body's exception is the one that is seen."""
        monkeypatch.setattr("atoll._threads.GRACE", LIMIT)
        go, inside = Event(), Event()

        def wait(inside: Any, go: Any) -> None:
            inside.set()
            go.wait()

        with pytest.raises(Own, match="mine"):
            with atoll.create() as interp:
                thread = interp.call_in_thread(wait, inside, go)
                future = thread.future
                assert inside.wait(LIMIT)
                raise Own("mine")
        assert not thread.is_alive()
        assert isinstance(future.exception(), atoll.ExecutionInterrupted)
        assert interp not in atoll.list_all()

    def test_closed_in_the_body(self) -> None:
        with atoll.create() as interp:
            interp.close()
        with pytest.raises(Own):
            with atoll.create() as interp:
                interp.close()
                raise Own

    def test_thread_that_failed(self) -> None:
        with atoll.create() as interp:
            go = Event()
            thread = interp.call_in_thread(fail, go, "k")
            future = thread.future
            go.set()
        assert isinstance(future.exception(), atoll.ExecutionFailed)

    def test_control_flow(self) -> None:
        def f() -> int:
            with atoll.create() as interp:
                return interp.call(len, "abc")

        assert f() == 3
        for n in range(2):
            with atoll.create() as interp:
                continue
        assert interp not in atoll.list_all()

    def test_nested_in_an_interpreter(self, interp: atoll.Interpreter) -> None:
        def f() -> Any:
            with atoll.create() as inner:
                return inner.call(len, "abc")

        before = [i.id for i in atoll.list_all()]
        assert interp.call(f) == 3
        assert [i.id for i in atoll.list_all()] == before

    def test_not_closable(self) -> None:
        with pytest.raises(atoll.InterpreterError):
            with atoll.get_main():
                pass
        with pytest.raises(Own):
            with atoll.get_main():
                raise Own


class TestClosing:
    def test_thread_of_its_own_is_joined(self) -> None:
        interp = atoll.create()
        interp.exec("""
            import threading, time
            done = []
            thread = threading.Thread(target=lambda: (time.sleep(0.05), print("thread done")))
            thread.start()
        """)
        interp.close()
        assert interp not in atoll.list_all()

    def test_daemon_thread_is_named(self) -> None:
        run_child(
            """
            import atoll
            from atoll.sync import Event
            go = Event()
            config = atoll.InterpreterConfig(allow_daemon_threads=True)
            interp = atoll.create(config=config)
            def start(go):
                import threading
                global thread
                thread = threading.Thread(target=go.wait, daemon=True, name="the stuck one")
                thread.start()
            interp.call(start, go)
            try:
                interp.close()
            except atoll.InterpreterError as error:
                assert "daemon thread 'the stuck one' still runs in it" in str(error), error
            else:
                raise AssertionError("closed")
            assert interp.call(len, "abc") == 3  # usable
            go.set()
            interp.call(lambda: thread.join())
            interp.close()
            """
        ).check()

    def test_from_another_thread_and_at_once_from_two(self) -> None:
        for _ in range(5):
            interp = atoll.create()
            interp.call(len, ())
            results: list[Any] = []
            barrier = threading.Barrier(2)

            def close() -> None:
                barrier.wait(LIMIT)
                try:
                    interp.close()
                except atoll.InterpreterError as error:
                    results.append(type(error))
                else:
                    results.append(None)

            threads = [threading.Thread(target=close) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert results.count(None) == 1
            assert results.count(atoll.InterpreterNotFoundError) == 1

    def test_from_inside(self, interp: atoll.Interpreter) -> None:
        def close_self(**how: Any) -> str:
            try:
                atoll.get_current().close(**how)
            except atoll.InterpreterError as error:
                return str(error)
            return "closed"

        assert "running" in interp.call(close_self) or "itself" in interp.call(close_self)
        assert interp.call(close_self, interrupt=True, timeout=1) != "closed"
        assert interp.call(len, "abc") == 3

    def test_twice_and_by_a_caller_s_caller(self) -> None:
        one, other = atoll.create(), atoll.create()

        def close(target: atoll.Interpreter) -> str:
            try:
                target.close()
            except atoll.InterpreterError as error:
                return str(error)
            return "closed"

        # It runs: its call to the other is what closes it.
        assert "running" in one.call(lambda c, a, b: b.call(c, a), close, one, other)
        assert other.call(close, one) == "closed"
        with pytest.raises(atoll.InterpreterNotFoundError):
            one.close()
        assert "closed" in other.call(close, one)
        other.close()

    def test_with_kept_states_of_ended_threads(self) -> None:
        """OS threads that visited it have ended, or live on, when it is closed."""
        interp = atoll.create()
        stay, inside = threading.Event(), threading.Barrier(4)

        def visit(stays: bool) -> None:
            while True:
                try:
                    assert interp.call(len, "ab") == 2
                    break
                except atoll.InterpreterError:
                    pass  # another thread's turn
            if stays:
                inside.wait(LIMIT)
                stay.wait(LIMIT)

        gone = [threading.Thread(target=visit, args=(False,)) for _ in range(3)]
        staying = [threading.Thread(target=visit, args=(True,)) for _ in range(3)]
        for thread in gone + staying:
            thread.start()
        inside.wait(LIMIT)
        for thread in gone:
            thread.join()
        interp.close()
        stay.set()
        for thread in staying:
            thread.join()
        assert interp not in atoll.list_all()

    def test_wrong_arguments(self, interp: atoll.Interpreter) -> None:
        for attempt in (
            lambda: interp.close(1),  # type: ignore[call-arg]
            lambda: interp.close(other=1),  # type: ignore[call-arg]
            lambda: interp.close(interrupt=True, timeout="x"),  # type: ignore[arg-type]
        ):
            with pytest.raises(TypeError):
                attempt()
        with pytest.raises(ValueError, match="NaN"):
            interp.close(interrupt=True, timeout=float("nan"))
        assert interp.call(len, "abc") == 3

    def test_interrupts_what_runs(self) -> None:
        interp = atoll.create()
        inside, go = Event(), Event()

        def wait(inside: Any, go: Any) -> None:
            inside.set()
            go.wait()

        thread = interp.call_in_thread(wait, inside, go)
        future = thread.future
        assert inside.wait(LIMIT)
        interp.close(interrupt=True, timeout=None)
        assert isinstance(future.exception(LIMIT), atoll.ExecutionInterrupted)
        thread.join()

    def test_interrupts_what_begins_meanwhile(self) -> None:
        """A thread that makes one call after the other does not keep it from being closed."""
        for _ in range(30):
            interp = atoll.create()
            started = threading.Event()

            def keep_calling(interp: atoll.Interpreter, started: threading.Event) -> None:
                while True:
                    try:
                        interp.call(abs, -1)
                    except atoll.ExecutionInterrupted:
                        pass
                    except atoll.InterpreterNotFoundError:
                        return
                    except atoll.InterpreterError:
                        pass
                    started.set()

            thread = threading.Thread(target=keep_calling, args=(interp, started), daemon=True)
            thread.start()
            assert started.wait(LIMIT)
            interp.close(interrupt=True, timeout=LIMIT)
            assert interp not in atoll.list_all()
            thread.join(LIMIT)
            assert not thread.is_alive()

    def test_half_ended_stays_so(self) -> None:
        """Its atexit functions have run: it is not opened again by another close() that fails."""
        interp = atoll.create()
        go = Event()
        interp.prepare_main(go=go)
        interp.exec("""
            import atexit, _thread
            atexit.register(lambda: _thread.start_new_thread(go.wait, ()))
        """)
        for expected in ("half ended", "cannot close"):
            with pytest.raises(atoll.InterpreterError, match=expected):
                interp.close()
            with pytest.raises(atoll.InterpreterError):
                interp.call(abs, -1)
        go.set()
        until = time.monotonic() + LIMIT
        while interp in atoll.list_all():  # until that thread has gone
            try:
                interp.close(interrupt=True, timeout=LIMIT)
            except atoll.InterpreterError:
                if time.monotonic() > until:
                    raise


def test_exit_inside_a_thread_of_the_interpreter() -> None:
    run_child(
        """
        import sys, threading, atoll
        interp = atoll.create()
        interp.exec('''
            import threading, sys
            thread = threading.Thread(target=sys.exit, args=(3,))
            thread.start(); thread.join()
        ''')
        interp.close()
        """
    ).check()


def test_ctrl_c_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes, the block ends by it, and leaves neither a thread nor anything that is waited for."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)  # of those that close() interrupts
    before = atoll.list_all()
    at, step = 1, 1 if LONG else 9
    while True:
        interp = None
        ctrl_c = CtrlCAt(at, _threads, _future)
        try:
            with ctrl_c, atoll.create() as interp:
                thread = interp.call_in_thread(pow, 2, 3)
                thread.join()
                assert interp.options(timeout=1e6).call_in_thread(pow, 2, 4).future.result() == 16
                interp.call_in_thread(pow, 2, 5)
        except KeyboardInterrupt:
            pass
        if interp is not None and interp in atoll.list_all():
            interp.close(interrupt=True, timeout=LIMIT)
        for thread in threading.enumerate():
            if isinstance(thread, _threads.InterpreterThread):
                thread.join(LIMIT)
                assert not thread.is_alive(), at
        assert not _threads._awaited, at
        if not ctrl_c.came:
            break
        at += step
    assert atoll.list_all() == before
    assert at > 200, "it was never reached"
