"""What `import atoll` does: little, and the same in every interpreter."""

from __future__ import annotations

from children import run_child

import atoll

#: Modules that cost milliseconds: none of them may come with the package.
HEAVY = (
    "asyncio",
    "collections",
    "concurrent.futures",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "inspect",
    "logging",
    "pickle",
    "queue",
    "re",
    "subprocess",
    "tempfile",
    "threading",
    "traceback",
    "typing",
    "weakref",
)

LOADED = f"""
import sys
before = set(sys.modules)
import atoll
new = set(sys.modules) - before
print(sorted(new & set({HEAVY!r})), len(new), all(name.partition('.')[0] in ('atoll', 'atexit') for name in new))
"""


def test_loads_nothing_else() -> None:
    done = run_child(LOADED)
    done.check(done.out)
    heavy, count, own = done.out.strip().rsplit(" ", 2)
    assert heavy == "[]" and own == "True", done.out
    assert int(count) <= 3


def test_loads_nothing_else_in_a_new_interpreter() -> None:
    """A first call there loads the same few modules, and no pickle for what is native."""
    interp = atoll.create()
    interp.exec(
        "import sys; loaded = sorted(name for name in sys.modules if name.partition('.')[0] == 'atoll')"
    )
    interp.exec(f"heavy = sorted(set(sys.modules) & set({HEAVY!r}))")
    heavy, loaded = interp.call(eval, "heavy"), interp.call(eval, "loaded")
    assert heavy == []
    assert loaded == ["atoll._core"]
    interp.close()


def test_starts_no_thread() -> None:
    run_child(
        """
        import os
        import atoll
        assert len(os.listdir("/proc/self/task")) == 1
        interp = atoll.create()
        interp.exec("x = 1")
        assert interp.call(len, [1, 2]) == 2
        interp.close()
        import threading
        assert threading.active_count() == 1
        # One more, in C, that never runs Python: it waits for signals and deadlines.
        assert len(os.listdir("/proc/self/task")) <= 2
        """
    ).check()


def test_every_public_name_is_there() -> None:
    for name in atoll.__all__:
        assert getattr(atoll, name) is not None
    assert set(atoll.__all__) <= set(dir(atoll))
    assert atoll.sync.Lock and atoll.aio.to_interpreter  # without an import of their own
    run_child("import atoll; print(atoll.sync.AtomicInt(3).load(), atoll.aio.__name__)").check(
        "3 atoll.aio\n"
    )


def test_star_import() -> None:
    run_child("from atoll import *\nassert create().call(len, 'ab') == 2\nassert InterpreterError").check()


def test_unknown_name() -> None:
    run_child(
        """
        import atoll
        try:
            atoll.nothing
        except AttributeError as error:
            print(error)
        """
    ).check("module 'atoll' has no attribute 'nothing'\n")


def test_cannot_be_loaded_twice_in_one_interpreter() -> None:
    """A second copy of the extension module is no second world."""
    run_child(
        """
        import sys, atoll
        interp = atoll.create()
        first = atoll._core
        for name in [n for n in sys.modules if n == "atoll" or n.startswith("atoll.")]:
            del sys.modules[name]
        import atoll as again
        assert again.Interpreter(interp.id).call(len, "ab") == 2
        assert interp.call(len, "abc") == 3
        print(len(again.list_all()))
        """
    ).check("2\n")
