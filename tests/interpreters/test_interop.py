"""Interpreters that the standard module or other code made; either module's end (3.13 and later).

Each case runs in a process of its own: what goes wrong here is a crash.
"""

from __future__ import annotations

import textwrap

import pytest
from children import run_child

pytestmark = pytest.mark.python(">=3.13")

#: The standard module where there is one, else its built-in half (3.13).
STDLIB = """
import gc, sys, threading, atoll
import _interpreters as low
main = atoll.get_main()

def other_create():
    # with a reference, as concurrent.interpreters holds one
    return low.create("isolated", reqrefs=True) if sys.version_info < (3, 14) else stdlib_create()

if sys.version_info >= (3, 14):
    from concurrent import interpreters as stdlib
    keep = []
    def stdlib_create():
        keep.append(stdlib.create())
        return keep[-1].id
    def drop():
        keep.clear()
    def destroy(id):
        keep[:] = [i for i in keep if i.id != id]
        stdlib.Interpreter(id).close()
    def run(id, text):
        stdlib.Interpreter(id).exec(text)
else:
    held = []
    create = other_create
    def other_create():
        id = create()
        low.incref(id)
        held.append(id)
        return id
    def drop():
        while held:
            low.decref(held.pop())
    def destroy(id):
        if id in held:
            held.remove(id)
        low.destroy(id)
    def run(id, text):
        if low.exec(id, text) is not None:
            raise RuntimeError("failed")

def ids():
    return [i.id for i in atoll.list_all()]
"""


def check(code: str, out: str = "") -> None:
    run_child(STDLIB + textwrap.dedent(code)).check(out)


def test_uses_theirs() -> None:
    check(
        """
        id = other_create()
        assert id in ids()
        interp = atoll.Interpreter(id)
        assert interp.whence == "_interpreters module"
        assert interp.call(sum, [1, 2]) == 3
        interp.exec("x = 5")
        interp.prepare_main(y=[6])
        run(id, "z = x, y")
        assert interp.call(eval, "z", None) == (5, [6])
        def f(): return "by value"
        assert interp.call(f) == "by value"
        t = interp.call_in_thread(f)
        assert t.future.result(60) == "by value"
        t.join()
        """
    )


def test_they_use_ours() -> None:
    check(
        """
        interp = atoll.create()
        run(interp.id, "x = 5")
        assert interp.call(eval, "x", None) == 5
        assert interp.id in [row[0] for row in low.list_all()]
        interp.exec("y = 6")
        run(interp.id, "assert y == 6")
        """
    )


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("threads", [False, True])
def test_they_end_ours(used: bool, threads: bool) -> None:
    check(
        f"""
        for _ in range(3):
            interp = atoll.create()
            if {used}:
                interp.call(len, ())
                run(interp.id, "x = 1")
            if {threads}:
                ts = [threading.Thread(target=interp.call, args=(len, ())) for _ in range(3)]
                for t in ts: t.start(); t.join()
            id = interp.id
            destroy(id)
            assert id not in ids()
            for attempt in (lambda: interp.call(len, ()), lambda: interp.exec(""), interp.close,
                            interp.is_running, lambda: atoll.Interpreter(id)):
                try:
                    attempt()
                except atoll.InterpreterNotFoundError:
                    pass
                else:
                    raise AssertionError("it is there")
        """
    )


@pytest.mark.parametrize("used", [False, True])
def test_we_end_theirs(used: bool) -> None:
    check(
        f"""
        for _ in range(3):
            id = other_create()
            run(id, "x = 1")
            interp = atoll.Interpreter(id)
            if {used}:
                assert interp.call(len, "ab") == 2
            interp.close()
            assert id not in ids()
            assert id not in [row[0] for row in low.list_all()]
            try:
                run(id, "x")
            except atoll.InterpreterNotFoundError:
                pass
            else:
                raise AssertionError("it is there")
        """
    )


def test_last_reference_of_either_kind() -> None:
    """One that they made lives while either module refers to it."""
    check(
        """
        id = other_create()
        interp = atoll.Interpreter(id)
        assert interp.call(len, "ab") == 2
        drop(); gc.collect()
        assert id in ids() and interp.call(len, "abc") == 3
        del interp
        gc.collect()
        assert id not in ids()
        """
    )


def test_running_is_seen_by_both() -> None:
    check(
        """
        from atoll.sync import Event
        interp = atoll.create()
        inside, go = Event(), Event()
        def hold(inside, go):
            inside.set(); go.wait()
        t = interp.call_in_thread(hold, inside, go)
        assert inside.wait(60)
        assert low.is_running(interp.id)
        for attempt in (lambda: run(interp.id, "x"), lambda: destroy(interp.id)):
            try:
                attempt()
            except atoll.InterpreterError:
                pass
            else:
                raise AssertionError("it did not notice")
        go.set(); t.join()
        assert not low.is_running(interp.id)
        # And the other way round.
        id = other_create()
        inside, go = Event(), Event()
        atoll.Interpreter(id).prepare_main(inside=inside, go=go)
        t = threading.Thread(target=run, args=(id, "inside.set(); go.wait()"))
        t.start()
        assert inside.wait(60)
        theirs = atoll.Interpreter(id)
        assert theirs.is_running()
        for attempt in (lambda: theirs.call(len, ()), lambda: theirs.exec("x"), theirs.close):
            try:
                attempt()
            except atoll.InterpreterError as error:
                assert "running" in str(error), error
            else:
                raise AssertionError("it did not notice")
        go.set(); t.join()
        assert theirs.call(len, "ab") == 2
        """
    )


def test_left_to_the_exit() -> None:
    check(
        """
        a, b = atoll.create(), atoll.create()
        a.call(len, ())
        run(b.id, "x = 1")
        c = atoll.Interpreter(other_create())
        c.call(len, ())
        for interp in a, b, c:
            t = threading.Thread(target=interp.call, args=(len, ()))
            t.start()
            t.join()
        """
    )


@pytest.mark.python(">=3.14")
def test_their_objects_inside_ours() -> None:
    check(
        """
        interp = atoll.create()
        def inside():
            from concurrent import interpreters
            me = interpreters.get_current()
            inner = interpreters.create()
            inner.exec("x = 1")
            inner.close()
            return me.id, [i.id for i in interpreters.list_all()]
        id, all_ids = interp.call(inside)
        assert id == interp.id and set(all_ids) == set(ids())
        """
    )


def test_made_by_other_code() -> None:
    """What the C API made belongs to whoever made it: listed, and refused."""
    check(
        """
        try:
            import _testinternalcapi
        except ImportError:
            raise SystemExit("this Python lacks CPython's test modules")
        id = _testinternalcapi.create_interpreter()
        assert id in ids()
        interp = atoll.Interpreter(id)
        assert interp.whence == "C-API" or "C-API" in interp.whence, interp.whence
        for attempt in (lambda: interp.call(len, ()), lambda: interp.exec("x"), lambda: interp.prepare_main(x=1),
                        interp.close, interp.interrupt, lambda: interp.close(interrupt=True)):
            try:
                attempt()
            except atoll.InterpreterError as error:
                assert "other" in str(error), error
            else:
                raise AssertionError("it was used")
        assert interp.is_running() in (True, False)
        _testinternalcapi.destroy_interpreter(id)
        assert id not in ids()
        """
    )


@pytest.mark.parametrize("times", [20])
def test_both_at_once_from_threads(times: int) -> None:
    check(
        f"""
        def ours():
            for _ in range({times}):
                i = atoll.create(); i.call(len, ()); i.close()
        def theirs():
            for _ in range({times}):
                id = low.create("isolated")
                low.exec(id, "x = 1") if sys.version_info < (3, 14) else run(id, "x = 1")
                low.destroy(id)
        def looks():
            for _ in range({times} * 5):
                for i in atoll.list_all():
                    try:
                        i.is_running()
                    except atoll.InterpreterNotFoundError:
                        pass
        ts = [threading.Thread(target=f) for f in (ours, theirs, looks)]
        for t in ts: t.start()
        for t in ts: t.join()
        gc.collect()
        assert ids() == [0], ids()
        """
    )


@pytest.mark.python(">=3.13")
@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
def test_ended_by_the_standard_module_where_atoll_could_not_be_loaded(thread: bool) -> None:
    """Nothing of atoll's is left in it: 3.13 would abort."""
    run_child(f"""
        import threading, _interpreters, atoll
        id = _interpreters.create()
        _interpreters.run_string(id, "import sys; sys.modules['atoll'] = sys.modules['atoll._core'] = None")
        handle = atoll.Interpreter(id)
        used, go = threading.Event(), threading.Event()
        def use():
            try:
                handle.call(abs, -1)
            except atoll.InterpreterError as error:
                print("could not be set up" in str(error))
            used.set()
            go.wait()
        if {thread}:
            user = threading.Thread(target=use)
            user.start()
            used.wait()
        else:
            go.set()
            use()
        _interpreters.destroy(id)
        print(handle in atoll.list_all())
        go.set()
    """).check("True\nFalse\n")
