"""InterpreterPoolExecutor: a concurrent.futures executor of interpreters.

Each worker is one thread that stays inside one interpreter.  It takes calls
from a queue and hands outcomes back without a visit to the interpreter that
made the pool; there, whoever waits for exactly one result fetches it, and one
thread, the collector, sees to all others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future as _BaseFuture
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from operator import length_hint

from . import _core
from ._errors import NotShareableError
from ._pool import STUCK_AFTER, BrokenInterpreterPool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["BrokenInterpreterPool", "Future", "InterpreterPoolExecutor"]

#: At the end of the process, a task may run this long (seconds) before it is
#: interrupted; None: as long as it likes.
exit_grace: float | None = 10.0

#: What threads that a task left behind may take to end when their interpreter is closed, in seconds.
_CLOSE_GRACE = 2.0

# An automatic chunk is to take this long, and hold so many bytes.
_CHUNK_SECONDS = 0.001
_CHUNK_BYTES = 256 << 10
_CHUNK_MOST = 8192

_PENDING = "PENDING"


class Future(_BaseFuture["_T"]):
    """The Future of a task in a pool; concurrent.futures' own, and interrupt()."""

    _task: Any = None

    def result(self, timeout: float | None = None) -> _T:
        """Wait for the call's result, and return it.

        timeout: seconds; None: for ever.

        Raises what the call raised, TimeoutError if it is not done in time,
        CancelledError if it was cancelled.
        """
        if self._state == _PENDING and self._task is not None:
            timeout = self._fetch(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call's end, and return what it raised; None: nothing.

        timeout: seconds; None: for ever.

        Raises TimeoutError if it is not done in time, CancelledError if it
        was cancelled.
        """
        if self._state == _PENDING and self._task is not None:
            timeout = self._fetch(timeout)
        return super().exception(timeout)

    def _fetch(self, timeout: float | None) -> float | None:
        """Wait for the outcome here, past the collector; what is left of the timeout."""
        if self._done_callbacks or self._waiters:  # type: ignore[attr-defined]
            return timeout  # they are the collector's to run, and to wake
        start = 0.0 if timeout is None else time.monotonic()
        task = self._task
        try:
            got = task.wait(timeout)
            if got is not None:
                _settle(self, *got)
                return None
            if task.cancelled():
                _cancel(self)
        except BaseException:
            # Ctrl-C may come between any two steps; the outcome is not lost.
            if self._state == _PENDING:
                task.give_back(self)
            else:
                with self._condition:
                    self._condition.notify_all()
            raise
        return None if timeout is None else max(0.0, timeout - (time.monotonic() - start))

    def running(self) -> bool:
        """True while the task runs."""
        return (
            self._state == _PENDING and self._task is not None and self._task.running()
        ) or super().running()

    def cancel(self) -> bool:
        """Drop the task if it still waits; True if it is (or was) cancelled."""
        if self._state == _PENDING and self._task is not None:
            try:
                self._task.cancel()
            finally:
                # Ctrl-C does not come between the two.
                if self._task.cancelled():
                    _cancel(self)
            return self.cancelled()
        return super().cancel()

    def interrupt(self) -> bool:
        """Stop the task if it runs; True if it did.

        Its future then gets ExecutionInterrupted.  A task that does not stop
        within a second is given up, and its worker is replaced.
        """
        return self._task is not None and self._task.interrupt()

    def __repr__(self) -> str:
        if self.running():
            return f"<{type(self).__name__} at {id(self):#x} state=running>"
        return super().__repr__()


def _settle(future: Future[Any], ok: bool, value: Any) -> None:
    try:
        if ok:
            future.set_result(value)
        else:
            future.set_exception(value)
    except Exception:
        if not future.done():
            raise  # else it was cancelled by hand


def _cancel(future: Future[Any]) -> None:
    _BaseFuture.cancel(future)
    if future._state == "CANCELLED":
        future.set_running_or_notify_cancel()


class _State:
    """What the threads of a pool share; it knows nothing of the executor.

    It has no lock: Ctrl-C between the taking of one and the beginning of its
    block leaves it taken for ever.  Each step is one that the GIL makes
    atomic.
    """

    def __init__(self, core: Any, prefix: str, config: Any) -> None:
        self.core = core
        self.prefix = prefix
        self.config = config
        self.workers: set[threading.Thread] = set()
        self.collectors: set[threading.Thread] = set()  # at most one of them collects
        self.collector: list[threading.Thread] = []  # which
        self.numbers = count()
        self.forked = False
        core.start = self.start_worker

    def start_worker(self, promise: list[None]) -> None:
        """Start the worker that the core has promised.

        promise: has one item.  Who takes it out keeps the promise (the
        worker's thread) or takes it back (the core, after an exception here:
        when Ctrl-C has come nobody knows whether the thread runs, or will).
        """
        thread = _thread(f"{self.prefix}_{next(self.numbers)}", _work, self, promise)
        self.workers.add(thread)
        try:
            thread.start()
        except Exception:
            self.workers.discard(thread)
            raise  # after Ctrl-C it may run: it does that itself

    def start_collector(self) -> None:
        """Start one, if there is none; of several the first to begin stays."""
        if self.collector:
            return
        thread = _thread(f"{self.prefix}_collector", _collect, self)
        self.collectors.add(thread)
        try:
            thread.start()
        except Exception:
            self.collectors.discard(thread)
            if not self.collector:  # else another thread has just started it
                raise

    def cancel_queued(self) -> None:
        for future in self.core.cancel_all():
            _cancel(future)

    def stop(self) -> None:
        """Cancel what is queued, interrupt what runs."""
        self.core.shutdown()
        self.cancel_queued()
        if self.core.interrupt_all():
            self.start_collector_if_possible()

    def start_collector_if_possible(self) -> None:
        try:
            self.start_collector()
        except RuntimeError:  # the process is ending
            pass

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the workers; False at the time-out."""
        if not self.core.join(timeout):
            return False
        deadline = time.monotonic() + _CLOSE_GRACE
        me = threading.current_thread()
        for thread in [*self.workers, *self.collectors]:
            if thread is not me:
                # RuntimeError: another thread is just starting it.
                with contextlib.suppress(RuntimeError):
                    thread.join(max(0.0, deadline - time.monotonic()))
        return True


#: The states whose threads may run.
_states: weakref.WeakSet[_State] = weakref.WeakSet()


def _thread(name: str, target: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, name=name)
    try:
        # The end of the process waits for the work (_at_exit), but not for a
        # thread that is stuck.
        thread.daemon = True
    except RuntimeError:
        pass  # not in this interpreter
    return thread


def _work(state: _State, promise: list[None]) -> None:
    """A worker's thread."""
    from . import create

    core = state.core
    try:
        try:
            promise.pop()
        except IndexError:
            return  # start_worker() was interrupted, and it was taken back
        while True:
            try:
                interp = create(config=state.config, name=threading.current_thread().name)
            except BaseException as error:
                core.start_failed()
                core.break_if_stranded(f"{type(error).__name__}: {error}")
                return
            try:
                core.work(interp.id)
            except BaseException as error:
                core.break_if_stranded(f"{type(error).__name__}: {error}")
                return
            finally:
                _close(interp)
            if not core.wants_worker():
                return
    finally:
        state.workers.discard(threading.current_thread())


def _close(interp: _core.Interpreter) -> None:
    try:
        interp.close()
    except Exception:
        pass  # a thread in it will not end: it is closed at exit


#: Until a collector that lacked memory tries again, in seconds.
_MEMORY_PAUSE = 0.01


def _collect(state: _State) -> None:
    """The collector's thread."""
    me = threading.current_thread()
    try:
        state.collector.append(me)
        if state.collector[0] is me:
            _collect_all(state)
    finally:
        state.collectors.discard(me)


def _collect_all(state: _State) -> None:
    core = state.core
    while True:
        try:
            batch = core.take()
        except MemoryError:
            time.sleep(_MEMORY_PAUSE)
            continue  # nothing is lost: the next try may find some
        if batch is None:
            del core.start  # which refers to the state
            return
        for future, ok, value in batch:
            try:
                _settle(future, ok, value)
            except BaseException:  # of a callback; Exception never comes here
                _log_callback(future)
            del future, value
        del batch
        core.start_wanted()


def _log_callback(future: Future[Any]) -> None:
    from concurrent.futures._base import LOGGER

    LOGGER.critical("exception calling callback for %r", future, exc_info=True)


def _at_exit() -> None:
    """Finish what was submitted, as concurrent.futures does; then leave."""
    states = [state for state in list(_states) if not state.forked]
    for state in states:
        state.core.shutdown()
    for state in states:
        done = state.core.stats()["done"]
        while not state.join(exit_grace):
            # Nothing was finished in that time: what runs is stopped.
            stats = state.core.stats()
            if stats["done"] == done or not stats["queued"]:
                state.stop()
                state.join(2 * STUCK_AFTER)
                break
            done = stats["done"]


def _after_fork() -> None:
    for state in list(_states):
        state.forked = True
        state.workers.clear()
        state.collectors.clear()
        state.collector.clear()


_exit_registered = False


def _register() -> None:
    global _exit_registered
    if not _exit_registered:
        threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
        os.register_at_fork(after_in_child=_after_fork)
        _exit_registered = True


def _default_workers() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InterpreterPoolExecutor(ThreadPoolExecutor):
    """An executor that runs each call in one of several interpreters.

    max_workers: how many at most; None: as many as there are CPUs.
    thread_name_prefix: text for the names of the threads and interpreters.
    initializer, initargs: called once in each new interpreter; if it fails,
    the pool is broken.
    max_tasks_per_child: so many calls, then the worker goes on in a new
    interpreter.
    idle_timeout: seconds after which a worker without work ends; None: never.
    queue_size: submit() blocks while so many tasks wait; None: never.
    config: "isolated", "legacy" or an InterpreterConfig.

    It can be used from any thread of its interpreter.  It pickles as its
    configuration: the copy is a pool of its own.

    As in the standard library, the class derives from ThreadPoolExecutor
    (asyncio asks for one); nothing of that class is used.
    """

    _numbers = count()

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        idle_timeout: float | None = None,
        queue_size: int | None = None,
        config: Any = "isolated",
    ) -> None:
        if max_workers is None:
            max_workers = _default_workers()
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        for name, value in (("max_tasks_per_child", max_tasks_per_child), ("queue_size", queue_size)):
            if value is not None:
                if not isinstance(value, int):
                    raise TypeError(f"{name} must be an integer")
                if value <= 0:
                    raise ValueError(f"{name} must be >= 1")
        if idle_timeout is not None and not idle_timeout >= 0:
            raise ValueError("idle_timeout must be >= 0")
        if config != "isolated":
            from ._config import check, parse

            check(parse(config))
        self._max_workers = max_workers
        self._arguments = (
            max_workers,
            thread_name_prefix,
            initializer,
            tuple(initargs),
            {
                "max_tasks_per_child": max_tasks_per_child,
                "idle_timeout": idle_timeout,
                "queue_size": queue_size,
                "config": config,
            },
        )
        self._thread_name_prefix = thread_name_prefix or f"{type(self).__name__}-{next(self._numbers)}"
        core = _core._Pool(
            max_workers,
            queue_size or 0,
            STUCK_AFTER,
            initializer,
            tuple(initargs),
            max_tasks_per_child or 0,
            idle_timeout,
        )
        self._core = core
        self._state = _State(core, self._thread_name_prefix, config)
        self._paces: dict[Any, float] = {}
        _register()
        _states.add(self._state)
        self._finalizer = weakref.finalize(self, core.shutdown)
        self._finalizer.atexit = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), *self._arguments)

    # -- one call

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queue fn(*args, **kwargs); return its Future.

        What cannot be sent fails the Future, not the call.  Raises
        RuntimeError after shutdown(), BrokenInterpreterPool if the pool is
        broken.
        """
        future: Future[Any] = Future()
        if not self._state.collector:
            self._state.start_collector()
        try:
            future._task = self._core.submit(future, None, fn, *args, **kwargs)
        except NotShareableError as error:
            future.set_exception(error)
        return future

    def _submit_timed(
        self, timeout: float | None, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[Any]:
        future: Future[Any] = Future()
        if not self._state.collector:
            self._state.start_collector()
        try:
            future._task = self._core.submit(future, timeout, fn, *args, **kwargs)
        except NotShareableError as error:
            future.set_exception(error)
        return future

    def options(self, *, timeout: float | None = None) -> Options:
        """A view whose submit() gives each call so many seconds to run."""
        return Options(self, timeout)

    # -- many

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """An iterator of fn(*items) for the items of the iterables, in order.

        timeout: seconds, from now, after which the iterator raises
        TimeoutError.
        chunksize: so many calls are sent at once; None chooses by what calls
        turn out to take.  A chunk that takes more than 10 ms is divided.
        buffersize: so many results at most are waiting to be taken; the input
        is read only as far as that needs.  None: the input is read at once.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        feed = _Feed(self, fn, iterables, chunksize, buffersize)
        feed.start()
        return feed.results(deadline)

    # -- the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; wait until all are done.

        cancel_futures: those that have not begun are cancelled.
        """
        state = self._state
        self._core.shutdown()
        if cancel_futures:
            state.cancel_queued()
        if wait and not state.forked:
            state.join()

    def terminate_workers(self) -> None:
        """Take no more tasks, cancel what waits, interrupt what runs; do not wait."""
        self._state.stop()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._state.forked:
            return
        if exc_type is not None:
            self._state.stop()
        try:
            self.shutdown(wait=True)
        except BaseException:  # Ctrl-C
            self._state.stop()
            self._state.join(2 * STUCK_AFTER)
            raise

    def __repr__(self) -> str:
        stats = self._core.stats()
        state = "broken" if self._broken else f"{stats['workers']} of {self._max_workers} workers"
        return (
            f"<{type(self).__name__} {self._thread_name_prefix!r}, {state}, "
            f"{stats['running']} running, {stats['queued']} queued>"
        )

    @property
    def _threads(self) -> set[threading.Thread]:  # type: ignore[override]
        return set(self._state.workers)

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]
        return self._core.broken or False

    def stats(self) -> dict[str, int]:
        """Numbers: workers, idle, queued, running, done, failed, restarts."""
        return self._core.stats()


def _rebuild(
    cls: type[InterpreterPoolExecutor],
    max_workers: int,
    prefix: str,
    initializer: Any,
    initargs: tuple[Any, ...],
    options: dict[str, Any],
) -> InterpreterPoolExecutor:
    return cls(max_workers, prefix, initializer, initargs, **options)


class Options:
    """A view of a pool whose calls have a deadline."""

    __slots__ = ("_pool", "_timeout")

    def __init__(self, pool: InterpreterPoolExecutor, timeout: float | None) -> None:
        if timeout is not None:
            timeout = float(timeout)
            if not timeout >= 0:
                raise ValueError("timeout must not be negative or NaN")
        self._pool = pool
        self._timeout = timeout

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Like InterpreterPoolExecutor.submit; the future gets ExecutionTimeout
        if the call runs longer than the timeout."""
        return self._pool._submit_timed(self._timeout, fn, args, kwargs)


class _Unsent:
    """Stands for the task of an item that could not be sent."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def wait_chunk(self, timeout: float | None) -> tuple[list[Any], Exception, list[Any], int, float]:
        return [], self.error, [], 0, 0.0

    def cancel(self) -> None:
        pass


class _Feed:
    """One map(): cuts the input into chunks, and gives the results in order."""

    def __init__(
        self,
        pool: InterpreterPoolExecutor,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        chunksize: int | None,
        buffersize: int | None,
    ) -> None:
        self.core = pool._core
        self.state = pool._state
        self.paces = pool._paces
        self.workers = pool._max_workers
        self.fn = fn
        self.star = len(iterables) != 1
        self.hint = min((length_hint(i, 0) for i in iterables), default=0)
        self.input: Iterator[Any] | None = zip(*iterables, strict=False) if self.star else iter(iterables[0])
        self.auto = chunksize is None
        self.size = chunksize or 1
        self.buffersize = buffersize
        self.read = 0  # items of the input
        self.waiting = 0  # results that were not taken
        self.tasks: deque[Any] = deque()  # in order of the input
        self.unmeasured: deque[Any] = deque()
        self.key = getattr(fn, "__code__", fn)
        self.pace = -1.0
        if self.auto:
            try:
                self.pace = self.paces.get(self.key, -1.0)
            except TypeError:  # it cannot be hashed
                self.key = None

    def start(self) -> None:
        if not self.state.collector:
            self.state.start_collector()  # it starts workers for divided chunks
        if self.buffersize is not None:
            self.fill()
            return
        if self.auto and self.pace < 0:
            self.probe()
        while self.send(self.next_size()):
            pass

    def probe(self) -> None:
        """Send one item to each worker, and see what the first one takes."""
        for _ in range(2 * self.workers):
            if not self.send(1):
                return
        if not self.unmeasured:
            return
        first = self.unmeasured[0]
        warm = self.core.stats()["workers"] and first.running()
        if first.ready(0.002 if warm else 0.1):
            self.measure()

    def send(self, size: int) -> bool:
        """Submit a chunk; False at the end of the input."""
        if self.input is None:
            return False
        chunk = list(islice(self.input, size))
        if not chunk:
            self.input = None
            return False
        self.read += len(chunk)
        self.waiting += len(chunk)
        self.hint -= len(chunk)
        try:
            task = self.core.submit_chunk(self.fn, chunk, self.star)
        except NotShareableError:
            self.send_apart(chunk)
            return True
        self.tasks.append(task)
        if self.auto:
            self.unmeasured.append(task)
            if task.bytes > _CHUNK_BYTES:
                self.most = max(1, len(chunk) * _CHUNK_BYTES // task.bytes)
        return True

    def send_apart(self, chunk: list[Any]) -> None:
        """Submit one by one what cannot be sent together: only what is at fault fails."""
        first = self.read - len(chunk)
        for number, item in enumerate(chunk, first):
            try:
                self.tasks.append(self.core.submit_chunk(self.fn, [item], self.star))
            except NotShareableError as error:
                error.add_note(f"It is of item {number} of what map() was given.")
                self.tasks.append(_Unsent(error))

    most = _CHUNK_MOST

    def measure(self) -> None:
        """Look at what chunks took that are done."""
        unmeasured = self.unmeasured
        pace = self.pace
        while unmeasured and (got := unmeasured[0].pace()) >= 0:
            unmeasured.popleft()
            # Quick to believe that calls are slower, slow to believe the other.
            pace = got if pace < 0 or got > pace else (3 * pace + got) / 4
        if pace != self.pace and self.key is not None:
            self.pace = pace
            if len(self.paces) >= 64:
                self.paces.clear()
            self.paces[self.key] = pace

    def next_size(self) -> int:
        if not self.auto:
            return self.size
        if self.unmeasured:
            self.measure()
        if self.pace < 0:
            return 1
        size = min(int(_CHUNK_SECONDS / max(self.pace, 1e-9)), 8 * self.size, self.most)
        if self.hint > 0:
            # Enough pieces for all workers.
            size = min(size, max(self.hint // (4 * self.workers), self.size // 2))
        self.size = max(1, size)
        return self.size

    def fill(self) -> None:
        """Read the input as far as buffersize allows."""
        assert self.buffersize is not None
        while (room := self.buffersize - self.waiting) > 0:
            size = min(self.next_size(), room)
            if self.auto:
                # At least as many pieces as there are workers.
                size = max(1, min(size, self.buffersize // (2 * self.workers)))
            if not self.send(size):
                return

    def results(self, deadline: float | None) -> Iterator[Any]:
        tasks = self.tasks
        buffered = self.buffersize is not None
        try:
            while tasks:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                values, error, rest, _, _ = tasks[0].wait_chunk(left)
                tasks.popleft()
                if rest:
                    tasks.extendleft(reversed(rest))
                if not buffered:
                    values.reverse()
                    while values:
                        yield values.pop()
                else:
                    values.reverse()
                    while values:
                        self.waiting -= 1
                        value = values.pop()
                        self.fill()
                        yield value
                        del value
                if error is not None:
                    try:
                        raise error
                    finally:
                        del error
        finally:
            self.input = None
            while tasks:
                tasks.popleft().cancel()
