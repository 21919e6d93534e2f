"""The exceptions: their types, what they tell, how they cross and pickle."""

from __future__ import annotations

import copy
import pickle
import queue
import sys
import traceback
from typing import Any

import pytest
from children import run_child

import atoll


@pytest.fixture
def interp() -> Any:
    made = atoll.create()
    yield made
    made.close()


def failed(interp: atoll.Interpreter, func: Any, *args: Any) -> atoll.ExecutionFailed:
    with pytest.raises(atoll.ExecutionFailed) as caught:
        interp.call(func, *args)
    return caught.value


class TestTypes:
    def test_hierarchy(self) -> None:
        assert issubclass(atoll.InterpreterError, Exception)
        assert issubclass(atoll.InterpreterNotFoundError, atoll.InterpreterError)
        assert issubclass(atoll.ExecutionFailed, atoll.InterpreterError)
        assert issubclass(atoll.ExecutionTimeout, atoll.ExecutionFailed)
        assert issubclass(atoll.ExecutionTimeout, TimeoutError)
        assert issubclass(atoll.ExecutionInterrupted, atoll.ExecutionFailed)
        assert issubclass(atoll.NotShareableError, TypeError)
        assert issubclass(atoll.Interrupted, BaseException)
        assert not issubclass(atoll.Interrupted, Exception)
        assert issubclass(atoll.QueueEmpty, (atoll.QueueError,)) and issubclass(atoll.QueueEmpty, queue.Empty)
        assert issubclass(atoll.QueueFull, queue.Full) and issubclass(atoll.OwnerDiedError, RuntimeError)

    @pytest.mark.python(">=3.13")
    def test_the_built_in_ones_catch(self, interp: atoll.Interpreter) -> None:
        import _interpreters  # type: ignore[import-not-found, unused-ignore]

        assert atoll.InterpreterError is _interpreters.InterpreterError
        assert atoll.InterpreterNotFoundError is _interpreters.InterpreterNotFoundError
        assert issubclass(atoll.NotShareableError, _interpreters.NotShareableError)
        with pytest.raises(_interpreters.NotShareableError):
            interp.call(id, sys._getframe())
        with pytest.raises(_interpreters.InterpreterNotFoundError):
            atoll.Interpreter(10**9)
        with pytest.raises(_interpreters.InterpreterError):
            interp.call(int, "x")

    @pytest.mark.parametrize(
        "name",
        [
            "ExecutionFailed",
            "ExecutionInterrupted",
            "ExecutionTimeout",
            "Interrupted",
            "ItemInterpreterDestroyed",
            "OwnerDiedError",
            "QueueEmpty",
            "QueueError",
            "QueueFull",
            "QueueItemError",
            "QueueNotFoundError",
            "QueueShutDown",
        ],
    )
    def test_names_and_docstrings(self, name: str) -> None:
        kind = getattr(atoll, name)
        assert (kind.__name__, kind.__qualname__, kind.__module__) == (name, name, "atoll")
        assert kind.__doc__

    def test_every_name_pickles_by_reference(self) -> None:
        interp = atoll.create()
        for name in atoll.__all__:
            value = getattr(atoll, name)
            if isinstance(value, type):
                assert interp.call(lambda x: x, value) is value
                # 3.13 calls the module of its own two by a name that does not exist.
                if value.__module__ != "interpreters":
                    assert pickle.loads(pickle.dumps(value)) is value
        interp.close()


class TestExcinfo:
    def test_attributes(self, interp: atoll.Interpreter) -> None:
        error = failed(interp, int, "x")
        info = error.excinfo
        assert info.type.__name__ == info.type.__qualname__ == "ValueError"
        assert info.type.__module__ == "builtins"
        assert info.msg == "invalid literal for int() with base 10: 'x'"
        assert info.formatted == f"ValueError: {info.msg}"
        assert info.errdisplay.endswith(info.formatted)
        assert not info.errdisplay.endswith("\n")
        assert str(error) == f"{info.formatted}\n\nUncaught in the interpreter:\n\n{info.errdisplay}"
        assert error.args == (info.formatted,)

    def test_the_module_is_told_but_for_builtins_and_scripts(self, interp: atoll.Interpreter) -> None:
        def local() -> None:
            class Local(Exception):
                pass

            raise Local(1)

        strange = "raise type('Strange', (Exception,), {'__module__': 5})(2)"
        assert failed(interp, eval, "__import__('json').loads('{')").excinfo.formatted.startswith(
            "json.decoder.JSONDecodeError: Expecting"
        )
        assert failed(interp, local).excinfo.formatted.endswith("local.<locals>.Local: 1")
        assert failed(interp, exec, strange).excinfo.formatted == "Strange: 2"

    def test_own_class(self, interp: atoll.Interpreter) -> None:
        class Outer:
            class Inner(Exception):
                pass

        def fail() -> None:
            raise Outer.Inner("why")

        info = failed(interp, fail).excinfo
        assert info.type.__name__ == "Inner"
        assert info.type.__qualname__.endswith("Outer.Inner")

    def test_traceback_names_the_lines(self, interp: atoll.Interpreter) -> None:
        def inner(n: int) -> float:
            return 1 / n

        def outer() -> float:
            return inner(0)

        display = failed(interp, outer).excinfo.errdisplay
        assert __file__ in display and "in outer" in display and "in inner" in display
        assert "return 1 / n" in display

    def test_the_name_shows(self) -> None:
        interp = atoll.create(name="worker-7")
        error = failed(interp, int, "x")
        assert "\n\nUncaught in the interpreter: 'worker-7'\n\n" in str(error)
        assert "worker-7" in "".join(traceback.format_exception(error))
        # It is told by copies, too, and by one that passes another interpreter.
        other = atoll.create()
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert str(other.call(lambda e: e, error)) == str(error)
        interp.name = "another"
        assert "worker-7" in str(error) and "'another'" in str(failed(interp, int, "x"))
        interp.close()
        other.close()

    def test_equality_and_repr(self, interp: atoll.Interpreter) -> None:
        one, other = failed(interp, int, "x").excinfo, failed(interp, int, "x").excinfo
        assert one == other and one != failed(interp, int, "y").excinfo and one != 1
        assert repr(one) == f"<excinfo {one.formatted!r}>"

    def test_long_text_is_bounded(self, interp: atoll.Interpreter) -> None:
        def fail(n: int) -> None:
            raise ValueError("x" * n)

        error = failed(interp, fail, 10_000_000)
        assert len(str(error)) < 200_000
        assert len(str(error.__cause__)) == 10_000_000

    def test_text_with_lone_surrogates(self, interp: atoll.Interpreter) -> None:
        def fail() -> None:
            raise ValueError("\udc80 \0 end")

        error = failed(interp, fail)
        assert error.excinfo.msg == "\udc80 \0 end" and str(error.__cause__) == "\udc80 \0 end"


class TestCause:
    def test_is_the_exception_itself(self, interp: atoll.Interpreter) -> None:
        class Mine(LookupError):
            def __init__(self, a: int, *, b: Any) -> None:
                super().__init__(f"a={a}")
                self.a, self.b = a, b

        def fail() -> None:
            raise Mine(1, b=[2])

        cause = failed(interp, fail).__cause__
        assert type(cause) is Mine and (cause.a, cause.b, str(cause)) == (1, [2], "a=1")

    def test_chain(self, interp: atoll.Interpreter) -> None:
        def fail() -> None:
            try:
                try:
                    {}["k"]
                except KeyError:
                    raise ValueError("second")
            except ValueError as error:
                last = TypeError("third")
                last.add_note("a note")
                raise last from error

        cause = failed(interp, fail).__cause__
        assert type(cause) is TypeError and cause.__notes__ == ["a note"]
        assert type(cause.__cause__) is ValueError and cause.__suppress_context__
        assert type(cause.__cause__.__context__) is KeyError and not cause.__cause__.__suppress_context__

    def test_from_none(self, interp: atoll.Interpreter) -> None:
        def fail() -> None:
            try:
                1 / 0
            except ZeroDivisionError:
                raise ValueError from None

        cause = failed(interp, fail).__cause__
        assert cause is not None and cause.__suppress_context__ and cause.__cause__ is None

    def test_circle(self, interp: atoll.Interpreter) -> None:
        def fail() -> None:
            a, b = ValueError("a"), KeyError("b")
            a.__context__, b.__context__ = b, a
            raise a

        cause = failed(interp, fail).__cause__
        assert cause is not None and cause.__context__ is not None and cause.__context__.__context__ is cause

    def test_group(self, interp: atoll.Interpreter) -> None:
        class Own(Exception):
            pass

        def fail() -> None:
            raise BaseExceptionGroup(
                "all", [Own(1), ExceptionGroup("inner", [KeyError(2)]), KeyboardInterrupt()]
            )

        cause = failed(interp, fail).__cause__
        assert isinstance(cause, BaseExceptionGroup) and cause.message == "all"
        own, inner, ctrl_c = cause.exceptions
        assert type(own) is Own and type(inner) is ExceptionGroup and type(ctrl_c) is KeyboardInterrupt

    def test_that_cannot_cross(self, interp: atoll.Interpreter) -> None:
        def fail() -> None:
            raise ValueError("has a frame", sys._getframe())

        error = failed(interp, fail)
        assert error.__cause__ is None
        assert error.excinfo.msg.startswith("('has a frame', <frame")

    def test_attributes_that_cannot_cross(self, interp: atoll.Interpreter) -> None:
        """The exception crosses without them, or not at all; the text always does."""

        def fail() -> None:
            error = ValueError("text")
            error.lock = __import__("threading").Lock()  # type: ignore[attr-defined]
            raise error

        error = failed(interp, fail)
        assert error.excinfo.msg == "text"
        assert error.__cause__ is None or str(error.__cause__) == "text"

    def test_os_error_and_unicode_error(self, interp: atoll.Interpreter) -> None:
        cause = failed(interp, open, "/no/such/file").__cause__
        assert type(cause) is FileNotFoundError and cause.errno == 2 and cause.filename == "/no/such/file"
        cause = failed(interp, lambda: b"\xff".decode()).__cause__
        assert type(cause) is UnicodeDecodeError and cause.object == b"\xff"
        cause = failed(interp, eval, "1 +").__cause__
        assert type(cause) is SyntaxError and cause.text == "1 +"
        cause = failed(interp, lambda: unknown_name).__cause__  # type: ignore[name-defined]
        assert type(cause) is NameError and cause.name == "unknown_name"
        cause = failed(interp, lambda: __import__("no_such_module")).__cause__
        assert type(cause) is ModuleNotFoundError and cause.name == "no_such_module"
        cause = failed(interp, next, iter([])).__cause__
        assert type(cause) is StopIteration

    def test_nested_interpreters(self, interp: atoll.Interpreter) -> None:
        other = atoll.create(name="the inner")
        error = failed(interp, lambda o: o.call(int, "x"), other)
        inner = error.__cause__
        assert type(inner) is atoll.ExecutionFailed and type(inner.__cause__) is ValueError
        assert "the inner" in str(inner)
        other.close()

    def test_raise_again(self, interp: atoll.Interpreter) -> None:
        """What came back can be raised like one's own."""
        error = failed(interp, int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            raise error.__cause__  # type: ignore[misc]


class TestCrossing:
    def test_all_of_them_pickle_and_cross(self, interp: atoll.Interpreter) -> None:
        def spin() -> None:
            while True:
                pass

        made: list[BaseException] = [failed(interp, int, "x")]
        interp.call(lambda: None)  # what this file imports is not cut off half-way
        with pytest.raises(atoll.ExecutionTimeout) as late:
            interp.options(timeout=0.02).call(spin)
        made.append(late.value)
        for kind in (
            atoll.InterpreterError,
            atoll.InterpreterNotFoundError,
            atoll.NotShareableError,
            atoll.Interrupted,
            atoll.QueueEmpty,
            atoll.QueueFull,
            atoll.QueueError,
            atoll.QueueNotFoundError,
            atoll.QueueShutDown,
            atoll.ItemInterpreterDestroyed,
            atoll.OwnerDiedError,
        ):
            made.append(kind("a text"))
        info = made[0].excinfo  # type: ignore[attr-defined]
        made.append(atoll.ExecutionInterrupted(info))
        made[0].add_note("a note")
        for error in made:
            for again in (
                pickle.loads(pickle.dumps(error)),
                copy.copy(error),
                interp.call(lambda e: e, error),
                interp.call(lambda e: e, [error])[0],
            ):
                assert type(again) is type(error)
                assert str(again) == str(error) and again.args == error.args
                assert getattr(again, "excinfo", None) == getattr(error, "excinfo", None)
                assert getattr(again, "__notes__", None) == getattr(error, "__notes__", None)

    def test_cause_crosses_along(self, interp: atoll.Interpreter) -> None:
        again = interp.call(lambda e: e, failed(interp, int, "x"))
        assert type(again.__cause__) is ValueError

    def test_raised_there(self, interp: atoll.Interpreter) -> None:
        def fail(error: BaseException) -> None:
            raise error

        for error in (atoll.NotShareableError("x"), atoll.Interrupted(), atoll.QueueEmpty()):
            cause = failed(interp, fail, error).__cause__
            assert type(cause) is type(error)

    def test_constructed_by_hand(self) -> None:
        class Info:
            type = None
            msg = "only a message"
            formatted = None
            errdisplay = None

        error = atoll.ExecutionFailed(Info)
        assert str(error) == "only a message"
        error = atoll.ExecutionTimeout(Info)
        assert str(error) == "only a message" and error.args == ("only a message",)
        with pytest.raises((TypeError, AttributeError)):
            atoll.ExecutionFailed()  # type: ignore[call-arg]


class TestNotShareable:
    def test_place_and_cause(self, interp: atoll.Interpreter) -> None:
        import threading

        lock = threading.Lock()

        class Holder:
            __slots__ = ("inside",)

        holder = Holder()
        holder.inside = {"key": (1, [lock])}  # type: ignore[attr-defined]
        cases: list[tuple[Any, str]] = [
            (lock, r"args[0]: <class '_thread.lock'>"),
            ({"jobs": [0, 1, 2, lock]}, r"args[0]['jobs'][3]: <class '_thread.lock'>"),
            ({(1, 2): lock}, r"args[0][...]: <class '_thread.lock'>"),
            (holder, r"args[0].inside['key'][1][0]: <class '_thread.lock'>"),
        ]
        for value, text in cases:
            with pytest.raises(atoll.NotShareableError) as caught:
                interp.call(id, value)
            assert str(caught.value).startswith(text), str(caught.value)
            assert caught.value.__cause__ is not None
        with pytest.raises(atoll.NotShareableError, match=r"kwargs\['key'\]\[1\]"):
            interp.call(sorted, [], key=[0, lock])

    def test_in_a_set(self, interp: atoll.Interpreter) -> None:
        import threading

        with pytest.raises(atoll.NotShareableError, match=r"args\[0\].*<class '_thread.lock'>"):
            interp.call(id, {threading.Lock()})

    def test_global_of_a_function(self) -> None:
        done = run_child(
            """
            import threading, atoll
            lock = threading.Lock()
            def uses():
                return lock
            try:
                atoll.create().call(uses)
            except atoll.NotShareableError as error:
                print(error)
            """
        )
        assert done.status == 0 and done.err == ""
        assert done.out == "callable.globals['lock']: <class '_thread.lock'>\n"
