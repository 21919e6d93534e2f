"""exec() and prepare_main(): text, code objects and functions in __main__ there."""

from __future__ import annotations

import functools
import threading
import types
from typing import Any

import pytest
from children import run_child

import atoll


@pytest.fixture
def interp() -> Any:
    made = atoll.create()
    yield made
    made.close()


def value(interp: atoll.Interpreter, name: str) -> Any:
    """A global of __main__ there."""
    return interp.call(eval, f"__import__('__main__').{name}")


def failure(interp: atoll.Interpreter, code: Any, **kwargs: Any) -> atoll.ExecutionFailed:
    with pytest.raises(atoll.ExecutionFailed) as caught:
        interp.exec(code, **kwargs)
    return caught.value


def script() -> None:
    global from_function
    from_function = __name__, "here"


class TestWhat:
    def test_text(self, interp: atoll.Interpreter) -> None:
        assert interp.exec("x = 1") is None  # type: ignore[func-returns-value]
        interp.exec("x += 1\ny = [x, __name__]")
        assert value(interp, "y") == [2, "__main__"]
        assert not hasattr(__import__("__main__"), "y")

    def test_the_same_text_again(self, interp: atoll.Interpreter) -> None:
        """A text that is kept compiled is run anew each time, in each interpreter."""
        other = atoll.create()
        for _ in range(5):
            interp.exec("n = globals().get('n', 0) + 1")
        other.exec("n = globals().get('n', 0) + 1")
        assert value(interp, "n") == 5 and value(other, "n") == 1
        # More texts than are kept, and one that is too long for that.
        for i in range(300):
            interp.exec(f"n = {i}")
        interp.exec("n = 0" + "\nn += 1" * 5000)
        assert value(interp, "n") == 5000
        other.close()

    def test_code_object(self, interp: atoll.Interpreter) -> None:
        code = compile("a = 5\ndef f(): return a * 2\nb = f()", "some file", "exec")
        interp.exec(code)
        assert value(interp, "b") == 10
        assert interp.call(eval, "__import__('__main__').f.__code__.co_filename") == "some file"
        interp.exec(compile("a", "e", "eval"))
        error = failure(interp, compile("1/0", "the place", "exec"))
        assert "the place" in error.excinfo.errdisplay

    def test_function(self, interp: atoll.Interpreter) -> None:
        interp.exec(script)
        assert value(interp, "from_function") == ("__main__", "here")

    def test_lambda(self, interp: atoll.Interpreter) -> None:
        interp.exec(lambda: globals().__setitem__("from_lambda", 3))
        assert value(interp, "from_lambda") == 3

    def test_subclass_of_str(self, interp: atoll.Interpreter) -> None:
        class Text(str):
            pass

        interp.exec(Text("t = 9"))
        assert value(interp, "t") == 9

    def test_any_text(self, interp: atoll.Interpreter) -> None:
        for text in ("", "\n", "   ", "# nothing", "\n\n  \n", "pass", "\f\n", "'''doc'''"):
            interp.exec(text)
        interp.exec("ünï = '\U0001f40d ß'\r\nwin = 1\r\n")
        assert value(interp, "ünï") == "\U0001f40d ß"
        # What a file would say about its encoding is no matter for text.
        interp.exec("# -*- coding: latin-1 -*-\nlatin = 'é'")
        assert value(interp, "latin") == "é"

    def test_text_that_is_no_program(self, interp: atoll.Interpreter) -> None:
        for text, kind in (
            ("print 1", SyntaxError),
            ("x = (", SyntaxError),
            ("x = 1\0", SyntaxError),
            ("def f():\npass", IndentationError),
            ("if 1:\n\tx\n        y\n  z", (IndentationError, TabError)),
            ("s = '\udc80'", (UnicodeEncodeError, SyntaxError)),
            ("return 1", SyntaxError),
            ("await x", SyntaxError),
        ):
            error = failure(interp, text)
            assert isinstance(error.__cause__, kind), (text, error.__cause__)
        interp.exec("still = 'usable'")

    @pytest.mark.parametrize(
        "wrong",
        [None, 1, b"x = 1", bytearray(b"x"), ["x = 1"], print, len, int, functools.partial(int), object()],
        ids=repr,
    )
    def test_wrong_types(self, interp: atoll.Interpreter, wrong: Any) -> None:
        with pytest.raises(TypeError, match="text, a code object or a function"):
            interp.exec(wrong)

    def test_functions_that_are_no_scripts(self, interp: atoll.Interpreter) -> None:
        n = 1

        def closure() -> int:
            return n

        def generator() -> Any:
            yield 1

        async def coroutine() -> None: ...

        async def agen() -> Any:
            yield 1

        def one(x): ...
        def default(x=1): ...
        def args(*a): ...
        def kwargs(**k): ...
        def keyword(*, k=1): ...

        for func in (closure, generator, coroutine, agen, one, default, args, kwargs, keyword):
            with pytest.raises(ValueError, match=r"exec\(\) takes"):
                interp.exec(func)
            with pytest.raises(ValueError, match=r"exec\(\) takes"):
                interp.exec(func.__code__)

        class C:
            def method(self) -> None: ...

        with pytest.raises(TypeError):
            interp.exec(C().method)

    def test_wrong_arguments(self, interp: atoll.Interpreter) -> None:
        for attempt in (
            lambda: interp.exec(),  # type: ignore[call-arg]
            lambda: interp.exec("x", "y"),  # type: ignore[call-arg, arg-type]
            lambda: interp.exec("x", other=1),  # type: ignore[call-arg]
            lambda: interp.exec(code="x"),  # type: ignore[call-arg]
        ):
            with pytest.raises(TypeError):
                attempt()


class TestDedent:
    def test_by_the_first_line_only(self, interp: atoll.Interpreter) -> None:
        interp.exec("""

            # a comment
            if True:
                text = '''
                    two
            one
                '''
            after = 1
        """)
        # A literal loses the margin that its lines share with the program, and no more.
        assert value(interp, "text") == "\n        two\none\n    "
        assert value(interp, "after") == 1

    def test_string_literals_that_stand_further_out(self, interp: atoll.Interpreter) -> None:
        interp.exec("    s = '''a\n  b\nc\n    d'''\n    t = 1")
        assert value(interp, "s") == "a\n  b\nc\nd"

    def test_tabs(self, interp: atoll.Interpreter) -> None:
        interp.exec("\tif 1:\n\t\tx = 'tab'\n\ty = 2")
        assert value(interp, "x") == "tab"

    def test_off(self, interp: atoll.Interpreter) -> None:
        assert isinstance(failure(interp, "  x = 1", dedent=False).__cause__, IndentationError)
        interp.exec("x = 2", dedent=False)
        assert value(interp, "x") == 2

    def test_positions(self, interp: atoll.Interpreter) -> None:
        """Line numbers stay those of the text."""
        error = failure(interp, "\n\n    a = 1\n    1/0\n")
        assert "line 4, in <module>" in error.excinfo.errdisplay

    def test_no_code_object_is_touched(self, interp: atoll.Interpreter) -> None:
        interp.exec(compile("z = 1", "f", "exec"), dedent=False)
        assert value(interp, "z") == 1


class TestState:
    def test_names_stay(self, interp: atoll.Interpreter) -> None:
        interp.exec("import math\ndef area(r): return math.pi * r * r")
        interp.exec("big = area(2) > 12")
        assert value(interp, "big") is True

    def test_after_a_failure(self, interp: atoll.Interpreter) -> None:
        failure(interp, "kept = 1\nraise ValueError('x')")
        assert value(interp, "kept") == 1

    def test_main_module_replaced(self, interp: atoll.Interpreter) -> None:
        interp.exec("import sys, types\nsys.modules['__main__'] = types.ModuleType('__main__')")
        interp.exec("q = 5")
        assert value(interp, "q") == 5

    def test_main_module_removed(self, interp: atoll.Interpreter) -> None:
        interp.exec("import sys\ndel sys.modules['__main__']")
        interp.exec("q = 6")
        assert value(interp, "q") == 6

    def test_is_running_while_it_runs(self, interp: atoll.Interpreter) -> None:
        def look() -> tuple[bool, list[bool]]:
            me = atoll.get_current()
            return me.is_running(), [one.is_running() for one in atoll.list_all() if one is me]

        assert interp.call(look) == (True, [True])
        assert not interp.is_running()
        with pytest.raises(TypeError):
            interp.is_running(1)  # type: ignore[call-arg]


class TestPrepareMain:
    def test_binds(self, interp: atoll.Interpreter) -> None:
        assert interp.prepare_main({"a": 1, "b": [2]}, c="three", ns="is a name like others") is None  # type: ignore[func-returns-value]
        interp.exec("assert (a, b, c, ns) == (1, [2], 'three', 'is a name like others')")
        interp.prepare_main([("d", 4), ("e", 5)])
        interp.exec("assert (d, e) == (4, 5)")
        interp.prepare_main(None, f=6)
        interp.prepare_main({"f": 1}, f=7)  # a keyword wins
        interp.exec("assert f == 7")

    def test_shared_references(self, interp: atoll.Interpreter) -> None:
        one: list[Any] = [1]
        one.append(one)
        interp.prepare_main(x=one, y=one, z=(one,))
        interp.exec("assert x is y is z[0] is x[1]")

    def test_functions_and_classes(self, interp: atoll.Interpreter) -> None:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        def norm(p: Point) -> int:
            return abs(p.x)

        interp.prepare_main(Point=Point, norm=norm, p=Point(-3))
        interp.exec("result = norm(p), norm(Point(-4)), type(p) is Point")
        assert value(interp, "result") == (3, 4, True)

    def test_all_or_none(self, interp: atoll.Interpreter) -> None:
        with pytest.raises(atoll.NotShareableError, match=r"ns\['bad'\]"):
            interp.prepare_main({"good": 1}, bad=threading.Lock())
        interp.exec("assert 'good' not in globals()")

    def test_nothing_to_bind(self, interp: atoll.Interpreter) -> None:
        for attempt in (lambda: interp.prepare_main(), lambda: interp.prepare_main({})):
            with pytest.raises(ValueError):
                attempt()

    @pytest.mark.parametrize(
        "wrong", [1, "abc", [1], [("a",)], {1: 2}, {"a": 1, b"b": 2}, object()], ids=repr
    )
    def test_wrong_types(self, interp: atoll.Interpreter, wrong: Any) -> None:
        with pytest.raises((TypeError, ValueError)):
            interp.prepare_main(wrong)
        with pytest.raises(TypeError):
            interp.prepare_main({"a": 1}, {"b": 2})  # type: ignore[call-arg]

    def test_value_that_cannot_be_rebuilt_there(self, interp: atoll.Interpreter) -> None:
        class Bad:
            def __reduce__(self) -> Any:
                return int, ("no number",)

        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.prepare_main(a=1, bad=Bad())
        assert isinstance(caught.value.__cause__, ValueError)
        interp.exec("assert 'a' not in globals()")

    def test_mapping_whose_code_fights_back(self, interp: atoll.Interpreter) -> None:
        class Mapping:
            def keys(self) -> Any:
                raise LookupError("no keys")

        with pytest.raises(LookupError, match="no keys"):
            interp.prepare_main(Mapping())

        class Closes:
            def keys(self) -> list[str]:
                return ["x"]

            def __getitem__(self, key: str) -> int:
                other.close()
                return 1

        other = atoll.create()
        with pytest.raises(atoll.InterpreterNotFoundError):
            other.prepare_main(Closes())


def test_the_documented_example() -> None:
    """As the standard module's documentation has it."""
    code = """
        from concurrent import interpreters
        interp = interpreters.create()
        interp.exec('print("spam!")')
        interp.exec('''if True:
            print('spam!')
            ''')
        from textwrap import dedent
        interp.exec(dedent('''
            print('spam!')
            '''))
        def run():
            print('spam!')
        interp.call(run)
        t = interp.call_in_thread(run)
        t.join()
    """
    run_child("import atoll; atoll.install()\n" + __import__("textwrap").dedent(code)).check("spam!\n" * 5)


def test_code_of_every_kind() -> None:
    """Types that compile() gives."""
    interp = atoll.create()
    assert isinstance(compile("1", "f", "single"), types.CodeType)
    interp.exec(compile("single = 1", "f", "single"))
    assert value(interp, "single") == 1
    interp.close()
