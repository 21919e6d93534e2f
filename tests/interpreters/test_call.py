"""call(): what can be called, what comes back, one run at a time."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
import functools
import math
import operator
import os
import string
import sys
import threading
import types
from typing import Any, NamedTuple

import pytest
from children import LIMIT, LONG, run_child

import atoll


@pytest.fixture
def interp() -> Any:
    made = atoll.create()
    yield made
    made.close()


class TestWhat:
    def test_importable(self, interp: atoll.Interpreter) -> None:
        assert interp.call(len, [1, 2]) == 2
        assert interp.call(int, "7", base=8) == 7
        assert interp.call(math.hypot, 3, 4) == 5.0
        assert interp.call(operator.itemgetter(1), "abc") == "b"
        assert interp.call(functools.partial(int, base=2), "101") == 5
        assert interp.call("a-b".split, "-") == ["a", "b"]
        assert interp.call([3, 1].index, 1) == 1
        assert interp.call(str.upper, "x") == "X"
        assert interp.call(collections.OrderedDict.fromkeys, "ab") == collections.OrderedDict(a=None, b=None)
        assert interp.call(string.Template("$a").substitute, a=1) == "1"

    def test_no_result(self, interp: atoll.Interpreter) -> None:
        assert interp.call(lambda: None) is None

    def test_identity_of_singletons(self, interp: atoll.Interpreter) -> None:
        def same(*values: Any) -> Any:
            assert (
                values[0] is None and values[1] is True and values[2] is ... and values[3] is NotImplemented
            )
            return values

        got = interp.call(same, None, True, ..., NotImplemented)
        assert all(a is b for a, b in zip(got, (None, True, ..., NotImplemented), strict=True))

    def test_many_arguments(self, interp: atoll.Interpreter) -> None:
        def f(*args: Any, **kwargs: Any) -> Any:
            return args, kwargs

        args = tuple(range(300))
        kwargs = {f"k{i}": i for i in range(300)}
        assert interp.call(f, *args, **kwargs) == (args, kwargs)
        assert interp.call(f, self=1, callable=2, args=3) == ((), {"self": 1, "callable": 2, "args": 3})
        assert interp.call(f, **{"not a name": 1, "": 2}) == ((), {"not a name": 1, "": 2})

    def test_wrong_arguments(self, interp: atoll.Interpreter) -> None:
        with pytest.raises(TypeError):
            interp.call()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            interp.call(callable=len)  # type: ignore[call-arg]
        for wrong in (1, "text", None, [len], {}):
            with pytest.raises(TypeError, match="callable"):
                interp.call(wrong)  # type: ignore[arg-type]

    def test_wrong_call_there(self, interp: atoll.Interpreter) -> None:
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(len)
        assert isinstance(caught.value.__cause__, TypeError)

    def test_callable_instances_and_methods(self, interp: atoll.Interpreter) -> None:
        class Adder:
            def __init__(self, n: int) -> None:
                self.n = n

            def __call__(self, x: int) -> int:
                return self.n + x

            def method(self, x: int) -> int:
                return self.n * x

            @classmethod
            def make(cls, n: int) -> Adder:
                return cls(n)

            @staticmethod
            def static(x: int) -> int:
                return -x

        assert interp.call(Adder(2), 3) == 5
        assert interp.call(Adder(2).method, 3) == 6
        assert interp.call(Adder.static, 3) == -3
        made = interp.call(Adder.make, 9)
        assert type(made) is Adder and made.n == 9
        assert interp.call(functools.partial(Adder(2).method, 4)) == 8
        assert interp.call(operator.methodcaller("method", 5), Adder(3)) == 15

    def test_functions_that_want_a_namespace(self, interp: atoll.Interpreter) -> None:
        """eval and its kin, called directly, use __main__ there, on every version."""
        interp.call(exec, "a = 5")
        interp.call(exec, "b = a + 1", None)
        assert interp.call(eval, "a + b") == 11
        assert interp.call(eval, "__name__") == "__main__"
        assert interp.call(eval, "a + c", {"a": 1, "c": 2}) == 3
        assert interp.call(eval, "a + c", {"a": 1}, {"c": 3}) == 4
        for func in (globals, locals, vars):
            with pytest.raises(atoll.NotShareableError, match=r"^result\['__builtins__'\]: <class 'module'>"):
                interp.call(func)
        assert {"a", "b"} <= set(interp.call(dir))
        assert interp.call(dir, 1) == dir(1)
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(eval)
        assert isinstance(caught.value.__cause__, TypeError)
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(eval, "unknown")
        assert isinstance(caught.value.__cause__, NameError)

    def test_runs_in_the_calling_thread(self, interp: atoll.Interpreter) -> None:
        assert interp.call(threading.get_native_id) == threading.get_native_id()
        assert interp.call(threading.get_ident) == threading.get_ident()

    def test_generators_and_coroutines_run_inside(self, interp: atoll.Interpreter) -> None:
        def count(n: int) -> Any:
            got = yield n
            while got:
                got = yield got

        def drive() -> list[Any]:
            it = count(3)
            return [next(it), it.send(4), it.send(5)]

        assert interp.call(drive) == [3, 4, 5]

        async def work(n: int) -> int:
            await asyncio.sleep(0)
            return n * 2

        async def numbers() -> Any:
            for i in range(3):
                await asyncio.sleep(0)
                yield i

        async def everything() -> Any:
            return [i async for i in numbers()], await asyncio.gather(work(1), work(2))

        def run() -> Any:
            return asyncio.run(everything())

        assert interp.call(run) == ([0, 1, 2], [2, 4])

    def test_generators_do_not_cross(self, interp: atoll.Interpreter) -> None:
        def gen() -> Any:
            yield 1

        async def coro() -> None: ...

        with pytest.raises(atoll.NotShareableError, match="result"):
            interp.call(gen)
        with pytest.raises(atoll.NotShareableError, match=r"args\[0\]"):
            interp.call(list, gen())
        c = coro()
        with pytest.raises(atoll.NotShareableError):
            interp.call(id, c)
        c.close()


class TestResults:
    def test_result_that_cannot_cross(self, interp: atoll.Interpreter) -> None:
        def opened() -> Any:
            return {"deep": [1, (2, open(os.devnull))]}

        with pytest.raises(
            atoll.NotShareableError, match=r"result\['deep'\]\[1\]\[1\].*TextIOWrapper"
        ) as caught:
            interp.call(opened)
        assert isinstance(caught.value.__cause__, TypeError)
        assert interp.call(len, ()) == 0

    def test_argument_that_cannot_cross(self, interp: atoll.Interpreter) -> None:
        with open(os.devnull) as file:
            with pytest.raises(
                atoll.NotShareableError, match=r"args\[0\]\['jobs'\]\[3\]: <class '_io.TextIOWrapper'>"
            ) as caught:
                interp.call(len, {"jobs": [0, 1, 2, file]})
            assert isinstance(caught.value.__cause__, TypeError)
            with pytest.raises(atoll.NotShareableError, match=r"kwargs\['key'\]"):
                interp.call(sorted, [], key=file)

            def closure() -> Any:
                return file

            with pytest.raises(atoll.NotShareableError, match="file"):
                interp.call(closure)

        class Holder:
            pass

        holder = Holder()
        holder.lock = threading.Lock()  # type: ignore[attr-defined]
        with pytest.raises(atoll.NotShareableError, match=r"args\[0\]\.lock: <class '_thread.lock'>"):
            interp.call(id, holder)
        with pytest.raises(atoll.NotShareableError, match="frame"):
            interp.call(id, sys._getframe())
        for module_like in (sys._getframe(), iter(()).__class__ and (x for x in ())):
            with pytest.raises(atoll.NotShareableError):
                interp.call(id, [[[module_like]]])

    def test_types_of_one_s_own_come_back(self, interp: atoll.Interpreter) -> None:
        class Colour(enum.Enum):
            RED = 1

        class Flag(enum.Flag):
            A = 1
            B = 2

        class Pair(NamedTuple):
            a: int
            b: Any = None

        @dataclasses.dataclass(frozen=True, slots=True, order=True)
        class Job:
            n: int
            tags: list[str] = dataclasses.field(default_factory=list, compare=False)

        for value in (Colour.RED, Flag.A | Flag.B, Pair(1), Pair(Colour.RED, Pair(2)), Job(1, ["x"])):
            back = interp.call(lambda x: x, value)
            assert back == value and type(back) is type(value)
        assert interp.call(lambda: Colour.RED) is Colour.RED
        assert interp.call(lambda: Colour) is Colour
        assert interp.call(lambda job: dataclasses.replace(job, n=job.n + 1), Job(1)) > Job(1)

    def test_subclasses_of_built_in_types(self, interp: atoll.Interpreter) -> None:
        class Int(int):
            pass

        class Str(str):
            tag = None

        class List(list):  # type: ignore[type-arg]
            pass

        class Dict(dict):  # type: ignore[type-arg]
            def __missing__(self, key: Any) -> str:
                return f"no {key}"

        class Bytes(bytes):
            __slots__ = ()

        class Error(ValueError):
            def __init__(self, a: int, *, b: int) -> None:
                super().__init__(a)
                self.b = b

        text = Str("x")
        text.tag = [1]  # type: ignore[assignment]
        mine = List([1])
        mine.append(mine)
        for value in (Int(5), text, Bytes(b"b"), Dict(a=1)):
            back = interp.call(lambda x: x, value)
            assert back == value and type(back) is type(value)
        assert interp.call(lambda x: x, text).tag == [1]
        back = interp.call(lambda x: x, mine)
        assert type(back) is List and back[1] is back
        assert interp.call(lambda d: d["q"], Dict()) == "no q"
        error = interp.call(lambda e: e, Error(1, b=2))
        assert type(error) is Error and error.b == 2 and error.args == (1,)

    def test_nan_and_friends(self, interp: atoll.Interpreter) -> None:
        nan = float("nan")
        back = interp.call(lambda *a: a, nan, math.inf, -0.0, complex(nan, -0.0), {nan: 1}, [nan, nan])
        assert math.isnan(back[0]) and back[1] == math.inf and math.copysign(1, back[2]) == -1
        assert math.isnan(back[3].real) and math.copysign(1, back[3].imag) == -1
        assert len(back[4]) == 1 and len(back[5]) == 2

    def test_lone_surrogates(self, interp: atoll.Interpreter) -> None:
        text = "a\ud800b\udfff\0\U0010ffff"
        assert interp.call(lambda s: (s, len(s)), text) == (text, len(text))
        assert interp.call(lambda **k: k, **{"\udcff": 1}) == {"\udcff": 1}


class TestOneAtATime:
    def test_from_another_thread(self, interp: atoll.Interpreter) -> None:
        inside, leave = atoll.sync.Event(), atoll.sync.Event()

        def hold(inside: Any, leave: Any) -> str:
            inside.set()
            leave.wait()
            return "done"

        thread = interp.call_in_thread(hold, inside, leave)
        future = thread.future
        assert inside.wait(LIMIT)
        assert interp.is_running()
        for attempt in (
            lambda: interp.call(len, ()),
            lambda: interp.exec("x = 1"),
            lambda: interp.prepare_main(x=1),
            lambda: interp.close(),
        ):
            with pytest.raises(atoll.InterpreterError, match="running"):
                attempt()
        leave.set()
        assert future.result(LIMIT) == "done"
        thread.join()
        assert interp.call(len, ()) == 0

    def test_nested(self, interp: atoll.Interpreter) -> None:
        other = atoll.create()

        def back_into(id: int) -> str:
            try:
                atoll.Interpreter(id).call(len, ())
            except atoll.InterpreterError as error:
                return str(error)
            return "it ran"

        def through(other: atoll.Interpreter) -> str:
            return other.call(back_into, atoll.get_current().id)

        assert "already running" in interp.call(through, other)
        assert interp.call(back_into, interp.id) != "it ran"
        other.close()

    def test_from_its_own_thread(self, interp: atoll.Interpreter) -> None:
        """A thread that code inside has started is no way round it."""

        def work() -> Any:
            told: list[str] = []

            def try_it() -> None:
                try:
                    atoll.get_current().call(len, ())
                except atoll.InterpreterError as error:
                    told.append(str(error))

            thread = threading.Thread(target=try_it)
            thread.start()
            thread.join()
            return told

        assert "running" in interp.call(work)[0]

    def test_many_threads_take_turns(self, interp: atoll.Interpreter) -> None:
        """Each call either runs or is refused; none is lost or mixed up."""
        done, refused, wrong = [], [], []

        def work(n: int) -> None:
            for i in range(200):
                try:
                    got = interp.call(lambda a, b: (a, b, threading.get_ident()), n, i)
                except atoll.InterpreterError:
                    refused.append(n)
                else:
                    (done if got == (n, i, threading.get_ident()) else wrong).append(got)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(done) + len(refused) == 800
        assert done
        assert interp.call(len, ()) == 0


class TestWhatIsLeft:
    def test_context_variables(self, interp: atoll.Interpreter) -> None:
        def use(value: int) -> Any:
            import contextvars

            global variable
            if "variable" not in globals():
                variable = contextvars.ContextVar("v", default=0)
            before = variable.get()
            variable.set(value)
            return before

        assert [interp.call(use, n) for n in (1, 2, 3)] == [0, 0, 0]

    def test_tracing_ends_with_the_call(self, interp: atoll.Interpreter) -> None:
        def trace() -> None:
            sys.settrace(lambda *a: None)
            sys.setprofile(lambda *a: None)
            sys.set_coroutine_origin_tracking_depth(5)
            sys.set_asyncgen_hooks(firstiter=lambda a: None, finalizer=lambda a: None)

        def look() -> Any:
            return (
                sys.gettrace(),
                sys.getprofile(),
                sys.get_coroutine_origin_tracking_depth(),
                tuple(sys.get_asyncgen_hooks()),
            )

        interp.call(trace)
        assert interp.call(look) == (None, None, 0, (None, None))

    def test_exception_state(self, interp: atoll.Interpreter) -> None:
        def handle() -> Any:
            try:
                raise ValueError
            except ValueError:
                return sys.exception() is not None

        assert interp.call(handle)
        assert interp.call(sys.exception) is None
        try:
            raise KeyError
        except KeyError:
            # The caller's exception is none of the target's business.
            assert interp.call(sys.exception) is None
            assert isinstance(sys.exception(), KeyError)

    def test_thread_locals_stay_per_thread(self, interp: atoll.Interpreter) -> None:
        def use(n: Any) -> Any:
            global local
            if "local" not in globals():
                local = threading.local()
            before = getattr(local, "n", None)
            local.n = n
            return before

        assert interp.call(use, 1) is None
        assert interp.call(use, 2) == 1
        other = interp.call_in_thread(use, 3)
        assert other.future.result(LIMIT) is None
        other.join()
        assert interp.call(use, 4) == 2

    def test_recursion_limit(self, interp: atoll.Interpreter) -> None:
        def deep(n: int) -> int:
            return 0 if n == 0 else 1 + deep(n - 1)

        assert interp.call(deep, 500) == 500
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(deep, 10**6)
        assert isinstance(caught.value.__cause__, RecursionError)
        assert interp.call(deep, 500) == 500


@pytest.mark.parametrize("stack", [0, 256 << 10, 1 << 20] if LONG else [0, 256 << 10])
def test_recursion_through_interpreters(stack: int) -> None:
    """Without end, in Python and in interpreters, on stacks of several sizes: a RecursionError."""
    run_child(
        """
        import sys, threading, atoll

        def dive(n, k):
            if n:
                return dive(n - 1, k)
            inner = atoll.create()
            try:
                return inner.call(dive, k, k)
            finally:
                inner.close()

        def start():
            interp = atoll.create()
            try:
                interp.call(dive, 50, 50)
            except atoll.ExecutionFailed as error:
                while error.__cause__ is not None:
                    error = error.__cause__
                assert isinstance(error, RecursionError), repr(error)
            else:
                raise AssertionError("it came to an end")
            assert interp.call(len, "ab") == 2
            interp.close()
            assert atoll.list_all() == [atoll.get_main()]
            print("ok")

        if int(sys.argv[1]):
            threading.stack_size(int(sys.argv[1]))
            thread = threading.Thread(target=start)
            thread.start()
            thread.join()
        else:
            start()
        """,
        str(stack),
    ).check("ok\n")


class TestExits:
    @pytest.mark.parametrize("code", [None, 0, 3, "text"], ids=repr)
    def test_sys_exit(self, interp: atoll.Interpreter, code: Any) -> None:
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(sys.exit, code)
        assert caught.value.excinfo.type.__name__ == "SystemExit"
        assert type(caught.value.__cause__) is SystemExit
        assert caught.value.__cause__.code == code
        with pytest.raises(atoll.ExecutionFailed):
            interp.exec(f"import sys; sys.exit({code!r})")
        with pytest.raises(atoll.ExecutionFailed):
            interp.exec("exit()")
        assert interp.call(len, ()) == 0

    def test_base_exceptions(self, interp: atoll.Interpreter) -> None:
        for kind in (KeyboardInterrupt, GeneratorExit, BaseException, asyncio.CancelledError):

            def fail() -> None:
                raise kind("x")

            with pytest.raises(atoll.ExecutionFailed) as caught:
                interp.call(fail)
            assert type(caught.value.__cause__) is kind

    def test_exception_groups(self, interp: atoll.Interpreter) -> None:
        class Own(Exception):
            pass

        def fail() -> None:
            group = ExceptionGroup("several", [Own(1), ExceptionGroup("inner", [KeyError("k"), Own(2)])])
            group.add_note("a note")
            raise group from Own("the cause")

        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(fail)
        group = caught.value.__cause__
        assert isinstance(group, ExceptionGroup)
        assert group.__notes__ == ["a note"]
        assert type(group.__cause__) is Own
        try:
            raise group
        except* Own as own:
            assert [type(e) for e in own.exceptions[0:1]] == [Own]
        except* KeyError:
            pass


def test_an_object_that_changes_while_it_is_sent() -> None:
    """Another thread changes containers while calls send them: an exception or a value, and no crash."""
    run_child(
        """
        import sys, threading, atoll
        sys.setswitchinterval(1e-4)  # the others run in the middle of most calls
        interp = atoll.create()
        values = [list(range(50)), {i: i for i in range(50)}, set(range(50)), bytearray(500)]
        stop = False

        def change():
            n = 0
            while not stop:
                n += 1
                l, d, s, b = values
                l.append(n); d[n] = n; s.add(n); b.extend(b"xyz")
                if n % 100 == 0:
                    del l[50:]; d.clear(); s.clear(); del b[500:]
                if n % 7 == 0:
                    l.pop(0); l.insert(0, [n])

        threads = [threading.Thread(target=change) for _ in range(2)]
        for thread in threads:
            thread.start()
        sent = failed = 0
        try:
            for _ in range(400):
                try:
                    got = interp.call(lambda v: [len(x) for x in v], values)
                    assert len(got) == 4
                    sent += 1
                except RuntimeError as error:
                    assert "changed size" in str(error), error
                    failed += 1
        finally:
            stop = True
            for thread in threads:
                thread.join()
        assert sent + failed == 400 and sent
        assert interp.call(len, "abc") == 3
        print("ok")
        """
    ).check("ok\n")


class TestHostile:
    """Code of the values themselves, at both ends."""

    def test_reduce_that_raises(self, interp: atoll.Interpreter) -> None:
        class Bad:
            def __reduce_ex__(self, protocol: int) -> Any:
                raise LookupError("not me")

        with pytest.raises(atoll.NotShareableError, match=r"args\[0\]\[1\]") as caught:
            interp.call(len, [0, Bad()])
        assert isinstance(caught.value.__cause__, LookupError)

    def test_reduce_that_exits(self, interp: atoll.Interpreter) -> None:
        class Bad:
            def __reduce__(self) -> Any:
                raise SystemExit(3)

        with pytest.raises(SystemExit):
            interp.call(len, [Bad()])
        assert interp.call(len, ()) == 0

    def test_reduce_that_calls(self, interp: atoll.Interpreter) -> None:
        other = atoll.create()

        class Calls:
            def __init__(self, target: atoll.Interpreter) -> None:
                self.target = target

            def __reduce__(self) -> Any:
                return int, (self.target.call(str, 7),)

        # The interpreter is not running yet while its arguments are written.
        assert interp.call(lambda x: x, [Calls(interp), Calls(other)]) == [7, 7]
        other.close()

    def test_reduce_that_closes_the_target(self) -> None:
        interp = atoll.create()

        class Closes:
            def __reduce__(self) -> Any:
                interp.close()
                return int, ("1",)

        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.call(len, [Closes()])

    def test_result_that_fights_back(self, interp: atoll.Interpreter) -> None:
        def make(kind: str) -> Any:
            class Bad:
                def __reduce__(self) -> Any:
                    if kind == "raises":
                        raise LookupError("not me")
                    if kind == "exits":
                        raise SystemExit(4)
                    if kind == "calls":
                        return str, (atoll.create().call(str, 8),)
                    return eval, ("1/0",)  # fails in the receiver

            return [Bad()]

        with pytest.raises(atoll.NotShareableError, match=r"result\[0\]") as caught:
            interp.call(make, "raises")
        assert isinstance(caught.value.__cause__, LookupError)
        with pytest.raises(BaseException) as exited:
            interp.call(make, "exits")
        assert isinstance(exited.value, (SystemExit, atoll.ExecutionFailed))
        assert interp.call(make, "calls") == ["8"]
        with pytest.raises(ZeroDivisionError):
            interp.call(make, "fails here")
        assert interp.call(len, ()) == 0

    def test_hash_and_eq_that_raise(self, interp: atoll.Interpreter) -> None:
        class Key:
            def __init__(self, n: int, armed: bool = False) -> None:
                self.n, self.armed = n, armed

            def __hash__(self) -> int:
                if self.armed and atoll.get_current() is not atoll.get_main():
                    raise LookupError("hash")
                return 1

            def __eq__(self, other: object) -> bool:
                if self.armed and atoll.get_current() is not atoll.get_main():
                    raise LookupError("eq")
                return self is other

        assert interp.call(len, {Key(1): 1, Key(2): 2}) == 2
        for value in ({Key(1, True): 1}, {Key(1, True)}, frozenset([Key(1, True)])):
            with pytest.raises(atoll.ExecutionFailed) as caught:
                interp.call(len, value)
            assert isinstance(caught.value.__cause__, LookupError)

    def test_del_that_raises_or_calls(self, interp: atoll.Interpreter) -> None:
        run_child(
            """
            import sys, atoll
            sys.unraisablehook = lambda u: None
            interp = atoll.create()
            other = atoll.create()
            interp.exec("import sys; sys.unraisablehook = lambda u: None")

            class Dies:
                def __init__(self, how, target=None):
                    self.how, self.target = how, target
                def __del__(self):
                    if self.how == "raises":
                        raise ValueError
                    if self.how == "exits":
                        raise SystemExit
                    if self.how == "calls":
                        self.target.call(len, ())
                    if self.how == "back":
                        atoll.get_main().call(len, ())
                    if self.how == "closes":
                        atoll.get_current().close()

            for how in ("raises", "exits", "calls", "back", "closes"):
                assert interp.call(len, [Dies(how, other)]) == 1
                assert interp.call(lambda x: None, Dies(how, other)) is None
            assert interp.call(len, "ab") == 2
            interp.close(); other.close()
            print("ok")
            """
        ).check("ok\n")

    def test_errors_whose_code_fights_back(self, interp: atoll.Interpreter) -> None:
        class Bad(Exception):
            def __str__(self) -> str:
                raise LookupError("no text")

            __repr__ = __str__

            def __reduce__(self) -> Any:
                raise LookupError("no pickle")

        def fail() -> None:
            raise Bad

        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(fail)
        assert caught.value.excinfo.type.__name__ == "Bad"
        str(caught.value)
        assert interp.call(len, ()) == 0

        class Exits(Exception):
            def __str__(self) -> str:
                raise SystemExit

        def fail2() -> None:
            raise Exits

        with pytest.raises(atoll.InterpreterError) as caught2:
            interp.call(fail2)
        assert isinstance(caught2.value, atoll.ExecutionFailed)

    def test_metaclass_that_fights_back(self, interp: atoll.Interpreter) -> None:
        class Meta(type):
            def __getattribute__(cls, name: str) -> Any:
                if name in ("__reduce_ex__", "__qualname__", "__module__"):
                    raise LookupError(name)
                return super().__getattribute__(name)

        class Odd(metaclass=Meta):
            pass

        try:
            interp.call(id, Odd)
        except (atoll.NotShareableError, LookupError, atoll.ExecutionFailed):
            pass
        assert interp.call(len, ()) == 0

    def test_getattr_of_modules(self, interp: atoll.Interpreter) -> None:
        module = types.ModuleType("made_here")
        exec("def __getattr__(name): raise SystemError(name)\ndef f(): return 5", vars(module))
        sys.modules["made_here"] = module
        try:
            assert interp.call(module.f) == 5
        finally:
            del sys.modules["made_here"]
