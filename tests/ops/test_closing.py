"""Interpreter.add_close_callback()."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from typing import Any

import closing_functions as functions
import pytest

import atoll
from atoll import _core
from atoll.sync import Event

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
from children import LIMIT, run_child

#: A child that says what its callback is told.
SAY = """
import atoll, sys
def say(closed):
    print("closed", closed.id, closed.name, "in", atoll.get_current().id, flush=True)
interp = atoll.create(name="one")
interp.add_close_callback(say)
"""


class TestHowItEnds:
    def test_close(self) -> None:
        heard: list[tuple[atoll.Interpreter, int, bool]] = []
        interp = atoll.create(name="spam")

        def call(closed: atoll.Interpreter) -> None:
            heard.append((closed, threading.get_ident(), closed in atoll.list_all()))

        interp.add_close_callback(call)
        interp.call(functions.close, atoll.create())
        assert heard == []
        interp.close()
        assert heard == [(interp, threading.get_ident(), False)]
        assert heard[0][0].name == "spam"
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.close()
        assert len(heard) == 1

    def test_with_block(self) -> None:
        heard: list[atoll.Interpreter] = []
        with atoll.create() as interp:
            interp.add_close_callback(heard.append)
            assert heard == []
        assert heard == [interp]

    def test_closed_already(self) -> None:
        heard: list[atoll.Interpreter] = []
        interp = atoll.create()
        interp.close()
        interp.add_close_callback(heard.append)
        assert heard == [interp]

    def test_by_another_thread(self) -> None:
        heard: list[int] = []
        interp = atoll.create()
        interp.add_close_callback(lambda closed: heard.append(threading.get_ident()))
        thread = threading.Thread(target=interp.close)
        thread.start()
        ident = thread.ident
        thread.join()
        assert heard == [ident]

    def test_by_a_sibling(self, interp: atoll.Interpreter) -> None:
        heard: list[tuple[int, int]] = []
        target = atoll.create()
        target.add_close_callback(
            lambda closed: heard.append((atoll.get_current().id, threading.get_ident()))
        )
        assert interp.call(functions.close, target) == threading.get_ident()
        assert heard == [(0, threading.get_ident())]

    def test_by_a_sibling_in_its_thread(self, interp: atoll.Interpreter) -> None:
        heard: list[tuple[int, int]] = []
        target = atoll.create()
        target.add_close_callback(
            lambda closed: heard.append((atoll.get_current().id, threading.get_ident()))
        )
        thread = interp.call_in_thread(functions.close, target)
        ident = thread.future.result()
        thread.join()
        assert heard == [(0, ident)]
        assert ident != threading.get_ident()

    def test_for_a_sibling(self, interp: atoll.Interpreter) -> None:
        queue = atoll.create_queue()
        target = atoll.create()
        interp.call(functions.watch, target, queue)
        target.close()
        assert queue.get_nowait() == (target.id, interp.id, True, threading.get_ident())
        assert interp.call(len, "it is as good as before") == 23

    def test_for_a_sibling_that_is_running(self, interp: atoll.Interpreter) -> None:
        queue = atoll.create_queue()
        target = atoll.create()
        interp.call(functions.watch, target, queue)
        started, release = Event(), Event()
        thread = interp.call_in_thread(functions.hold, started, release)
        assert started.wait(120)
        target.close()
        assert queue.get_nowait()[:2] == (target.id, interp.id)
        release.set()
        thread.join()

    def test_itself_it_cannot_close(self, interp: atoll.Interpreter) -> None:
        heard: list[atoll.Interpreter] = []
        interp.add_close_callback(heard.append)
        with pytest.raises(atoll.ExecutionFailed, match="cannot close itself"):
            interp.call(functions.close, interp)
        assert heard == []
        interp.close()
        assert heard == [interp]

    def test_last_reference(self) -> None:
        heard: list[int] = []
        interp = atoll.create()
        number = interp.id
        interp.add_close_callback(lambda closed: heard.append(closed.id))
        del interp
        gc.collect()
        atoll.create().close()  # a call into atoll ends it, if nothing has yet
        assert heard == [number]

    def test_interrupted(self, interp: atoll.Interpreter) -> None:
        heard: list[bool] = []
        started, release = Event(), Event()
        thread = interp.call_in_thread(functions.hold, started, release)
        thread.future  # noqa: B018  its error is asked for
        assert started.wait(120)
        interp.add_close_callback(lambda closed: heard.append(True))
        with pytest.raises(atoll.InterpreterError):
            interp.close()
        assert heard == []
        interp.close(interrupt=True, timeout=120)
        assert heard == [True]
        thread.join()

    def test_its_memory_is_seen(self, interp: atoll.Interpreter) -> None:
        """Closed for everybody, though its end waits for a view: told once."""
        heard: list[atoll.Interpreter] = []
        view = interp.call(memoryview, b"spam" * 1000)
        interp.add_close_callback(heard.append)
        interp.close()
        assert heard == [interp]
        interp.add_close_callback(heard.append)
        assert heard == [interp, interp]
        assert bytes(view[:4]) == b"spam"
        del view
        atoll.create().close()
        assert len(heard) == 2

    def test_a_pool_replaces_its_worker(self) -> None:
        heard = atoll.create_queue()
        with atoll.InterpreterPoolExecutor(1, max_tasks_per_child=1) as pool:
            pool.submit(len, "").result()
            worker = pool.submit(atoll.get_current).result()
            worker.add_close_callback(lambda closed: heard.put(closed.id))
            pool.submit(len, "").result()
        assert heard.get(timeout=120) == worker.id

    @pytest.mark.python(">=3.13")
    def test_by_the_standard_module(self) -> None:
        import _interpreters  # type: ignore[import-not-found]

        heard: list[int] = []
        interp = atoll.create()
        interp.add_close_callback(lambda closed: heard.append(closed.id))
        _interpreters.destroy(interp.id)
        assert heard == [interp.id]

    @pytest.mark.python(">=3.13")
    def test_made_by_the_standard_module(self) -> None:
        import _interpreters

        heard: list[int] = []
        number = _interpreters.create(reqrefs=True)
        _interpreters.incref(number)
        interp = atoll.Interpreter(number)
        interp.add_close_callback(lambda closed: heard.append(closed.id))
        del interp
        gc.collect()
        assert heard == []
        _interpreters.decref(number)
        assert heard == [number]

    def test_exit(self) -> None:
        number = f"{SAY}\nprint(interp.id, flush=True)"
        out = run_child(number)
        first = out.out.split()[0]
        out.check(f"{first}\nclosed {first} one in 0\n")

    def test_exit_while_it_runs(self) -> None:
        code = """
        started = atoll.sync.Event()
        def run(started):
            started.set()
            while True:
                pass
        import threading
        def call():
            try:
                interp.call(run, started)
            except BaseException:
                pass
        threading.Thread(target=call, daemon=True).start()
        started.wait()
        sys.exit(3)
        """
        import textwrap

        out = run_child(SAY + textwrap.dedent(code))
        assert (out.status, out.err) == (3, "")
        assert out.out.startswith("closed ") and out.out.endswith(" one in 0\n")


class TestHome:
    def test_ended_before(self) -> None:
        """A callback goes with the interpreter that has added it."""
        queue = atoll.create_queue()
        home, target = atoll.create(), atoll.create()
        home.call(functions.watch, target, queue)
        home.close()
        target.close()
        assert queue.empty()

    def test_exit_with_a_home_that_is_no_more(self) -> None:
        """At the end of the process only the main interpreter is told."""
        code = """
        import atoll
        def watch(target):
            target.add_close_callback(lambda closed: print("never"))
        target, home = atoll.create(), atoll.create()
        home.call(watch, target)
        target.add_close_callback(lambda closed: print("main is told", flush=True))
        """
        run_child(code).check("main is told\n")

    def test_several(self) -> None:
        queue = atoll.create_queue()
        homes = [atoll.create() for _ in range(3)]
        target = atoll.create()
        for home in homes:
            home.call(functions.watch, target, queue)
            home.call(functions.watch, target, queue)
        target.close()
        heard = queue.get_many(100)
        assert [item[1] for item in heard] == [home.id for home in homes for _ in range(2)]
        for home in homes:
            home.close()

    def test_refused(self, interp: atoll.Interpreter) -> None:
        assert "atexit" in interp.call(functions.refused, None)
        assert "atexit" in interp.call(functions.refused, atoll.get_main())
        assert "atexit" in functions.refused(atoll.get_main())
        assert atoll._closing._callbacks == {}  # type: ignore[attr-defined]


class TestCallback:
    def test_order(self) -> None:
        heard: list[int] = []
        interp = atoll.create()
        for number in range(50):
            interp.add_close_callback(lambda closed, number=number: heard.append(number))  # type: ignore[misc]
        interp.close()
        assert heard == list(range(50))

    def test_the_same_twice(self) -> None:
        heard: list[atoll.Interpreter] = []
        interp = atoll.create()
        interp.add_close_callback(heard.append)
        interp.add_close_callback(heard.append)
        interp.close()
        assert heard == [interp, interp]

    def test_an_exception_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reported: list[Any] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append((args.exc_type, args.object)))
        heard: list[atoll.Interpreter] = []

        def fail(closed: atoll.Interpreter) -> None:
            raise ValueError("spam")

        interp = atoll.create()
        interp.add_close_callback(fail)
        interp.add_close_callback(heard.append)
        interp.close()
        assert reported == [(ValueError, fail)]
        assert heard == [interp]
        interp.add_close_callback(fail)
        assert len(reported) == 2

    def test_ctrl_c_ends_close_after_all_were_called(self) -> None:
        heard: list[atoll.Interpreter] = []

        def interrupt(closed: atoll.Interpreter) -> None:
            raise KeyboardInterrupt

        interp = atoll.create()
        interp.add_close_callback(interrupt)
        interp.add_close_callback(heard.append)
        with pytest.raises(KeyboardInterrupt):
            interp.close()
        assert heard == [interp]
        assert interp not in atoll.list_all()

    def test_ctrl_c_in_a_callback_elsewhere(self) -> None:
        code = """
        import atoll, os, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def watch(target):
            def heard(closed):
                import os, signal
                print("heard", flush=True)
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    pass
            target.add_close_callback(heard)
        home, target = atoll.create(), atoll.create()
        home.call(watch, target)
        try:
            target.close()
        except KeyboardInterrupt:
            print("KeyboardInterrupt", target in atoll.list_all(), home.call(len, "abc"))
        """
        run_child(code).check("heard\nKeyboardInterrupt False 3\n")

    def test_ctrl_c_in_a_callback_further_out(self) -> None:
        """main calls A, which closes B; main's callback is in main's own frames."""
        code = """
        import atoll, os, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def heard(closed):
            print("heard", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                pass
        def close(target):
            try:
                target.close()
            finally:
                print("finally", flush=True)
            print("not seen")
        home, target = atoll.create(), atoll.create()
        target.add_close_callback(heard)
        try:
            home.call(close, target)
        except KeyboardInterrupt:
            print("KeyboardInterrupt", target in atoll.list_all(), home.call(len, "abc"))
        """
        run_child(code).check("heard\nfinally\nKeyboardInterrupt False 3\n")

    def test_it_may_use_atoll(self) -> None:
        """No lock is held: it makes, watches and closes others, and the closed one says so."""
        heard: list[Any] = []

        def call(closed: atoll.Interpreter) -> None:
            other = atoll.create()
            other.add_close_callback(heard.append)
            heard.append(other.call(sum, (1, 2, 3)))
            other.close()
            closed.add_close_callback(heard.append)
            with pytest.raises(atoll.InterpreterNotFoundError):
                closed.call(len, "")
            heard.append("end")

        interp = atoll.create()
        interp.add_close_callback(call)
        interp.close()
        assert heard[0] == 6 and heard[2:] == [interp, "end"]

    def test_keeps_nothing(self) -> None:
        class Callback:
            def __call__(self, closed: atoll.Interpreter) -> None:
                pass

        callback = Callback()
        gone = weakref.ref(callback)
        interp = atoll.create()
        interp.add_close_callback(callback)
        del callback
        assert gone() is not None
        interp.close()
        gc.collect()
        assert gone() is None
        assert atoll._closing._callbacks == {}  # type: ignore[attr-defined]

    @pytest.mark.parametrize("wrong", [None, 3, "print"])
    def test_not_callable(self, wrong: Any) -> None:
        with atoll.create() as interp:
            with pytest.raises(TypeError, match="callable"):
                interp.add_close_callback(wrong)
            with pytest.raises(TypeError):
                interp.add_close_callback()  # type: ignore[call-arg]
            with pytest.raises(TypeError):
                interp.add_close_callback(print, print)  # type: ignore[call-arg]

    def test_prints_in_order(self, capsys: pytest.CaptureFixture[str]) -> None:
        interp = atoll.create()
        interp.add_close_callback(lambda closed: print("closed"))
        interp.exec("import atexit; atexit.register(print, 'atexit')")
        interp.close()
        print("after")
        assert capsys.readouterr().out == "atexit\nclosed\nafter\n"

    def test_fork(self) -> None:
        """The child has no other interpreter, and none has ended there."""
        code = """
        import atoll, os, sys
        interp = atoll.create()
        interp.add_close_callback(lambda closed: print("closed in", "child" if child == 0 else "parent", flush=True))
        child = os.fork()
        if child == 0:
            other = atoll.create()
            other.add_close_callback(lambda closed: print("other", flush=True))
            other.close()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        interp.close()
        """
        run_child(code, options=["-W", "ignore"]).check("other\nclosed in parent\n")

    def test_its_home_is_closed_at_the_same_time(self) -> None:
        """Told or not, nothing hangs, and nothing is left."""
        before = _core._alive()
        queue = atoll.create_queue()
        for _ in range(10):
            home, target = atoll.create(), atoll.create()
            home.call(functions.watch, target, queue)
            threads = [threading.Thread(target=interp.close) for interp in (home, target)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            del home, target, threads
        assert queue.qsize() <= 10
        del queue
        gc.collect()
        limit = time.monotonic() + LIMIT
        # On 3.12 a thread frees some of its own after join() has returned.
        while any(count > before[kind] for kind, count in _core._alive().items()):
            assert time.monotonic() < limit, (_core._alive(), before)

    def test_many_threads(self) -> None:
        """Each callback is called once, whoever closes while others add."""
        counted = atoll.sync.AtomicInt()
        added = atoll.sync.AtomicInt()
        interps = [atoll.create() for _ in range(12)]
        begin = threading.Barrier(3)

        def add() -> None:
            begin.wait()
            for _ in range(20):
                for interp in interps:
                    interp.add_close_callback(lambda closed: counted.add(1))
                    added.add(1)

        def close() -> None:
            begin.wait()
            for interp in interps:
                interp.close()

        threads = [threading.Thread(target=work) for work in (add, add, close)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counted.load() == added.load() == 2 * 20 * 12
