"""call_in_thread(), options() and the with statement of Interpreter."""

from __future__ import annotations

import threading
import weakref

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any, TypeVar
    from typing import Generic as _Generic

    _T = TypeVar("_T")
else:
    from types import GenericAlias

    class _Generic:
        """typing.Generic, without importing typing."""

        __class_getitem__ = classmethod(GenericAlias)


__all__ = ["InterpreterThread", "Options"]

_numbers = iter(range(1, 1 << 62))

#: The threads that call_in_thread started and that may still run, by interpreter id.
_started: dict[int, weakref.WeakSet[InterpreterThread[Any]]] = {}


class InterpreterThread(threading.Thread, _Generic["_T"]):
    """A thread that runs one call in an interpreter.

    ``future`` is a concurrent.futures.Future of its result; an error goes
    there if the future was ever asked for, else to threading.excepthook.
    """

    def __init__(
        self,
        interp: _core.Interpreter,
        timeout: float | None,
        func: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        label = getattr(func, "__qualname__", None) or type(func).__name__
        where = interp.name or f"interpreter {interp.id}"
        super().__init__(name=f"{where}-{next(_numbers)} ({label})", daemon=False)
        self._work: Any = (interp, timeout, func, args, kwargs)
        self._call = interp._name_call()
        self._guard = threading.Lock()
        self._future: Future[_T] | None = None
        self._outcome: tuple[bool, Any] | None = None

    def run(self) -> None:
        interp, timeout, func, args, kwargs = self._work
        self._work = None
        try:
            if timeout is None:
                result = interp._call_as(self._call, None, func, *args, **kwargs)
            else:
                from . import _watch

                watched = _watch.watch(self, interp, timeout)
                try:
                    result = interp._call_as(self._call, timeout, func, *args, **kwargs)
                finally:
                    _watch.unwatch(watched)
        except BaseException as error:
            if not self._finish(False, error):
                raise
        else:
            self._finish(True, result)
        finally:
            # A traceback that is kept must not keep the interpreter open.
            del interp, func, args, kwargs

    def _finish(self, ok: bool, value: Any) -> bool:
        """Keep the outcome, if it is the first one; False if nobody has asked for it."""
        with self._guard:
            if self._outcome is not None:
                return True  # it was given up at its deadline
            self._outcome = ok, value
            future = self._future
        if future is None:
            return False
        _settle(future, ok, value)
        return True

    @property
    def future(self) -> Future[_T]:
        """The Future of the call's result (or exception)."""
        with self._guard:
            if self._future is None:
                from concurrent.futures import Future

                self._future = Future()
                self._future.set_running_or_notify_cancel()
                outcome = self._outcome
            else:
                outcome = None
            future = self._future
        if outcome is not None:
            _settle(future, *outcome)
        return future

    def interrupt(self, exc: Any = None) -> bool:
        """Interrupt the call; False if it is over.

        One that has not begun yet fails with ExecutionInterrupted when it
        begins.  Nothing else that runs in the same interpreter is hit.
        """
        return self._call.interrupt() if exc is None else self._call.interrupt(exc)


def _settle(future: Future[Any], ok: bool, value: Any) -> None:
    if ok:
        future.set_result(value)
    else:
        future.set_exception(value)


def start_thread(
    interp: _core.Interpreter,
    timeout: float | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> InterpreterThread[Any]:
    thread: InterpreterThread[Any] = InterpreterThread(interp, timeout, func, args, kwargs)
    _started.setdefault(interp.id, weakref.WeakSet()).add(thread)
    thread.start()
    return thread


def call_in_thread[**P, R](
    interp: _core.Interpreter, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> InterpreterThread[R]:
    return start_thread(interp, None, callable, args, kwargs)


class Options:
    """A view of an interpreter whose calls have a deadline.

    timeout: seconds (a float; None or inf: no deadline).  At 0 nothing is
    run.  call_in_thread() then starts a second thread, one for all calls with
    a deadline: it sees to it that the future is done by then even if the call
    is stuck in C code.
    """

    __slots__ = ("_interp", "_timeout")

    def __init__(self, interp: _core.Interpreter, /, *, timeout: float | None = None) -> None:
        if timeout is not None:
            timeout = float(timeout + 0.0)  # a number, and no text
            if timeout != timeout:
                raise ValueError("timeout must not be NaN")
            if timeout < 0:
                raise ValueError("timeout must not be negative")
            if timeout == float("inf"):
                timeout = None
        self._interp = interp
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"{self._interp!r}.options(timeout={self._timeout!r})"

    def exec(self, code: Any, /, dedent: bool = True) -> None:
        """Like Interpreter.exec; raises ExecutionTimeout at the deadline."""
        self._interp._exec_with(self._timeout, code, dedent=dedent)

    def call[**P, R](self, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Like Interpreter.call; raises ExecutionTimeout at the deadline."""
        return self._interp._call_with(self._timeout, callable, *args, **kwargs)  # type: ignore[no-any-return]

    def call_in_thread[**P, R](
        self, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> InterpreterThread[R]:
        """Like Interpreter.call_in_thread, under the deadline."""
        return start_thread(self._interp, self._timeout, callable, args, kwargs)


def leave_block(
    interp: _core.Interpreter,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """The end of ``with interp:``."""
    from ._errors import InterpreterError, InterpreterNotFoundError

    threads = list(_started.pop(interp.id, ()))
    try:
        try:
            if exc_type is None:
                for thread in threads:
                    thread.join()
        except BaseException:
            # Ctrl-C while the block waits for its threads ends them, too.
            _stop(threads)
            raise
        if exc_type is not None:
            _stop(threads)
    finally:
        try:
            interp.close()
        except InterpreterNotFoundError:
            pass  # closed in the block
        except InterpreterError:
            if exc_type is None:
                raise


def _stop(threads: list[InterpreterThread[Any]]) -> None:
    for thread in threads:
        thread.interrupt()
    for thread in threads:
        thread.join()
