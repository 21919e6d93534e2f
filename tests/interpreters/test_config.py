"""InterpreterConfig: every combination, what it allows, and what CPython refuses."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import sys
from typing import Any

import pytest
from children import run_child

import atoll

FLAGS = (
    "use_main_obmalloc",
    "allow_fork",
    "allow_exec",
    "allow_threads",
    "allow_daemon_threads",
    "check_multi_interp_extensions",
)


def all_of_them() -> list[atoll.InterpreterConfig]:
    return [
        atoll.InterpreterConfig(gil, **dict(zip(FLAGS, flags, strict=True)))  # type: ignore[arg-type]
        for gil in ("own", "shared")
        for flags in itertools.product([False, True], repeat=len(FLAGS))
    ]


def refused(config: atoll.InterpreterConfig) -> str | None:
    """Which field CPython would refuse, by the rules of its documentation."""
    if config.gil == "own" and config.use_main_obmalloc:
        return "use_main_obmalloc"
    if not config.use_main_obmalloc and not config.check_multi_interp_extensions:
        return "check_multi_interp_extensions"
    return None


def test_defaults_are_isolated() -> None:
    config = atoll.InterpreterConfig()
    assert config.gil == "own"
    assert {name: getattr(config, name) for name in FLAGS} == {
        "use_main_obmalloc": False,
        "allow_fork": False,
        "allow_exec": False,
        "allow_threads": True,
        "allow_daemon_threads": False,
        "check_multi_interp_extensions": True,
    }


def test_is_a_frozen_dataclass() -> None:
    config = atoll.InterpreterConfig(allow_fork=True)
    assert [field.name for field in dataclasses.fields(config)] == ["gil", *FLAGS]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.gil = "shared"  # type: ignore[misc]
    assert config == atoll.InterpreterConfig(allow_fork=True) != atoll.InterpreterConfig()
    assert len({config, atoll.InterpreterConfig(allow_fork=True)}) == 1
    assert pickle.loads(pickle.dumps(config)) == config
    assert dataclasses.replace(config, allow_exec=True).allow_exec
    assert "allow_fork=True" in repr(config)


@pytest.mark.parametrize("gil", ["own", "shared"])
def test_every_combination(gil: str) -> None:
    """Those that CPython refuses are a ValueError that says which field; the others work."""
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        sys.modules["pytest"] = sys.modules["children"] = type(sys)("none")
        sys.modules["pytest"].mark = sys.modules["pytest"]
        sys.modules["pytest"].parametrize = lambda *a, **k: lambda f: f
        sys.modules["pytest"].python = lambda *a, **k: lambda f: f
        sys.modules["children"].run_child = None
        import test_config, atoll
        made = turned_down = 0
        for config in test_config.all_of_them():
            if config.gil != {gil!r}:
                continue
            why = test_config.refused(config)
            try:
                interp = atoll.create(config=config)
            except ValueError as error:
                assert why is not None and why in str(error), (config, error)
                assert "gil=" in str(error) or "use_main_obmalloc=" in str(error)
                turned_down += 1
            else:
                assert why is None, config
                assert interp.call(sum, [1, 2]) == 3
                interp.exec("x = 1")
                interp.close()
                made += 1
        print(made, turned_down)
        assert atoll.list_all() == [atoll.get_main()]
    """
    run_child(code).check("16 48\n" if gil == "own" else "48 16\n")


@pytest.mark.parametrize("wrong", ["", "ISOLATED", "shared", "own", "empty"])
def test_unknown_names(wrong: str) -> None:
    for make in (lambda: atoll.create(config=wrong), lambda: atoll.prewarm(0, config=wrong)):
        with pytest.raises(ValueError, match="'isolated', 'legacy' or an InterpreterConfig"):
            make()


@pytest.mark.parametrize("wrong", [None, 1, {}, {"gil": "own"}, atoll.InterpreterConfig, b"legacy"], ids=repr)
def test_wrong_types(wrong: Any) -> None:
    with pytest.raises(TypeError, match="'isolated', 'legacy' or an InterpreterConfig"):
        atoll.create(config=wrong)


@pytest.mark.parametrize("gil", ["both", None, 1, "OWN"], ids=repr)
def test_wrong_gil(gil: Any) -> None:
    with pytest.raises(ValueError, match="gil must be 'own' or 'shared'"):
        atoll.create(config=atoll.InterpreterConfig(gil=gil))


def try_it(what: str) -> str:
    """Does it work there?  The exception's text if not."""
    import subprocess
    import threading

    try:
        if what == "thread":
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
        elif what == "daemon":
            thread = threading.Thread(target=int, daemon=True)
            thread.start()
            thread.join()
        elif what == "exec":
            os.execv(sys.executable, [sys.executable, "-c", "print('replaced')"])
        elif what == "fork":
            os.fork()
        elif what == "subprocess":
            return subprocess.run([sys.executable, "-c", "print(6)"], capture_output=True, text=True).stdout
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "works"


class TestWhatItAllows:
    def test_isolated(self) -> None:
        interp = atoll.create()
        assert interp.call(try_it, "thread") == "works"
        assert "daemon threads" in interp.call(try_it, "daemon")
        assert interp.call(try_it, "exec").startswith("RuntimeError: exec")
        assert interp.call(try_it, "fork").startswith("RuntimeError: fork")
        assert interp.call(try_it, "subprocess") == "6\n"
        interp.close()

    def test_no_threads(self) -> None:
        interp = atoll.create(config=atoll.InterpreterConfig(allow_threads=False))
        assert interp.call(try_it, "thread").startswith("RuntimeError: thread")
        assert interp.call(len, "ab") == 2
        # Threads of the caller may come in: that is not what it forbids.
        thread = interp.call_in_thread(len, "abc")
        assert thread.future.result(60) == 3
        thread.join()
        interp.close()

    def test_daemon_threads(self) -> None:
        interp = atoll.create(config=atoll.InterpreterConfig(allow_daemon_threads=True))
        assert interp.call(try_it, "daemon") == "works"
        interp.close()

    def test_exec(self) -> None:
        run_child(
            """
            import atoll, os, sys
            interp = atoll.create(config=atoll.InterpreterConfig(allow_exec=True))
            interp.call(os.execv, sys.executable, [sys.executable, "-c", "print('replaced')"])
            """
        ).check("replaced\n")

    def test_fork_is_refused_all_the_same(self) -> None:
        """CPython's child would die: atoll refuses it whatever the configuration says."""
        for config in ("legacy", atoll.InterpreterConfig(allow_fork=True)):
            interp = atoll.create(config=config)
            assert "fork" in interp.call(try_it, "fork")
            interp.close()

    def test_extension_modules(self) -> None:
        """A module of the single-phase kind: refused in isolation, fine in "legacy"."""

        def load() -> str:
            try:
                import _testsinglephase  # type: ignore[import-not-found]
                from importlib.machinery import ExtensionFileLoader
                from importlib.util import module_from_spec, spec_from_loader

                del ExtensionFileLoader, module_from_spec, spec_from_loader
            except ImportError as error:
                return str(error)
            return _testsinglephase.__name__  # type: ignore[no-any-return]

        isolated, legacy = atoll.create(), atoll.create(config="legacy")
        said = isolated.call(load)
        if "No module named" in said:
            pytest.fail("this Python lacks CPython's test modules")
        assert "does not support loading in subinterpreters" in said
        assert legacy.call(load) == "_testsinglephase"
        isolated.close()
        legacy.close()


class TestLegacy:
    def test_works_like_the_others(self) -> None:
        interp = atoll.create(config="legacy", name="old")
        assert interp.call(lambda x: [x, atoll.get_current().id], {"a": 1}) == [{"a": 1}, interp.id]
        assert interp.call(try_it, "thread") == interp.call(try_it, "daemon") == "works"
        thread = interp.call_in_thread(pow, 2, 3)
        assert thread.future.result(60) == 8
        thread.join()
        inner = interp.call(atoll.create)
        assert inner.call(len, "abc") == 3
        inner.close()
        interp.close()

    def test_deadline_and_interruption(self) -> None:
        interp = atoll.create(config="legacy")

        def spin() -> None:
            while True:
                pass

        interp.call(lambda: None)  # what this file imports is not cut off half-way
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.05).call(spin)
        assert interp.call(len, "ab") == 2
        interp.close()

    def test_nested_and_mixed(self) -> None:
        a, b = atoll.create(config="legacy"), atoll.create()
        c = atoll.create(config="legacy")

        def through(ids: list[int]) -> list[int]:
            here = atoll.get_current().id
            if not ids:
                return [here]
            return [here, *atoll.Interpreter(ids[0]).call(through, ids[1:])]

        assert a.call(through, [b.id, c.id]) == [a.id, b.id, c.id]
        for interp in (a, b, c):
            interp.close()
