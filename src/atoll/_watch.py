"""Deadlines of threads: the future of a call that does not stop is settled all the same.

A deadline interrupts Python code.  Code that is stuck in C, or catches the
interruption, runs on; but who waits for its future is told, by one thread
that is started at the first deadline and ends when there is none to watch.
"""

from __future__ import annotations

import heapq
import os
import threading
from time import monotonic

from . import _core
from ._threads import give_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._errors import ExecutionTimeout
    from ._threads import InterpreterThread

#: Seconds that a call has to stop at its deadline, before it is given up.
GRACE = 0.1
#: Seconds that the watcher stays for the next deadline.
LINGER = 1.0

_condition = threading.Condition()
#: [_condition] number -> (thread, id of the interpreter, timeout), while the call runs.
_watched: dict[int, tuple[InterpreterThread[Any], int, float]] = {}
#: [_condition] (when, number), a heap; calls that have ended are dropped later.
_deadlines: list[tuple[float, int]] = []
_watcher: threading.Thread | None = None
_number = 0
_ending = False


def watch(thread: InterpreterThread[Any], interp: _core.Interpreter, timeout: float) -> int:
    """From now until unwatch(number): if timeout seconds pass, give thread an outcome."""
    global _number, _watcher
    with _condition:
        _number += 1
        number = _number
        _watched[number] = thread, interp.id, timeout
        when = monotonic() + timeout + GRACE
        first = not _deadlines or when < _deadlines[0][0]
        heapq.heappush(_deadlines, (when, number))
        if len(_deadlines) > 2 * len(_watched) + 64:
            _deadlines[:] = sorted(entry for entry in _deadlines if entry[1] in _watched)
        if _watcher is None:
            _watcher = threading.Thread(target=_run, name="atoll-deadlines", daemon=False)
            _watcher.start()
        elif first:
            _condition.notify()
    return number


def unwatch(number: int) -> None:
    """The call has ended."""
    with _condition:
        _watched.pop(number, None)
        if _ending and not _watched:
            _condition.notify()


def _run() -> None:
    while True:
        late = _wait()
        if late is None:
            return
        thread, ident, timeout = late
        thread._finish(False, _make_error(thread, ident, timeout))
        give_up(thread)
        del late, thread


def _wait() -> tuple[InterpreterThread[Any], int, float] | None:
    """The next thread that is late; None: nobody is watched any more."""
    global _watcher
    with _condition:
        idle_since = monotonic()
        while True:
            while _deadlines and _deadlines[0][1] not in _watched:
                heapq.heappop(_deadlines)
            now = monotonic()
            if not _deadlines:
                if _ending or now >= idle_since + LINGER:
                    _watcher = None
                    return None
                _condition.wait(idle_since + LINGER - now)
            elif _deadlines[0][0] <= now:
                return _watched.pop(heapq.heappop(_deadlines)[1])
            else:
                # Not longer than a lock can wait: more is an OverflowError.
                _condition.wait(min(_deadlines[0][0] - now, threading.TIMEOUT_MAX))
                idle_since = monotonic()


def _make_error(thread: InterpreterThread[Any], ident: int, timeout: float) -> ExecutionTimeout:
    from ._errors import ExecutionTimeout, _make_excinfo

    message = f"thread {thread.name!r} is unresponsive: it did not stop at its deadline of {timeout:g} s"
    try:
        stack = _core.Interpreter(ident)._stack_of(thread.ident)
    except Exception:
        stack = ""  # it has just ended
    if stack is None:
        message += "; it is in C code that keeps its interpreter's GIL"
    names = "Interrupted", "Interrupted", "atoll"
    display = f"Stack (most recent call last):\n{stack}" if stack else None
    return ExecutionTimeout(_make_excinfo(names, message, message, display))


def _finish() -> None:
    """Before the interpreter ends: the watcher stays no longer than it must."""
    global _ending
    with _condition:
        _ending = True
        _condition.notify()


def _after_fork() -> None:
    global _condition, _watcher
    _condition = threading.Condition()
    _watcher = None
    _watched.clear()
    _deadlines.clear()


threading._register_atexit(_finish)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_after_fork)
