"""The standard names: the lazy alias of 3.12 and 3.13, install() and uninstall().

What `sys.modules` holds is the subject, so that every case runs in a process
of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import atoll

SITE = Path(atoll.__file__).parents[1]
OLD = sys.version_info < (3, 14)
needs_alias = pytest.mark.python("<3.14")  # later ones have a concurrent.interpreters of their own
needs_stdlib = pytest.mark.python(">=3.14")

NAMES = {
    "ExecutionFailed",
    "Interpreter",
    "InterpreterError",
    "InterpreterNotFoundError",
    "NotShareableError",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "create",
    "create_queue",
    "get_current",
    "get_main",
    "is_shareable",
    "list_all",
}


def run(code: str, *options: str, status: int = 0, **env: str) -> str:
    """What a child prints; it must end with `status` and say nothing else."""
    out = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
    )
    assert out.returncode == status, out.stderr
    if status == 0:
        assert out.stderr == ""
    return out.stdout


class TestAlias:
    def test_start_up_does_not_import_atoll(self) -> None:
        code = "import sys; print([m for m in sys.modules if m == 'atoll' or m.startswith('atoll.')])"
        assert run(code) == "[]\n"

    @needs_alias
    def test_one_finder(self) -> None:
        # In a venv, site reads each .pth file twice.
        code = "import sys; print(sum('AtollNames' in str(f) for f in sys.meta_path), sys.meta_path[-1].__name__)"
        assert run(code) == "1 AtollNames\n"

    @needs_stdlib
    def test_nothing_is_added_where_the_module_exists(self) -> None:
        code = "import sys; print(*[f for f in sys.meta_path if 'toll' in str(f)])"
        assert run(code) == "\n"
        code = "from concurrent import interpreters as i; print(i.__file__.endswith('atoll/_standard.py'))"
        assert run(code) == "False\n"

    @needs_alias
    @pytest.mark.parametrize(
        "statement",
        [
            "import concurrent.interpreters as x; create_queue, all = x.create_queue, x.__all__",
            "from concurrent import interpreters as x; create_queue, all = x.create_queue, x.__all__",
            "from concurrent.interpreters import create_queue, __all__ as all",
            "import importlib; x = importlib.import_module('concurrent.interpreters');"
            "create_queue, all = x.create_queue, x.__all__",
        ],
    )
    def test_every_way_to_import(self, statement: str) -> None:
        code = f"{statement}\nimport atoll\nprint(create_queue is atoll.create_queue, *sorted(all))"
        assert run(code) == f"True {' '.join(sorted(NAMES))}\n"

    @needs_alias
    def test_module_looks_like_one(self) -> None:
        code = """
            import concurrent.interpreters as x, concurrent, sys, importlib.util, atoll
            print(x.__name__, x.__spec__.name, x.__file__ == x.__spec__.origin, concurrent.interpreters is x)
            print(importlib.util.find_spec('concurrent.interpreters') is x.__spec__)
            print(importlib.reload(x) is x, x.create is atoll.create)
        """
        assert run(code) == "concurrent.interpreters concurrent.interpreters True True\nTrue\nTrue True\n"

    @needs_alias
    def test_inside_another_interpreter(self) -> None:
        code = """
            from concurrent import interpreters
            interp = interpreters.create()
            interp.exec('from concurrent import interpreters')
            interp.exec('inner = interpreters.create()')
            interp.exec('''inner.exec("print('two levels down')")''')
        """
        assert run(code) == "two levels down\n"

    @needs_alias
    def test_switched_off(self) -> None:
        code = "import sys; print(*[f for f in sys.meta_path if 'toll' in str(f)])\nfrom concurrent import interpreters"
        assert run(code, status=1, ATOLL_NO_ALIAS="1") == "\n"

    @needs_alias
    def test_other_names_are_not_touched(self) -> None:
        code = """
            try:
                import concurrent.nothing_of_that_name
            except ModuleNotFoundError as error:
                print(error.name)
            import sys
            print('atoll' in sys.modules)
        """
        assert run(code) == "concurrent.nothing_of_that_name\nFalse\n"

    @needs_alias
    def test_where_atoll_was_deleted(self, tmp_path: Path) -> None:
        (tmp_path / "atoll-names.pth").write_text((SITE / "atoll-names.pth").read_text())
        code = f"""
            import site, sys; site.addsitedir({str(tmp_path)!r})
            print(sys.meta_path[-1].__name__)
            import json, concurrent.futures
            try:
                from concurrent import interpreters
            except ImportError as error:
                print(error)
        """
        assert run(code, "-S") == "AtollNames\nNo module named 'atoll'\n"

    def test_the_pth_file_is_one_line_that_site_runs(self) -> None:
        text = (SITE / "atoll-names.pth").read_text()
        assert text.count("\n") == 1
        assert text.startswith("import ")


class TestInstall:
    def test_module(self) -> None:
        code = """
            import atoll
            atoll.install()
            from concurrent import interpreters
            import concurrent.interpreters as same
            print(interpreters is same, interpreters.create is atoll.create, interpreters.Queue is atoll.Queue)
            print(*sorted(interpreters.__all__))
        """
        assert run(code) == f"True True True\n{' '.join(sorted(NAMES))}\n"

    def test_without_site_and_from_pythonpath(self) -> None:
        code = """
            import sys
            assert 'site' not in sys.modules and not [f for f in sys.meta_path if 'AtollNames' in str(f)]
            import atoll
            atoll.install()
            from concurrent import interpreters
            print(interpreters.create is atoll.create)
        """
        assert run(code, "-S", PYTHONPATH=str(SITE)) == "True\n"

    def test_twice_is_once(self) -> None:
        code = """
            import sys, atoll
            before = len(sys.meta_path)
            atoll.install(); atoll.install()
            print(len(sys.meta_path) - before)
            atoll.uninstall(); atoll.uninstall()
            print(len(sys.meta_path) - before)
        """
        assert run(code) == "1\n0\n"

    @needs_stdlib
    def test_uninstall_brings_back_the_same_module(self) -> None:
        code = """
            import concurrent.interpreters as before
            import atoll
            atoll.install()
            import concurrent.interpreters as between
            atoll.uninstall()
            import concurrent.interpreters as after
            import concurrent
            print(between is before, after is before, concurrent.interpreters is before)
            print(between.create is atoll.create)
        """
        assert run(code) == "False True True\nTrue\n"

    @needs_stdlib
    def test_uninstall_where_the_module_was_not_loaded(self) -> None:
        code = """
            import atoll
            atoll.install()
            from concurrent import interpreters as between
            atoll.uninstall()
            from concurrent import interpreters as after
            print(between.create is atoll.create, after.create is atoll.create)
        """
        assert run(code) == "True False\n"

    @needs_alias
    def test_the_alias_stays_after_uninstall(self) -> None:
        code = """
            import atoll
            atoll.install(); atoll.uninstall()
            from concurrent import interpreters
            print(interpreters.create is atoll.create)
        """
        assert run(code) == "True\n"
        code = """
            import atoll
            atoll.install(); atoll.uninstall()
            from concurrent import interpreters
        """
        run(code, status=1, ATOLL_NO_ALIAS="1")

    def test_goes_on_in_created_interpreters(self) -> None:
        code = """
            import atoll
            early = atoll.create()
            atoll.install()
            interp = atoll.create()
            ask = '''if True:
                from concurrent import interpreters
                import sys
                print(sys.modules['concurrent.interpreters'].__file__.endswith('_standard.py'))
                '''
            interp.exec(ask)
            interp.exec('inner = interpreters.create()')
            interp.prepare_main(ask=ask)
            interp.exec('inner.exec(ask)')
            atoll.uninstall()
            atoll.create().exec(ask)
            early.exec(ask)
        """
        later = str(OLD)  # the alias, or the standard library's
        assert run(code) == f"True\nTrue\n{later}\n{later}\n"


class TestPool:
    """`concurrent.futures.InterpreterPoolExecutor`, before and after it is loaded."""

    @pytest.mark.parametrize("first", ["", "import concurrent.futures", "import concurrent.futures.thread"])
    def test_is_atolls(self, first: str) -> None:
        code = f"""
            {first}
            import atoll
            atoll.install()
            from concurrent.futures import InterpreterPoolExecutor
            import concurrent.futures, concurrent.futures.interpreter
            print(InterpreterPoolExecutor is atoll.InterpreterPoolExecutor)
            print(concurrent.futures.InterpreterPoolExecutor is atoll.InterpreterPoolExecutor)
            print(concurrent.futures.interpreter.BrokenInterpreterPool.__mro__[1].__name__)
            print(list(concurrent.futures.__all__).count('InterpreterPoolExecutor'))
            print(concurrent.futures.ThreadPoolExecutor.__name__, concurrent.futures.ProcessPoolExecutor.__name__)
            print(type(concurrent.futures.__spec__.loader).__name__)
            try:
                concurrent.futures.no_such_name
            except AttributeError as error:
                print(error)
        """
        assert run(code).splitlines() == [
            "True",
            "True",
            "BrokenThreadPool",
            "1",
            "ThreadPoolExecutor ProcessPoolExecutor",
            "SourceFileLoader",
            "module 'concurrent.futures' has no attribute 'no_such_name'",
        ]

    def test_is_lazy(self) -> None:
        code = """
            import sys, atoll
            atoll.install()
            print('concurrent.futures' in sys.modules)
            import concurrent.futures
            print('atoll.futures' in sys.modules, 'concurrent.futures.process' in sys.modules)
        """
        assert run(code) == "False\nFalse False\n"

    @needs_alias
    def test_gone_after_uninstall(self) -> None:
        code = """
            import concurrent.futures, atoll
            names = tuple(concurrent.futures.__all__)
            atoll.install()
            concurrent.futures.InterpreterPoolExecutor
            atoll.uninstall()
            print(hasattr(concurrent.futures, 'InterpreterPoolExecutor'), tuple(concurrent.futures.__all__) == names)
            print(concurrent.futures.ThreadPoolExecutor.__name__)
        """
        assert run(code) == "False True\nThreadPoolExecutor\n"

    @needs_stdlib
    @pytest.mark.parametrize("touch", ["", "concurrent.futures.InterpreterPoolExecutor"])
    def test_the_standard_one_comes_back(self, touch: str) -> None:
        code = f"""
            import concurrent.futures, atoll
            {touch}
            atoll.install()
            print(concurrent.futures.InterpreterPoolExecutor is atoll.InterpreterPoolExecutor)
            atoll.uninstall()
            print(concurrent.futures.InterpreterPoolExecutor is atoll.InterpreterPoolExecutor)
            print(concurrent.futures.InterpreterPoolExecutor.__module__)
            import concurrent.futures.interpreter as module
            print(module.InterpreterPoolExecutor is concurrent.futures.InterpreterPoolExecutor)
        """
        assert run(code) == "True\nFalse\nconcurrent.futures.interpreter\nTrue\n"


EXAMPLE = '''
from concurrent import interpreters
interp = interpreters.create()
interp.exec('print("spam!")')
interp.exec("""if True:
    print('spam!')
    """)
from textwrap import dedent
interp.exec(dedent("""
    print('spam!')
    """))
def run():
    print('spam!')
interp.call(run)
t = interp.call_in_thread(run)
t.join()
'''


@pytest.mark.parametrize("first", ["", "import atoll; atoll.install()\n"])
def test_the_example_of_the_documentation(tmp_path: Path, first: str) -> None:
    script = tmp_path / "example.py"
    script.write_text(first + EXAMPLE)
    out = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    if first or OLD:  # else it is the standard library's, which warns at exit
        assert (out.stdout, out.stderr) == ("spam!\n" * 5, "")


def test_modules_without_an_import_of_their_own(tmp_path: Path) -> None:
    """`import atoll` is enough to name atoll.sync; and it does not load it."""
    code = """
import sys, atoll
assert {"sync", "aio", "futures"} <= set(dir(atoll))
assert not {"atoll.sync", "atoll.aio", "atoll.futures"} & set(sys.modules)
print(atoll.sync.Lock, atoll.futures.InterpreterPoolExecutor is atoll.InterpreterPoolExecutor, atoll.aio.call)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert out.returncode == 0, out.stderr
    assert "Lock" in out.stdout and "True" in out.stdout


def test_signatures_can_be_asked_for() -> None:
    """help(), editors and the reference show the arguments of everything that is called."""
    import inspect

    unknown = []
    modules = [atoll, atoll.sync, atoll.aio, atoll.futures]
    for module in modules:
        names = getattr(module, "__all__", dir(module))
        for name in names:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, BaseException):
                continue
            members = [value]
            if isinstance(value, type):
                members += [member for key, member in vars(value).items() if not key.startswith("_")]
            for member in members:
                if callable(member):
                    try:
                        inspect.signature(member)
                    except ValueError as error:
                        unknown.append((name, member, error))
                    assert member.__doc__, (name, member)
    assert unknown == []
