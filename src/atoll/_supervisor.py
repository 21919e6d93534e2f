"""Supervisor: workers in interpreters of their own that are kept running.

with atoll.Supervisor() as supervisor:
    supervisor.add("reader", read, (queue,), restart="always")
    supervisor.wait()
"""

from __future__ import annotations

import math
import threading
import warnings
import weakref

from ._limits import check as check_limits
from ._supervised import stop_event
from ._supervisor_loop import Loop, Options, SupervisorError, Worker, WorkerInfo
from ._supervisor_run import WorkerExit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Self

__all__ = ["Supervisor", "SupervisorError", "WorkerExit", "WorkerInfo", "stop_event"]

STRATEGIES = "one_for_one", "one_for_all"
RESTARTS = "always", "on_failure", "never"


def _seconds(value: float, name: str) -> float:
    try:
        number = float(value + 0.0)  # a number, and no text
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds, not {value!r}") from None
    if math.isnan(number) or number < 0:
        raise ValueError(f"{name} must be at least 0 seconds, not {value!r}")
    return number


def _choice(value: str, choices: tuple[str, ...], name: str) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
    return value


class Supervisor:
    """Keeps workers running, each a function in an interpreter and a thread of its own.

    A worker that ends is started again, in a fresh interpreter, if its
    `restart` says so.  A with block starts the supervisor and stops it at its
    end; what the block raises interrupts the workers at once.

    strategy: "one_for_one", only the worker that has ended is restarted; or
    "one_for_all", so are all others that run.
    max_restarts, within: more than so many restarts in so many seconds, and
    the supervisor gives up: it stops all workers, and wait() and the end of
    the with block raise SupervisorError.  max_restarts=None: it never does.
    backoff, max_backoff: a worker waits backoff seconds for its first
    restart, twice as long for each one that follows, but no longer than
    max_backoff; a run that lasts for `within` seconds begins anew.
    grace: seconds that a worker which asked for stop_event() has to return
    when it is told to stop, before it is interrupted.
    config: of the interpreters, as for create().
    on_start: called with a WorkerInfo when a worker runs.
    on_exit: called with a WorkerExit when a run has ended, before the next
    one begins.  Both are called in the supervisor's thread, which does
    nothing else meanwhile; what they raise is logged.

    It starts one thread for itself, and one for each worker.  All that
    happens is logged to the logger "atoll.supervisor".  The end of the
    process stops a supervisor that runs, and so does its last reference.
    """

    __module__ = "atoll"

    def __init__(
        self,
        *,
        strategy: str = "one_for_one",
        max_restarts: int | None = 3,
        within: float = 5.0,
        backoff: float = 0.1,
        max_backoff: float = 30.0,
        grace: float = 5.0,
        config: Any = "isolated",
        on_start: Callable[[WorkerInfo], object] | None = None,
        on_exit: Callable[[WorkerExit], object] | None = None,
    ) -> None:
        if max_restarts is not None:
            if not isinstance(max_restarts, int):
                raise TypeError(f"max_restarts must be an int or None, not {max_restarts!r}")
            if max_restarts < 0:
                raise ValueError(f"max_restarts must not be negative, not {max_restarts!r}")
        for func, name in (on_start, "on_start"), (on_exit, "on_exit"):
            if func is not None and not callable(func):
                raise TypeError(f"{name} must be callable or None, not {func!r}")
        if config != "isolated":
            from ._config import check, parse

            check(parse(config))
        self._loop = Loop(
            Options(
                _choice(strategy, STRATEGIES, "strategy"),
                max_restarts,
                _seconds(within, "within"),
                _seconds(backoff, "backoff"),
                _seconds(max_backoff, "max_backoff"),
                _seconds(grace, "grace"),
                config,
                on_start,
                on_exit,
            )
        )

    def __repr__(self) -> str:
        workers = self._loop.describe()
        return f"<atoll.Supervisor, {self.state}{'; ' if workers else ''}{workers}>"

    @property
    def state(self) -> str:
        """ "new", "running", "stopping", "stopped", or "failed": it has given up."""
        loop = self._loop
        return "failed" if loop.state == "stopped" and loop.failure is not None else loop.state

    def start(self) -> None:
        """Start the workers, those that are added later at once.

        Raises RuntimeError if it was started before.
        """
        finalizer = weakref.finalize(self, _dropped, self._loop)
        finalizer.atexit = False
        try:
            self._loop.start(finalizer)
        except RuntimeError:
            finalizer.detach()
            raise

    def add(
        self,
        name: str,
        func: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        restart: str = "on_failure",
        timeout: float | None = None,
        limits: Mapping[str, Any] | None = None,
        grace: float | None = None,
    ) -> None:
        """Add a worker that runs func(*args, **kwargs); its result is dropped.

        name: also its interpreter's and its threads' name.
        restart: "always"; "on_failure", unless it returned or called
        sys.exit(0); or "never".
        timeout: seconds that a run may take (None: as long as it likes).
        One that is stuck past that is left behind, and replaced.
        limits: what a run may use: keyword arguments of Interpreter.limits(),
        such as ``{"memory_bytes": 100 << 20}``.  The exit of one that goes over
        is of the kind "limit".
        grace: in place of the supervisor's.

        Raises ValueError for a name that there is already, RuntimeError if
        the supervisor was stopped, InterpreterError if memory cannot be
        counted here.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r}")
        if not name or "\0" in name:
            raise ValueError(f"name must be text without null characters, not {name!r}")
        if not callable(func):
            raise TypeError(f"expected a callable, got {func!r}")
        if timeout is not None:
            timeout = _seconds(timeout, "timeout")
        self._loop.add(
            Worker(
                name,
                func,
                tuple(args),
                dict(kwargs or {}),
                _choice(restart, RESTARTS, "restart"),
                None if timeout == math.inf else timeout,
                check_limits(limits or {}),
                None if grace is None else _seconds(grace, "grace"),
            )
        )

    @property
    def workers(self) -> dict[str, WorkerInfo]:
        """What each worker is doing, by name, in the order in which they were added."""
        return self._loop.infos()

    @property
    def exits(self) -> list[WorkerExit]:
        """Why the runs of the workers ended, the last one last; at most 1000."""
        return self._loop.list_exits()

    def restart(self, name: str | None = None) -> None:
        """Stop this worker (None: all) and start it in a fresh interpreter, without waiting for that.

        It counts neither for max_restarts nor for the back-off.  One that has
        ended runs again.  Raises KeyError for a name that there is not.
        """
        self._loop.check_restart(name)
        self._loop.request("restart", name)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no worker runs, nor will run again; False after timeout seconds.

        Raises SupervisorError if the supervisor has given up, RuntimeError in
        its own callbacks and where it was never started.
        """
        loop = self._loop
        if threading.current_thread() is loop.thread:
            raise RuntimeError("the supervisor's thread cannot wait for itself")
        if loop.state == "new":
            raise RuntimeError("the supervisor was not started")
        if timeout is not None:
            timeout = min(_seconds(timeout, "timeout"), threading.TIMEOUT_MAX)
        done = loop.wait(loop.idle, timeout)
        error = loop.outcome()
        if error is not None:
            raise error
        return done

    def stop(self, *, interrupt: bool = False) -> list[WorkerExit]:
        """Stop all workers, wait until they have ended, and return why they did.

        A worker that has asked for stop_event() has its grace; any other is
        interrupted at once, all of them with interrupt=True.  One that has
        not ended two seconds after that is left behind, and its exit's kind is
        "unresponsive".  Does nothing if it was stopped before.

        Ctrl-C here interrupts the workers and is raised.  In the supervisor's
        own callbacks it does not wait.
        """
        loop = self._loop
        before = loop.begin_stop()
        if before is None:
            return []
        try:
            loop.request("stop", interrupt)
            if threading.current_thread() is loop.thread:
                return []
            loop.wait(loop.stopped)
        except BaseException:
            loop.request("stop", True)
            raise
        assert loop.thread is not None
        loop.thread.join()
        return [exit for exit in loop.list_exits() if before.get(exit.name, exit.run + 1) <= exit.run]

    def __enter__(self) -> Self:
        if self._loop.state == "new":
            self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(interrupt=exc_type is not None)
        error = self._loop.make_error() if exc_type is None else None
        if error is not None:
            raise error


def _dropped(loop: Loop) -> None:
    """The last reference went: nobody can stop it any more."""
    if loop.state == "running":
        text = "a running atoll.Supervisor was dropped without stop(): its workers are stopped"
        warnings.warn(text, ResourceWarning, stacklevel=1)
        loop.request("stop")
