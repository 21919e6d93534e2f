"""call_in_thread(), options() and the with statement of Interpreter."""

from __future__ import annotations

import _thread
import os
import threading
import weakref
from time import monotonic

from . import _core
from ._errors import ExecutionFailed, ExecutionInterrupted, InterpreterError, InterpreterNotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any, TypeVar
    from typing import Generic as _Generic

    from ._future import CallFuture

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

#: Seconds in which what is interrupted may stop, when an exception leaves a with block.
GRACE = 1.0

#: Threads that run and that the end of the process waits for.
_awaited: set[InterpreterThread[Any]] = set()
#: Set when there may be fewer of them; made when somebody waits for that.
_ended: _core.Event | None = None


class InterpreterThread(threading.Thread, _Generic["_T"]):
    """A thread that runs one call in an interpreter.

    ``future`` is a concurrent.futures.Future of its result; an error goes
    there if the future was ever asked for, else to threading.excepthook.

    The end of the process waits for it, as for every thread that is no daemon,
    but not if it was given up: told to stop, and stuck in C.  threading could
    not tell these two apart, so it takes the thread for a daemon, and
    _at_exit() waits.

    Who waits for it waits for an Event of atoll's, which hears of Ctrl-C and
    interruptions: see _future.py.  And there is no lock here: Ctrl-C between
    the taking of one and the beginning of its block leaves it taken for ever,
    and whoever needs it next waits.  Each step is one that the GIL makes
    atomic.
    """

    _future: CallFuture[_T] | None = None  # the first one in __dict__ is it
    _outcome: tuple[bool, Any] | None = None  # the same

    def __init__(
        self,
        interp: _core.Interpreter,
        within: float | _core._Limits | None,
        func: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        label = getattr(func, "__qualname__", None) or type(func).__name__
        where = interp.name or f"interpreter {interp.id}"
        super().__init__(name=f"{where}-{next(_numbers)} ({label})", daemon=False)
        self._work: Any = (interp, within, func, args, kwargs)
        self._call = interp._name_call()
        self._left = False  # start(), or the block that it belonged to, was left by an exception
        self._over = False
        self._gone = _core.Event()  # set when run() has ended

    def start(self) -> None:
        try:
            _awaited.add(self)
            self._daemonic = _thread.daemon_threads_allowed()
            super().start()
        except BaseException:
            # Nobody gets to know it.  Where Ctrl-C came while its beginning
            # was awaited it runs all the same, if threading has not left a
            # lock of its own taken; its call does not.
            self._left = True
            _awaited.discard(self)
            self._call.interrupt()
            raise
        finally:
            self._daemonic = False

    def run(self) -> None:
        interp, within, func, args, kwargs = self._work
        self._work = None
        try:
            if not isinstance(within, float):  # None, or limits
                result = interp._call_as(self._call, within, func, *args, **kwargs)
            else:
                from . import _watch

                watched = _watch.watch(self, interp, within)
                try:
                    result = interp._call_as(self._call, within, func, *args, **kwargs)
                finally:
                    _watch.unwatch(watched)
        except BaseException as error:
            if not self._finish(False, error) and not (self._left and _is_its_end(error)):
                raise
        else:
            self._finish(True, result)
        finally:
            # A traceback that is kept must not keep the interpreter open.
            del interp, func, args, kwargs
            self._over = True
            give_up(self)
            self._gone.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread ends, or for timeout seconds."""
        # In the child of a fork it is not alive, and nobody tells of its end.
        if self.ident != threading.get_ident() and self.is_alive():
            until = None if timeout is None else monotonic() + timeout
            try:
                if not self._gone.wait(timeout):
                    return
            except MemoryError:  # then for the lock
                pass
            if until is not None:
                timeout = max(0.0, until - monotonic())
        super().join(timeout)

    def _finish(self, ok: bool, value: Any) -> bool:
        """Keep the outcome, if it is the first one; False if nobody has asked for it."""
        outcome = ok, value
        if self.__dict__.setdefault("_outcome", outcome) is not outcome:
            return True  # it was given up at its deadline
        if self._future is None:
            return False
        self._future.settle(ok, value)
        return True

    @property
    def future(self) -> Future[_T]:
        """The Future of the call's result (or exception)."""
        future = self._future
        if future is None:
            from ._future import CallFuture

            future = self.__dict__.setdefault("_future", CallFuture())
        if self._outcome is not None:
            future.settle(*self._outcome)
        return future

    def interrupt(self, exc: Any = None) -> bool:
        """Interrupt the call; False if it is over.

        One that has not begun yet fails with ExecutionInterrupted when it
        begins.  Nothing else that runs in the same interpreter is hit.
        """
        return self._call.interrupt() if exc is None else self._call.interrupt(exc)


def _is_its_end(error: BaseException) -> bool:
    """Was the call interrupted, or kept from beginning?  Else the code itself has failed."""
    if isinstance(error, ExecutionFailed):
        return isinstance(error, ExecutionInterrupted)
    return isinstance(error, InterpreterError)


def start_thread(
    interp: _core.Interpreter,
    within: float | _core._Limits | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> InterpreterThread[Any]:
    thread: InterpreterThread[Any] = InterpreterThread(interp, within, func, args, kwargs)
    others = _started.setdefault(interp.id, weakref.WeakSet())
    try:
        others.add(thread)
        thread.start()
    except BaseException:  # there can be no more threads, or Ctrl-C
        others.discard(thread)
        raise
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
            if not hasattr(timeout, "__float__") and not hasattr(timeout, "__index__"):  # text, above all
                kind = type(timeout).__name__
                raise TypeError(f"timeout must be a number of seconds or None, not {kind}")
            timeout = float(timeout)
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
    threads: list[InterpreterThread[Any]] = []
    stop = exc_type is not None
    try:
        threads += _started.pop(interp.id, ())
        if not stop:
            for thread in threads:
                thread.join()
    except BaseException:
        stop = True  # Ctrl-C while the block waits for its threads ends them, too
        raise
    finally:
        try:
            if stop:
                _stop(threads)
                interp.close(interrupt=True, timeout=GRACE)
            else:
                interp.close()
        except InterpreterNotFoundError:
            pass  # closed in the block
        except InterpreterError as error:
            if not stop:
                raise
            # The body's exception is the one that counts.
            if exc is not None:
                exc.add_note(f"{interp!r} stays open: {error}")


def _stop(threads: list[InterpreterThread[Any]]) -> None:
    """Interrupt the threads and wait for them, but not for what is stuck."""
    for thread in threads:
        thread._left = True
        thread.interrupt()
    deadline = monotonic() + GRACE
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
        if thread.is_alive():
            give_up(thread)


# --- the end of the process


def give_up(thread: InterpreterThread[Any]) -> None:
    """The end of the process does not wait for it: it has ended, or was told to stop and did not."""
    _awaited.discard(thread)
    if _ended is not None:
        _ended.set()


def _at_exit() -> None:
    """Wait for the threads, as threading does for those that are no daemons."""
    global _ended
    threads = list(_awaited)
    _ended = _core.Event()
    while True:
        _ended.clear()
        if not _awaited:
            break
        _ended.wait()
    for thread in threads:
        if thread._over:
            thread.join()


def _after_fork() -> None:
    global _ended
    _ended = None
    _awaited.clear()


try:
    threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
except RuntimeError:
    pass  # the process is ending already, and no thread can be started
os.register_at_fork(after_in_child=_after_fork)
