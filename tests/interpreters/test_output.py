"""What an interpreter prints appears where its creator's prints appear, in order."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from typing import Any

import pytest
from children import LIMIT, run_child

import atoll


@pytest.fixture
def interp() -> Any:
    made = atoll.create()
    yield made
    made.close()


def captured(func: Any, *args: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        func(*args)
    return out.getvalue(), err.getvalue()


class TestCreator:
    def test_redirect(self, interp: atoll.Interpreter) -> None:
        def work() -> None:
            print("before")
            interp.exec("print('inside')")
            print("between")
            interp.call(print, "called", 1, sep="-")
            print("err first", file=sys.stderr)
            interp.exec("import sys; print('err', file=sys.stderr)")
            print("after")

        assert captured(work) == ("before\ninside\nbetween\ncalled-1\nafter\n", "err first\nerr\n")

    def test_capsys(self, interp: atoll.Interpreter, capsys: Any) -> None:
        interp.exec("print('seen')")
        assert capsys.readouterr().out == "seen\n"

    def test_capfd_too(self, interp: atoll.Interpreter, capfd: Any) -> None:
        interp.exec("print('seen')")
        assert capfd.readouterr().out == "seen\n"

    def test_text_without_a_newline(self, interp: atoll.Interpreter) -> None:
        def work() -> None:
            interp.exec("print('a', end='')")
            print("b", end="")
            interp.exec("print('c', end='', flush=True); print('d', end='')")
            print("e")

        assert captured(work)[0] == "abcde\n"

    def test_print_and_failure(self, interp: atoll.Interpreter) -> None:
        def work() -> None:
            with pytest.raises(atoll.ExecutionFailed):
                interp.exec("print('half a line', end=''); 1/0")
            print("|")

        assert captured(work)[0] == "half a line|\n"

    def test_text_of_every_kind(self, interp: atoll.Interpreter) -> None:
        text = "ünï \U0001f40d\t\r\0 end"
        assert captured(interp.call, print, text)[0] == text + "\n"
        assert captured(interp.exec, "import sys; sys.stdout.write('x\\ny\\nz')")[0] == "x\ny\nz"
        assert captured(interp.exec, "import sys; sys.stdout.writelines(['1\\n', '2\\n'])")[0] == "1\n2\n"
        big = "y" * 3_000_000
        assert captured(interp.call, print, big)[0] == big + "\n"

    def test_binary_side(self, interp: atoll.Interpreter) -> None:
        assert captured(interp.exec, "import sys; sys.stdout.buffer.write(b'bytes\\n'); sys.stdout.flush()")[
            0
        ] == ("bytes\n")

    def test_the_stream_s_attributes(self, interp: atoll.Interpreter) -> None:
        def look() -> Any:
            out = sys.stdout
            return (
                out.writable(),
                out.readable(),
                out.isatty(),
                out.encoding is None or isinstance(out.encoding, str),
                isinstance(out, io.TextIOBase),
                out.name,
                out.closed,
            )

        writable, readable, tty, encoded, text, name, closed = interp.call(look)
        assert (writable, readable, encoded, text, name, closed) == (
            True,
            False,
            True,
            True,
            "<stdout>",
            False,
        )
        assert tty is sys.stdout.isatty()
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.exec("import sys; sys.stdout.write(b'x')")
        assert isinstance(caught.value.__cause__, TypeError)

    def test_warnings_and_tracebacks(self, interp: atoll.Interpreter) -> None:
        def work() -> None:
            interp.exec("import warnings, traceback; warnings.simplefilter('default')")
            interp.exec("warnings.warn('careful')")
            interp.exec("try: 1/0\nexcept ZeroDivisionError: traceback.print_exc()")

        err = captured(work)[1]
        assert "careful" in err and err.endswith("ZeroDivisionError: division by zero\n")

    def test_logging(self, interp: atoll.Interpreter) -> None:
        assert "a record" in captured(interp.exec, "import logging; logging.warning('a record')")[1]

    def test_lines_of_threads_are_whole(self) -> None:
        interps = [atoll.create() for _ in range(3)]

        def work() -> None:
            def chatter(n: int) -> None:
                for i in range(50):
                    print(f"<{n}", end="")
                    print(f"-{i}", end="")
                    print(">")

            threads = [interp.call_in_thread(chatter, n) for n, interp in enumerate(interps)]
            for thread in threads:
                thread.join()

        lines = captured(work)[0].splitlines()
        assert sorted(lines) == sorted(f"<{n}-{i}>" for n in range(3) for i in range(50))
        for n in range(3):
            own = [line for line in lines if line.startswith(f"<{n}-")]
            assert own == [f"<{n}-{i}>" for i in range(50)]
        for interp in interps:
            interp.close()

    def test_thread_inside(self, interp: atoll.Interpreter) -> None:
        code = """
            import threading
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()
        """
        assert captured(interp.exec, code)[0] == "from a thread\n"

    def test_interpreters_in_interpreters(self, interp: atoll.Interpreter) -> None:
        def deep() -> None:
            print("outer")
            inner = atoll.create()
            inner.exec("print('inner')")
            print("outer again")
            inner.close()

        assert captured(interp.call, deep)[0] == "outer\ninner\nouter again\n"

    def test_redirected_in_between(self) -> None:
        """The creator's own redirection counts, wherever the caller is."""
        outer = atoll.create()
        inner = outer.call(atoll.create)

        def work(inner: atoll.Interpreter) -> str:
            target = io.StringIO()
            with contextlib.redirect_stdout(target):
                inner.exec("print('caught by the creator')")
            return target.getvalue()

        assert captured(inner.exec, "print('all the way')")[0] == "all the way\n"
        assert outer.call(work, inner) == "caught by the creator\n"
        inner.close()
        outer.close()

    def test_redirected_inside(self, interp: atoll.Interpreter) -> None:
        def work() -> str:
            target = io.StringIO()
            with contextlib.redirect_stdout(target):
                print("kept inside")
            return target.getvalue()

        assert captured(interp.call, work)[0] == ""
        assert interp.call(work) == "kept inside\n"

    def test_a_stream_that_raises(self, interp: atoll.Interpreter) -> None:
        class Bad(io.StringIO):
            def write(self, text: str) -> int:
                raise LookupError("no writing")

        with contextlib.redirect_stdout(Bad()):
            with pytest.raises(atoll.ExecutionFailed) as caught:
                interp.exec("print('x')")
        assert isinstance(caught.value.__cause__, LookupError)
        assert captured(interp.call, print, "fine")[0] == "fine\n"

    def test_no_stream(self, interp: atoll.Interpreter) -> None:
        with contextlib.redirect_stdout(None):
            interp.exec("print('to nobody')")
        assert captured(interp.call, print, "fine")[0] == "fine\n"

    def test_a_stream_that_calls_back(self, interp: atoll.Interpreter) -> None:
        other = atoll.create()

        class Calls(io.StringIO):
            def write(self, text: str) -> int:
                return super().write(other.call(str.upper, text))

        target = Calls()
        with contextlib.redirect_stdout(target):
            interp.exec("print('loud')")
        assert target.getvalue() == "LOUD\n"
        other.close()

    def test_atexit_and_close(self) -> None:
        def work() -> None:
            interp = atoll.create()
            interp.exec("import atexit; atexit.register(print, 'last words')")
            interp.close()
            print("closed")

        assert captured(work)[0] == "last words\nclosed\n"

    def test_while_the_creator_is_busy(self, interp: atoll.Interpreter) -> None:
        """Prints from another thread do not wait for the creator's call to end."""
        printed = threading.Event()

        class Tells(io.StringIO):
            def write(self, text: str) -> int:
                printed.set()
                return super().write(text)

        with contextlib.redirect_stdout(Tells()):
            thread = interp.call_in_thread(print, "from the other")
            assert printed.wait(LIMIT)
            thread.join()

    def test_input(self) -> None:
        run_child(
            """
            import atoll
            print(atoll.create().call(input, "name? "))
            """,
            stdin="somebody\n",
        ).check("name? somebody\n")

    def test_piped(self) -> None:
        """In program order also where the process's stdout is a pipe."""
        run_child(
            """
            import atoll
            interp = atoll.create()
            for i in range(3):
                print("main", i)
                interp.exec(f"print('interp', {i})")
            """
        ).check("".join(f"main {i}\ninterp {i}\n" for i in range(3)))

    def test_from_many_threads_to_a_pipe(self) -> None:
        done = run_child(
            """
            import atoll
            def chatter(n):
                for i in range(200):
                    print(f"line {n} {i}")
            with atoll.create() as a, atoll.create() as b:
                for interp, n in (a, 1), (b, 2):
                    interp.call_in_thread(chatter, n)
            """
        )
        done.check(done.out)
        assert sorted(done.out.splitlines()) == sorted(f"line {n} {i}" for n in (1, 2) for i in range(200))


class TestProcess:
    def test_writes_to_the_process(self) -> None:
        run_child(
            """
            import contextlib, io, atoll
            interp = atoll.create(stdio="process")
            seen = io.StringIO()
            with contextlib.redirect_stdout(seen):
                interp.exec("print('directly', flush=True)")
            assert seen.getvalue() == ""
            def look():
                import sys
                return sys.stdout.fileno(), type(sys.stdout).__name__
            assert interp.call(look) == (1, "TextIOWrapper")
            interp.close()
            """
        ).check("directly\n")


def test_closed_creator() -> None:
    """The creator is gone: printing is no error and no crash."""
    run_child(
        """
        import atoll
        outer = atoll.create()
        inner = outer.call(atoll.create)
        outer.close()
        inner.exec("print('x', flush=True); import sys; print('y', file=sys.stderr)")
        inner.close()
        print("end")
        """
    )
