"""Extension modules of the standard library in several interpreters, to the end of the process.

Each case is a process of its own: what goes wrong with memory shows when Python frees it.
"""

from __future__ import annotations

import sys

import pytest
from children import run_child

#: Static types, functions with keywords, modules that refuse on some versions and fall back.
CODE = {
    "datetime": "import datetime; datetime.datetime.strptime('2020', '%Y') + datetime.timedelta(1)",
    "decimal": "import decimal; decimal.Decimal('1.1') + 1",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "ssl": "import ssl; ssl.OP_ALL",
    "keywords": "import zlib, pickle; zlib.compress(b'x', level=1); pickle.dumps(1, protocol=2)",
    "sqlite3": "import sqlite3; sqlite3.connect(':memory:', timeout=1).close()",
    "refused": "try: import readline\nexcept ImportError: pass",
}

IN_TURN = """
    import sys, atoll
    for _ in range(3):
        interp = atoll.create()
        interp.exec(sys.argv[1])
        interp.close()
    print("closed")
"""
AT_ONCE = """
    import sys, atoll
    from concurrent.futures import ThreadPoolExecutor
    interps = [atoll.create() for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda interp: interp.exec(sys.argv[1]), interps))
    print("closed")
"""
BESIDE_MAIN = """
    import sys, atoll
    interp = atoll.create()
    interp.exec(sys.argv[1])
    exec(sys.argv[1])
    atoll.create().exec(sys.argv[1])
    print("closed")
"""


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("script", [IN_TURN, AT_ONCE, BESIDE_MAIN], ids=["in turn", "at once", "beside main"])
def test_to_the_end(script: str, name: str) -> None:
    outcome = run_child(script, CODE[name])
    assert (outcome.status, outcome.out) == (0, "closed\n"), outcome


@pytest.mark.python("<3.14")
def test_main_is_given_no_more_than_it_needs() -> None:
    """datetime's static types belong to main; what works everywhere is not loaded there."""
    run_child(
        """
        import sys, atoll
        interp = atoll.create()
        before = set(sys.modules)
        interp.exec("import zlib, array, unicodedata")
        assert "zlib" not in set(sys.modules) - before, "not in main"
        interp.exec("import datetime")
        print("_datetime" in sys.modules)
        """
    ).check("True\n")


@pytest.mark.parametrize("module", ["readline", "faulthandler"])
def test_a_refusal_points_to_the_doctor(module: str) -> None:
    run_child(
        f"""
        import atoll
        interp = atoll.create()
        interp.exec('''
            try:
                import {module}
            except ImportError as error:
                (note,) = error.__notes__
                assert "atoll doctor {module}" in note, note
                assert "{module}" in str(error)
                traceback = error.__traceback__
                assert traceback.tb_next is None, "the machinery does not show"
            else:
                raise AssertionError("it loads")
        ''')
        try:
            interp.exec("import {module}")
        except atoll.ExecutionFailed as failed:
            assert "atoll doctor {module}" in str(failed)
            assert "atoll doctor {module}" in failed.__cause__.__notes__[0]
        else:
            raise AssertionError("it loads")
        """
    ).check()


@pytest.mark.parametrize(
    ("raised", "seen"), [("KeyboardInterrupt", "KeyboardInterrupt"), ("OSError", "ImportError")]
)
def test_what_comes_while_a_refusal_is_explained(raised: str, seen: str) -> None:
    """Ctrl-C is not lost there; another failure hides no refusal."""
    run_child(
        f"""
        import atoll
        atoll.create().exec('''
            import atoll._imports
            def add_note(error, name):
                raise {raised}
            atoll._imports.add_note = add_note
            try:
                import faulthandler
            except {seen}:
                print("seen")
        ''')
        """
    ).check("seen\n")


def test_other_failures_carry_no_note() -> None:
    run_child(
        """
        import atoll
        try:
            atoll.create().exec("import surely_there_is_no_such_module")
        except atoll.ExecutionFailed as failed:
            assert not hasattr(failed.__cause__, "__notes__"), failed
            assert "doctor" not in str(failed)
        """
    ).check()


def test_the_legacy_config_loads_what_refuses() -> None:
    run_child(
        """
        import atoll
        atoll.create(config="legacy").exec("import readline; readline.get_history_length()")
        print("ok")
        """
    ).check("ok\n")


def test_the_main_interpreter_is_left_alone() -> None:
    from importlib.machinery import BuiltinImporter, ExtensionFileLoader

    import atoll

    atoll.create().close()
    for loader in (BuiltinImporter, ExtensionFileLoader):
        assert loader.create_module.__module__ != "atoll._setup", sys.version
