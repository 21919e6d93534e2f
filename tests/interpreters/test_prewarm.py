"""prewarm(): spares that are kept ready, and are like any other interpreter when given out."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from children import LIMIT, LONG, run_child
from ctrl_c_at import CtrlCAt

import atoll
from atoll import _prewarm


def test_gives_out_spares() -> None:
    before = [interp.id for interp in atoll.list_all()]
    with atoll.prewarm(2) as warm:
        assert warm.wait(LIMIT) and warm.ready() == 2
        assert [interp.id for interp in atoll.list_all()] == before
        interp = atoll.create(name="warm")
        assert interp in atoll.list_all()
        assert interp.name == "warm" and not interp.is_running()
        assert interp.call(sum, [1, 2]) == 3
        assert warm.wait(LIMIT) and warm.ready() == 2
        interp.close()
    assert warm.ready() == 0
    assert [interp.id for interp in atoll.list_all()] == before


def test_never_listed() -> None:
    """Not while it is being made, either."""
    with atoll.prewarm(1) as warm:
        for _ in range(10):
            given = atoll.create()  # another one is made meanwhile
            known = {atoll.get_main(), given}
            while not warm.ready():
                assert set(atoll.list_all()) <= known
            given.close()


def test_closed_while_one_is_made() -> None:
    """It is ended, too, once it is ready."""
    for _ in range(5):
        with atoll.prewarm(1) as warm:
            assert warm.wait(LIMIT)
            atoll.create().close()
        for thread in threading.enumerate():
            if thread.name == "atoll-prewarm":
                thread.join(LIMIT)
                assert not thread.is_alive()
        assert warm.ready() == 0


def test_no_spare_can_be_reached() -> None:
    with atoll.prewarm(1) as warm:
        assert warm.wait(LIMIT)
        newest = atoll.create()
        newest.close()
        assert warm.wait(LIMIT)
        for id in range(newest.id + 1, newest.id + 5):
            with pytest.raises(atoll.InterpreterNotFoundError):
                atoll.Interpreter(id)


def test_brought_up_to_date() -> None:
    run_child(
        """
        import os, sys, warnings, atoll
        with atoll.prewarm(1) as warm:
            assert warm.wait(60)
            sys.path.insert(0, "/a/new/place")
            sys.argv[:] = ["prog", "arg"]
            os.environ["ATOLL_TEST"] = "new"
            os.environ.pop("GOING", None)
            warnings.simplefilter("error", ResourceWarning)
            interp = atoll.create()
            def look():
                import os, sys, warnings
                return sys.path[0], sys.argv, os.environ["ATOLL_TEST"], "GOING" in os.environ, warnings.filters[0][:3]
            assert interp.call(look) == (
                "/a/new/place", ["prog", "arg"], "new", False, ("error", None, ResourceWarning)
            ), interp.call(look)
            interp.exec("print('where the creator prints')")
        """,
        env={"GOING": "1"},
    ).check("where the creator prints\n")


def test_handles_add_up() -> None:
    one, other = atoll.prewarm(1), atoll.prewarm(2)
    assert one.wait(LIMIT) and one.ready() == 3
    other.close()
    assert one.ready() == 1
    other.close()  # twice is once
    assert one.wait(LIMIT) and one.ready() == 1
    one.close()
    assert one.ready() == 0


def test_configurations_are_apart() -> None:
    config = atoll.InterpreterConfig(allow_daemon_threads=True)
    with atoll.prewarm(1, config=config) as warm, atoll.prewarm(0):
        assert warm.wait(LIMIT)

        def daemon() -> None:
            thread = threading.Thread(target=int, daemon=True)
            thread.start()
            thread.join()

        plain = atoll.create()
        with pytest.raises(atoll.ExecutionFailed):
            plain.call(daemon)
        assert warm.ready() == 1
        special = atoll.create(config=config)
        special.call(daemon)
        plain.close()
        special.close()
    with atoll.prewarm(1, config="legacy") as legacy:
        assert legacy.wait(LIMIT)
        interp = atoll.create(config="legacy")
        assert interp.call(len, "ab") == 2
        interp.close()


def test_more_than_there_are() -> None:
    with atoll.prewarm(1) as warm:
        assert warm.wait(LIMIT)
        made = [atoll.create() for _ in range(4)]
        assert [interp.call(abs, -n) for n, interp in enumerate(made)] == [0, 1, 2, 3]
        for interp in made:
            interp.close()


def test_after_its_close_nothing_is_left() -> None:
    """The thread ends when no handle wants spares any more."""
    run_child(
        """
        import threading, atoll
        assert threading.enumerate() == [threading.main_thread()]
        for _ in range(3):
            with atoll.prewarm(1) as warm:
                assert warm.wait(60)
                helpers = [t for t in threading.enumerate() if t is not threading.main_thread()]
                assert [t.name for t in helpers] == ["atoll-prewarm"]
            helpers[0].join(60)
            assert not helpers[0].is_alive()
        """
    ).check()


@pytest.mark.parametrize(
    "code", ["warm.wait(60)", "pass", "warm.close()", "atoll.create()", "raise SystemExit(0)"]
)
def test_left_open_at_exit(code: str) -> None:
    run_child(f"import atoll\nwarm = atoll.prewarm(2)\n{code}").check()


def test_many_threads_take_from_it() -> None:
    with atoll.prewarm(2) as warm:
        assert warm.wait(LIMIT)
        seen: list[int] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(3):
                    interp = atoll.create()
                    seen.append(interp.id)
                    assert interp.call(lambda: atoll.get_current().id) == interp.id
                    interp.close()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == [] and len(set(seen)) == 9


def test_current_thread_is_the_user_s() -> None:
    """The background thread was the first to run there; the user's thread is the main one all the same."""
    run_child(
        """
        import threading, atoll
        with atoll.prewarm(1) as warm:
            assert warm.wait(60)
            interp = atoll.create()
            def look():
                import threading
                return threading.current_thread() is threading.main_thread()
            print(interp.call(look))
        """
    ).check("True\n")


def test_inside_another_interpreter() -> None:
    def work() -> Any:
        with atoll.prewarm(1) as warm:
            assert warm.wait(120)
            inner = atoll.create()
            try:
                return inner.call(sum, [1, 2])
            finally:
                inner.close()

    outer = atoll.create()
    assert outer.call(work) == 3
    outer.close()


def test_wrong_arguments() -> None:
    for wrong in ("1", 1.0, None):
        with pytest.raises(TypeError, match="n must be an int"):
            atoll.prewarm(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        atoll.prewarm(-1)
    with pytest.raises(ValueError, match="check_multi_interp_extensions"):
        atoll.prewarm(1, config=atoll.InterpreterConfig(check_multi_interp_extensions=False))
    with pytest.raises(TypeError):
        atoll.prewarm()  # type: ignore[call-arg]


def test_repr() -> None:
    warm = atoll.prewarm(0)
    assert repr(warm) == "<atoll.prewarm(0), 0 ready>"
    warm.close()


@pytest.mark.parametrize("stdio, seen, printed", [("creator", "out\n", ""), ("process", "", "out\n")])
def test_prints_where_asked(stdio: str, seen: str, printed: str) -> None:
    run_child(
        f"""
        import contextlib, io, atoll
        with atoll.prewarm(1) as warm:
            assert warm.wait(60)
            interp = atoll.create(stdio={stdio!r})
            seen = io.StringIO()
            with contextlib.redirect_stdout(seen):
                interp.exec("print('out', flush=True)")
            assert seen.getvalue() == {seen!r}
            interp.close()
        """
    ).check(printed)


def test_given_up_while_taken() -> None:
    """Nobody gets a spare that close() ends, and none is left."""
    before = len(atoll.list_all())
    for _ in range(5):
        warm = atoll.prewarm(1)
        assert warm.wait(LIMIT)
        thread = threading.Thread(target=warm.close)
        thread.start()
        interp = atoll.create()
        thread.join()
        assert interp.call(abs, -1) == 1
        interp.close()
    assert len(atoll.list_all()) == before


def test_fork() -> None:
    """The spares are the parent's; the child makes its own, when it needs one."""
    run_child("""
    import atoll, os, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    spares = atoll.prewarm(2)
    spares.wait()
    child = os.fork()
    if child == 0:
        print(spares.ready())
        with atoll.create() as interp:
            print(interp.call(abs, -1))
        print(spares.wait(), spares.ready(), flush=True)
        spares.close()
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
    with atoll.create() as interp:
        print(interp.call(abs, -2))
    spares.close()
    """).check("0\n1\nTrue 2\n0\n2\n")


def test_a_wait_that_fails_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What woke it, or would have, may have been for them."""

    def fail() -> None:
        raise MemoryError

    with atoll.prewarm(1) as warm:
        assert warm.wait(LIMIT)
        with monkeypatch.context() as context:
            context.setattr(_prewarm, "_look", fail)
            with pytest.raises(MemoryError):
                warm.wait(LIMIT)
        assert _prewarm._changed.is_set()


def test_ctrl_c_anywhere() -> None:
    """Wherever it comes, no lock stays taken, and the next handle works."""
    before = atoll.list_all()
    at, step = 1, 1 if LONG else 3
    while True:
        ctrl_c = CtrlCAt(at, _prewarm)
        try:
            with ctrl_c, atoll.prewarm(1) as warm:
                warm.wait()
                atoll.create().close()
        except KeyboardInterrupt:
            pass
        with atoll.prewarm(1) as warm:
            assert warm.wait(LIMIT), at
        _prewarm._handles.clear()  # of one that nobody has got
        _prewarm._ring()
        thread = _prewarm._thread
        if thread is not None:
            thread.join(LIMIT)
            assert not thread.is_alive(), at
        for spares in _prewarm._spares.values():
            while spares:
                spares.pop()[0].close()
        if not ctrl_c.came:
            break
        at += step
    assert atoll.list_all() == before
    assert at > 100, "it was never reached"
