"""One run of a supervised worker: a thread that calls, closes, and tells.

The thread is one of call_in_thread()'s.  When the call has ended it closes the
interpreter, so that nobody else waits for what the worker has left there, and
puts (the supervisor's method, itself) into the supervisor's inbox, once; so
does the watcher of deadlines for a call that is stuck past its deadline.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from . import _core
from ._errors import (
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionTimeout,
    InterpreterError,
    InterpreterNotFoundError,
    LimitExceeded,
)
from ._supervised import work
from ._threads import InterpreterThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Seconds that threads which a worker has left behind may take to end.
LEFT_BEHIND = 2.0

#: The clock of restarts and back-off; tests put their own here.
now = time.monotonic


@dataclass(frozen=True)
class WorkerExit:
    """Why one run of a worker ended.

    name: the worker's.  run: the number of the run, from 1.

    kind: "returned"; "failed" (an exception); "exited" (SystemExit);
    "interrupted" (by somebody's interrupt()); "timeout" (its deadline);
    "limit" (it went over one of its limits);
    "closed" (somebody closed its interpreter); "stopped" (by the supervisor);
    "unresponsive" (it did not stop, and was left behind).

    error: the exception itself where it could cross, else the
    ExecutionFailed that tells of it; None if there was none.
    status: the code of SystemExit, else None.
    traceback: the worker's traceback as text, or "".
    uptime: how long the run lasted, in seconds.
    note: what else there is to tell, such as a thread that was left behind.
    restart: will the worker run again?  delay: in how many seconds.
    """

    __module__ = "atoll"

    name: str
    run: int
    kind: str
    error: BaseException | None = None
    status: Any = None
    traceback: str = field(default="", repr=False)
    uptime: float = 0.0
    note: str = ""
    restart: bool = False
    delay: float = 0.0

    @property
    def normal(self) -> bool:
        """Did it end without a failure: by returning, sys.exit(0), or as it was told to?"""
        return self.kind in ("returned", "stopped") or (
            self.kind == "exited" and (self.status is None or self.status == 0)
        )

    def __str__(self) -> str:
        text = f"worker {self.name!r} (run {self.run}) {_VERBS.get(self.kind, self.kind)} after {self.uptime:.3g} s"
        if self.kind == "exited":
            text += f" with status {0 if self.status is None else self.status!r}"
        elif self.error is not None and self.kind != "stopped":
            text += f": {_tell(self.error)}"
        return f"{text} ({self.note})" if self.note else text


_VERBS = {
    "closed": "had its interpreter closed",
    "limit": "went over a limit",
    "interrupted": "was interrupted",
    "timeout": "was stopped at its deadline",
    "stopped": "was stopped",
    "unresponsive": "is unresponsive and was left behind",
}


def _tell(error: BaseException) -> str:
    if isinstance(error, ExecutionFailed):
        return str(error.args[0])
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Run(InterpreterThread["None"]):
    """See the head of this file.  What is not said otherwise is the supervisor's thread's."""

    def __init__(
        self,
        name: str,
        number: int,
        interp: _core.Interpreter,
        timeout: float | None,
        func: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tell: Callable[[Run], None],
    ) -> None:
        self.event = _core.Event()
        self.listens = _core.AtomicInt()
        super().__init__(interp, timeout, work, (self.event, self.listens, func, args, kwargs), {})
        self.name = f"{name}-{number}"
        self.worker = name
        self.number = number
        self.interp: _core.Interpreter | None = interp
        self.began = now()
        #: Why it was told to stop: "stop", "restart", or "" if it was not.
        self.asked = ""
        #: When it is interrupted, and when it is given up, or None.
        self.interrupt_at: float | None = None
        self.give_up_at: float | None = None
        #: The supervisor has dealt with its end.
        self.over = False
        self.note = ""
        self._stuck = False
        self._closed_by_others = False
        self._tell = tell
        self.future

    def run(self) -> None:
        super().run()
        self._close()
        self._tell(self)

    def _close(self) -> None:
        interp, self.interp = self.interp, None
        try:
            assert interp is not None
            interp.close(interrupt=True, timeout=LEFT_BEHIND)
        except InterpreterNotFoundError:
            self._closed_by_others = True
        except InterpreterError as error:
            self.note = str(error)
        except BaseException as error:  # the thread must tell, whatever happens
            self.note = f"its interpreter could not be closed: {error!r}"

    def _finish(self, ok: bool, value: Any) -> bool:
        told = super()._finish(ok, value)
        if threading.get_ident() != self.ident and self._outcome is not None and self._outcome[1] is value:
            # The watcher of deadlines: the call did not stop at its own.
            self._stuck = True
            self._tell(self)
        return told

    @property
    def has_outcome(self) -> bool:
        """Has the call ended?  The thread may still be closing the interpreter."""
        return self._outcome is not None

    def describe_stuck(self) -> str:
        """What it does instead of stopping."""
        interp = self.interp
        try:
            stack = "" if interp is None else interp._stack_of(self.ident)
        except Exception:
            return ""  # it has just ended
        if stack is None:
            return "it is in C code that keeps its interpreter's GIL"
        return f"it did not stop; its stack (most recent call last):\n{stack}" if stack else ""

    def why(self, given_up: bool = False) -> WorkerExit:
        """Why it ended; given_up: it has not, and is left behind."""
        error: BaseException | None = None
        kind, status, traceback = "returned", None, ""
        if self._outcome is not None and not self._outcome[0]:
            error = self._outcome[1]
        if error is not None:
            error.__traceback__ = None  # it is atoll's own frames, which would keep this thread
        if isinstance(error, ExecutionFailed):
            traceback = error.excinfo.errdisplay or ""
        if given_up or self._stuck:
            kind = "unresponsive"
        elif error is None:
            kind = "stopped" if self.asked else "returned"
        elif isinstance(error, ExecutionTimeout):
            kind = "timeout"
        elif isinstance(error.__cause__, LimitExceeded) and not self.asked:
            kind, error = "limit", error.__cause__
        elif isinstance(error, ExecutionInterrupted):
            kind = "stopped" if self.asked else "closed" if self._closed_by_others else "interrupted"
        elif isinstance(error, ExecutionFailed):
            kind = "failed"
            cause = error.__cause__
            if isinstance(cause, SystemExit):
                kind, status = "exited", cause.code
            error = cause or error
        else:
            kind = "closed" if isinstance(error, InterpreterNotFoundError) else "failed"
        return WorkerExit(
            self.worker, self.number, kind, error, status, traceback, max(0.0, now() - self.began), self.note
        )
