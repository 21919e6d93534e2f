"""The supervisor's thread: it starts, restarts and stops workers, and owns all of their state.

Everybody else puts (method, arguments) into its inbox, a SimpleQueue, which
may be done from a finalizer, too.  The thread sleeps in inbox.get() until
there is something to do, or until the next time that it has set itself.
Nothing polls.

Locks: `lock` guards what others read (a worker's state, last exit, counts).
It is not held while a worker is made, told to stop, or while callbacks and
logging run.  Others take it by @_locked alone, never by `with`: Ctrl-C just
before the block begins would leave it taken, and the supervisor's thread,
where no Ctrl-C comes, would wait for ever.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field, replace

from . import _supervisor_run as runs
from ._core import Event, _call_locked
from ._errors import InterpreterError
from ._supervisor_run import Run, WorkerExit
from ._threads import give_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Concatenate

    from ._core import Interpreter

log = logging.getLogger("atoll.supervisor")

#: Seconds that a worker which was interrupted may take to end, before it is left behind.
PATIENCE = 2.0
#: Until somebody who lacked the memory to wait looks again, in seconds.
_MEMORY_PAUSE = 0.01
#: How many exits are remembered.
REMEMBERED = 1000


class SupervisorError(InterpreterError):
    """A supervisor has given up: its workers ended more often than max_restarts allows.

    exits: the WorkerExits that led to it, the last one last.  __cause__ is
    that one's error.
    """

    __module__ = "atoll"

    def __init__(self, message: str, exits: tuple[WorkerExit, ...] = ()) -> None:
        super().__init__(message)
        self.exits = exits


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker is doing.

    state: "starting"; "running"; "stopping" (it was told to); "waiting" (to
    be restarted); "ended" (it will not run again).
    restart: "always", "on_failure" or "never".
    runs: how often it was started.  restarts: how often it was started again.
    interpreter: the one it runs in, or None.
    last_exit: why its last run ended, or None.
    """

    __module__ = "atoll"

    name: str
    state: str
    restart: str
    runs: int
    restarts: int
    interpreter: Interpreter | None
    last_exit: WorkerExit | None


@dataclass
class Options:
    """What Supervisor() was given."""

    strategy: str
    max_restarts: int | None
    within: float
    backoff: float
    max_backoff: float
    grace: float
    config: Any
    on_start: Callable[[WorkerInfo], object] | None
    on_exit: Callable[[WorkerExit], object] | None


@dataclass(eq=False)
class Worker:
    name: str
    func: Callable[..., object]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    restart: str
    timeout: float | None
    limits: dict[str, Any]
    grace: float | None
    # [lock]
    state: str = "starting"
    runs: int = 0
    restarts: int = 0
    last_exit: WorkerExit | None = None
    # The supervisor's thread's.
    run: Run | None = None
    due: float | None = None
    failures: int = 0  # one after the other; the next delay depends on it


def _locked[**P, R](method: Callable[Concatenate[Loop, P], R]) -> Callable[Concatenate[Loop, P], R]:
    """The method runs with the lock held."""

    def call(self: Loop, /, *args: P.args, **kwargs: P.kwargs) -> R:
        assert not kwargs
        return _call_locked(self.lock, method, self, *args)

    return call


@dataclass(eq=False)
class Loop:
    """See the head of this file."""

    options: Options
    inbox: queue.SimpleQueue[tuple[Any, ...]] = field(default_factory=queue.SimpleQueue)
    lock: Any = field(default_factory=threading.RLock)
    #: What others wait for: atoll's events hear of Ctrl-C, see _future.py.
    idle: Event = field(default_factory=Event)
    stopped: Event = field(default_factory=Event)
    # [lock]
    state: str = "new"  # "running", "stopping", "stopped"
    failure: SupervisorError | None = None
    workers: dict[str, Worker] = field(default_factory=dict)
    exits: deque[WorkerExit] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    thread: threading.Thread | None = None
    #: Of the Supervisor; it refers to this, so it goes when this ends.
    finalizer: weakref.finalize[Any, Any] | None = None
    # The supervisor's thread's.
    hurry: bool = False  # nobody has time to be asked
    counted: deque[tuple[float, WorkerExit]] = field(default_factory=deque)
    group: list[Worker] = field(default_factory=list)  # to be restarted together
    group_due: float = 0.0

    # --- for others

    @_locked
    def start(self, finalizer: weakref.finalize[Any, Any]) -> None:
        if self.state != "new":
            raise RuntimeError(f"a supervisor is started once: this one is {self.state}")
        promise: list[None] = [None]  # who takes it out: the thread, as it begins, or this, to have no thread
        try:
            self.finalizer = finalizer
            self.thread = threading.Thread(
                target=self._work, args=(promise,), name="atoll-supervisor", daemon=False
            )
            self.state = "running"
            self.tell()
            _running.add(self)
            self.thread.start()
        except BaseException:
            # Where Ctrl-C ended the wait for the thread it may run all the same.
            with contextlib.suppress(IndexError):
                promise.pop()
                self.state = "new"
                self.tell()
                _running.discard(self)
            raise

    @_locked
    def add(self, worker: Worker) -> None:
        if self.state in ("stopping", "stopped"):
            raise RuntimeError(f"the supervisor is {self.state}: there can be no more workers")
        if worker.name in self.workers:
            raise ValueError(f"there is a worker {worker.name!r} already")
        # In this order: who is asked to start one that is not there does nothing.
        self.inbox.put((self._start, worker))
        self.workers[worker.name] = worker
        self.tell()

    @_locked
    def describe(self) -> str:
        return ", ".join(f"{w.name}: {w.state}" for w in self.workers.values())

    @_locked
    def infos(self) -> dict[str, WorkerInfo]:
        return {name: self.info(worker) for name, worker in self.workers.items()}

    @_locked
    def list_exits(self) -> list[WorkerExit]:
        return list(self.exits)

    @_locked
    def check_restart(self, name: str | None) -> None:
        if name is not None and name not in self.workers:
            raise KeyError(name)
        if self.state != "running":
            raise RuntimeError(f"the supervisor is {self.state}")

    @_locked
    def begin_stop(self) -> dict[str, int] | None:
        """How often each worker that may run was started; None: there is nothing to stop."""
        if self.state == "new":
            self.state = "stopped"
            for worker in self.workers.values():
                worker.state = "ended"
            self.tell()
        if self.state == "stopped":
            return None
        return {w.name: w.runs for w in self.workers.values() if w.state != "ended"}

    @_locked
    def outcome(self) -> SupervisorError | None:
        return self.make_error() if self.state == "stopped" else None

    def info(self, worker: Worker) -> WorkerInfo:
        """Locks: lock."""
        run = worker.run
        interp = None if run is None else run.interp
        return WorkerInfo(
            worker.name,
            worker.state,
            worker.restart,
            worker.runs,
            worker.restarts,
            interp,
            worker.last_exit,
        )

    def is_idle(self) -> bool:
        """Does no worker run, and will none again?  Locks: lock."""
        if self.state == "stopped" or self.failure is not None:
            return self.state == "stopped"
        return self.state != "new" and all(worker.state == "ended" for worker in self.workers.values())

    def tell(self) -> None:
        """Whoever waits, that something has changed.  Locks: lock."""
        (self.idle.set if self.is_idle() else self.idle.clear)()
        if self.state == "stopped":
            self.stopped.set()

    def wait(self, event: Event, timeout: float | None = None) -> bool:
        try:
            return event.wait(timeout)
        except MemoryError:  # then without
            end = None if timeout is None else time.monotonic() + timeout
            while not event.is_set():
                if end is not None and time.monotonic() >= end:
                    return False
                time.sleep(_MEMORY_PAUSE)
            return True

    def make_error(self) -> SupervisorError | None:
        """What to raise if it has given up: a new one each time, whose traceback is the raiser's."""
        failure = self.failure
        if failure is None:
            return None
        error = SupervisorError(str(failure), failure.exits)
        error.__cause__ = failure.__cause__
        return error

    def request(self, name: str, *args: Any) -> None:
        self.inbox.put((getattr(self, f"_{name}"), *args))

    def forked(self) -> None:
        """In the child of fork(): none of its threads is there."""
        self.lock = threading.RLock()
        self.inbox = queue.SimpleQueue()
        self.idle, self.stopped = Event(), Event()
        self.state = "stopped"
        self._forget()
        for worker in self.workers.values():
            worker.state, worker.run = "ended", None
        with self.lock:
            self.tell()

    # --- the thread

    def _work(self, promise: list[None]) -> None:
        try:
            promise.pop()
        except IndexError:
            return  # start() was interrupted, and there is to be no thread
        try:
            while not self._is_finished():
                try:
                    method, *args = self.inbox.get(timeout=self._pause())
                except queue.Empty:
                    pass
                else:
                    method(*args)
                    del method, args
                self._look_at_clock()
        except BaseException as error:
            # No memory, or the interpreter is being closed by force: nobody
            # is supervised any more, so nobody shall run on.
            with self.lock:
                self.failure = SupervisorError("the supervisor's thread has failed")
                self.failure.__cause__ = error
                self.tell()
            for worker in list(self.workers.values()):
                if worker.run is not None:
                    worker.run.event.set()
                    worker.run.interrupt()
            raise
        finally:
            log.info("supervisor stopped")
            self._forget()
            _running.discard(self)
            with self.lock:
                self.state = "stopped"
                self.tell()

    def _forget(self) -> None:
        """It is over: callbacks and arguments may refer to whoever refers to this."""
        if self.finalizer is not None:
            self.finalizer.detach()
        self.options.on_start = self.options.on_exit = None
        for worker in self.workers.values():
            worker.args, worker.kwargs = (), {}

    def _is_finished(self) -> bool:
        return self.state == "stopping" and all(w.run is None for w in self.workers.values())

    def _pause(self) -> float | None:
        """Seconds until there is something to do, if nothing happens; None: for ever."""
        times = [worker.due for worker in self.workers.values() if worker.due is not None]
        for worker in list(self.workers.values()):
            if worker.run is not None:
                times += [t for t in (worker.run.interrupt_at, worker.run.give_up_at) if t is not None]
        if self.group and all(worker.run is None for worker in self.group):
            times.append(self.group_due)
        if not times:
            return None
        return min(max(0.0, min(times) - runs.now()), threading.TIMEOUT_MAX)

    def _look_at_clock(self) -> None:
        now = runs.now()
        for worker in list(self.workers.values()):
            run = worker.run
            if run is not None and run.interrupt_at is not None and run.interrupt_at <= now:
                run.interrupt_at = None
                run.give_up_at = now + PATIENCE
                run.interrupt()
            elif run is not None and run.give_up_at is not None and run.give_up_at <= now:
                run.give_up_at = math.inf
                if not run.has_outcome:  # else it is closing, which takes no longer than it may
                    self._leave_behind(worker, run)
            if worker.due is not None and worker.due <= now and worker.run is None:
                worker.due = None
                self._start(worker)
        if self.group and self.group_due <= now and all(worker.run is None for worker in self.group):
            group, self.group = self.group, []
            for worker in group:
                self._start(worker)

    def _set(self, worker: Worker, state: str) -> None:
        with self.lock:
            worker.state = state
            self.tell()

    def _start(self, worker: Worker) -> None:
        from . import create

        if self.state != "running" or worker.run is not None or worker in self.group:
            return
        with self.lock:
            if self.workers.get(worker.name) is not worker:
                return  # add() was interrupted
            worker.runs += 1
            worker.restarts += worker.runs > 1
        try:
            interp = create(name=worker.name, config=self.options.config)
            if worker.limits:
                interp.limits(**worker.limits)
            run = Run(
                worker.name,
                worker.runs,
                interp,
                worker.timeout,
                worker.func,
                worker.args,
                worker.kwargs,
                lambda run: self.inbox.put((self._ended, worker, run)),
            )
            with self.lock:  # before the worker can tell anybody that it runs
                worker.run = run
                worker.state = "running"
                self.tell()
                info = self.info(worker)
            run.start()
        except Exception as error:  # no memory, no more threads: as if it had failed at once
            with self.lock:
                worker.run = None
            error.__traceback__ = None  # it is atoll's own frames, which lead back here
            self._decide(worker, WorkerExit(worker.name, worker.runs, "failed", error))
            return
        log.info("worker %r (run %d) started in %r", worker.name, worker.runs, interp)
        self._call_back(self.options.on_start, info)

    def _ended(self, worker: Worker, run: Run) -> None:
        if run.over:
            log.info("worker %r (run %d), which was left behind, has ended", worker.name, run.number)
            return
        run.over = True
        why = run.why()
        with self.lock:
            worker.run = None
        self._decide(worker, why, run.asked)

    def _leave_behind(self, worker: Worker, run: Run) -> None:
        run.over = True
        run.note = run.describe_stuck()
        give_up(run)
        with self.lock:
            worker.run = None
        self._decide(worker, run.why(given_up=True), run.asked)

    # --- what comes after an end

    def _decide(self, worker: Worker, why: WorkerExit, asked: str = "") -> None:
        now = runs.now()
        if why.uptime >= self.options.within:
            worker.failures = 0
        again = worker.restart == "always" or (worker.restart == "on_failure" and not why.normal)
        if self.state != "running" or asked == "stop":
            again = False
        elif worker in self.group:
            again = True
            why = replace(why, restart=True, delay=max(0.0, self.group_due - now))
        elif asked == "restart":
            again = True
            why = replace(why, restart=True)
        elif again:
            delay = self.options.backoff * 2.0 ** min(worker.failures, 64)
            why = replace(why, restart=True, delay=min(delay, self.options.max_backoff))
            worker.failures += 1
            again = self._count(now, why)
        if not again:
            why = replace(why, restart=False, delay=0.0)
        self._remember(worker, why, "waiting" if again else "ended")
        if self.failure is not None and self.state == "running":
            log.error("%s", self.failure)
            self._stop()
        elif again and worker not in self.group:
            if self.options.strategy == "one_for_all" and asked != "restart":
                self._restart_together(
                    now + why.delay, [w for w in self.workers.values() if w.state != "ended"]
                )
            else:
                worker.due = now + why.delay

    def _remember(self, worker: Worker, why: WorkerExit, state: str) -> None:
        """Say that it has ended, and why; who waits is told when the callback is over."""
        with self.lock:
            worker.last_exit = why
            self.exits.append(why)
        then = f"; it runs again in {why.delay:.3g} s" if why.restart else ""
        level = logging.INFO if why.normal else logging.WARNING
        log.log(level, "%s%s%s", why, then, f"\n{why.traceback}" if why.traceback and not why.normal else "")
        self._call_back(self.options.on_exit, why)
        self._set(worker, state)

    def _count(self, now: float, why: WorkerExit) -> bool:
        """One more restart; False: that is one too many."""
        most, within = self.options.max_restarts, self.options.within
        if most is None:
            return True
        self.counted.append((now, why))
        while self.counted[0][0] < now - within:
            self.counted.popleft()
        if len(self.counted) <= most:
            return True
        self._give_up(tuple(exit for _, exit in self.counted))
        return False

    def _give_up(self, exits: tuple[WorkerExit, ...]) -> None:
        most, within = self.options.max_restarts, self.options.within
        shown = exits[-10:]
        lines = [
            f"gave up: {len(exits)} restarts within {within:g} s are more than max_restarts={most}",
            *([f"({len(exits) - len(shown)} earlier ones are not shown)"] if shown != exits else []),
            *(str(exit) for exit in shown),
        ]
        failure = SupervisorError("\n  ".join(lines), exits)
        failure.__cause__ = exits[-1].error
        with self.lock:
            self.failure = failure
            self.tell()

    def _call_back(self, func: Callable[[Any], object] | None, arg: Any) -> None:
        if func is None:
            return
        try:
            func(arg)
        except BaseException:  # sys.exit() there is not the end of supervision
            log.exception("the supervisor's callback %r failed", func)

    # --- told by others

    def _ask(self, worker: Worker, why: str) -> None:
        """Tell the worker's run to stop: "stop" or "restart"."""
        run = worker.run
        if run is None or run.give_up_at is not None or (run.asked and not self.hurry):
            return  # it was told; a second interruption would strike its finally blocks
        run.asked = why
        run.event.set()
        grace = self.options.grace if worker.grace is None else worker.grace
        patient = run.listens.load() and not self.hurry
        run.interrupt_at = runs.now() + (grace if patient else 0.0)
        self._set(worker, "stopping")

    def _restart_together(self, due: float, workers: list[Worker]) -> None:
        self.group = workers
        self.group_due = due
        for worker in reversed(workers):
            worker.due = None
            if worker.run is not None:
                self._ask(worker, "restart")
            else:
                self._set(worker, "waiting")

    def _restart(self, name: str | None) -> None:
        if self.state != "running":
            return
        if name is None:
            self._restart_together(runs.now(), list(self.workers.values()))
            return
        worker = self.workers[name]
        if worker in self.group:
            return  # it is being restarted
        if worker.run is not None:
            self._ask(worker, "restart")
        else:
            worker.due = runs.now()
            self._set(worker, "waiting")

    def _stop(self, hurry: bool = False) -> None:
        """No more restarts; everybody is told to stop."""
        self.hurry = self.hurry or hurry
        with self.lock:
            self.state = "stopping"
            self.tell()
        self.group = []
        for worker in reversed(list(self.workers.values())):
            worker.due = None
            if worker.run is None:
                self._set(worker, "ended")
            else:
                self._ask(worker, "stop")


# --- the end of the interpreter, and fork

_running: weakref.WeakSet[Loop] = weakref.WeakSet()


def _at_exit() -> None:
    """Nothing is supervised any more: stop as stop() does, before threads are joined."""
    for loop in list(_running):
        loop.request("stop")
    for loop in list(_running):
        try:
            assert loop.thread is not None
            loop.wait(loop.stopped)
            loop.thread.join()
        except BaseException:  # Ctrl-C
            loop.request("stop", True)
            raise


def _after_fork() -> None:
    for loop in list(_running):
        loop.forked()
    _running.clear()


try:
    threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
except RuntimeError:
    pass  # the interpreter is ending already, and no thread can be started
os.register_at_fork(after_in_child=_after_fork)
