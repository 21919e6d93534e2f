"""Dask distributed: tasks in the interpreters of Dask's workers.

    from atoll import dask as atoll_dask
    from dask.distributed import Client

    client = Client("tcp://scheduler:8786")
    future = atoll_dask.submit(client, pow, 2, 100)
    print(future.result())

Each Dask worker gets one pool of interpreters, by a plugin (AtollPlugin) that
submit() and map() register at their first use.  A task of Dask's runs on
Dask's own thread, as ever, and waits there without the GIL while the function
runs in an interpreter: only the function and its data cross.  So Dask keeps
its results, its retries and its dashboard, and a worker process with one
interpreter per core does the work of as many processes.

in_interpreter(f) makes a function of f that may stand wherever Dask takes one:
client.submit(), Bag.map(), dask.delayed().

Cancelling a Dask future interrupts its function.  Needs ``pip install
'atoll[dask]'``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
import weakref

from distributed import Reschedule, WorkerPlugin, get_worker

from ._errors import ExecutionInterrupted
from .futures import InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from distributed import Client, Worker

    from .futures import Future

__all__ = ["NAME", "AtollPlugin", "in_interpreter", "map", "submit"]

#: The plugin's name among a worker's plugins, and that of the numbers that it reports.
NAME = "atoll"


class AtollPlugin(WorkerPlugin):  # type: ignore[misc]
    """Gives each Dask worker a pool of interpreters: get_worker().plugins["atoll"].pool.

    max_workers: interpreters in each worker; None: as many as it has threads.
    Further options go to InterpreterPoolExecutor; what they hold travels to
    the workers.  The pool's stats() are among the worker's metrics, which
    client.scheduler_info() shows.
    """

    name = NAME
    idempotent = True

    def __init__(self, max_workers: int | None = None, **options: Any) -> None:
        self._max_workers = max_workers
        self._options = options

    def setup(self, worker: Worker) -> None:
        """Called by Dask in each worker."""
        self.pool = InterpreterPoolExecutor(
            self._max_workers or worker.state.nthreads, "atoll.dask", **self._options
        )
        self._tasks = worker.state.tasks
        self._lock = threading.Lock()
        # [lock] key of a task -> its call, once that is sent
        self._running: dict[object, Future[Any] | None] = {}
        self._cancelled: set[object] = set()  # [lock] keys of these whose call is not wanted any more
        worker.metrics[NAME] = self._report

    async def teardown(self, worker: Worker) -> None:
        """Called by Dask at the worker's end."""
        worker.metrics.pop(NAME, None)
        self.pool.terminate_workers()
        await asyncio.to_thread(self.pool.shutdown)

    def _report(self, worker: Worker) -> dict[str, Any]:
        return self.pool.stats()

    def transition(self, key: object, start: str, finish: str, **kwargs: Any) -> None:
        """Called by Dask when a task changes its state: one that was cancelled is stopped."""
        if start in ("executing", "long-running") and finish == "released":
            with self._lock:
                future = self._running.get(key)
                if key in self._running:
                    self._cancelled.add(key)
            if future is not None and not future.cancel():
                future.interrupt()

    def run(self, key: object, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """On a thread of Dask's: the result of the call, made in an interpreter."""
        # From here on transition() tells of it; what came before has left its mark on the task.
        with self._lock:
            self._running[key] = None
        try:
            task = self._tasks.get(key)
            if task is not None and task.state == "cancelled":
                raise Reschedule
            # Without the lock: it may wait for room.
            future = self.pool.submit(func, *args, **kwargs)
            with self._lock:
                self._running[key] = future
                cancelled = key in self._cancelled
            if cancelled and not future.cancel():
                future.interrupt()
            return future.result()
        except (ExecutionInterrupted, concurrent.futures.CancelledError) as error:
            with self._lock:
                cancelled = key in self._cancelled
            if cancelled:
                # If somebody wants it again meanwhile, it begins anew.
                raise Reschedule from error
            raise
        finally:
            with self._lock:
                self._running.pop(key, None)
                self._cancelled.discard(key)


class _InInterpreter:
    """A picklable function that calls another one in an interpreter of the Dask worker."""

    def __init__(self, func: Callable[..., Any]) -> None:
        if not callable(func):
            raise TypeError(f"expected a callable, got {func!r}")
        functools.update_wrapper(self, func, updated=())
        self._func = func

    def __repr__(self) -> str:
        return f"in_interpreter({self._func!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _InInterpreter, (self._func,)

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        return NAME, normalize_token(self._func)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        worker = get_worker()
        plugin = worker.plugins.get(NAME)
        if plugin is None:
            raise RuntimeError(
                f"the Dask worker {worker.address} has no interpreters: "
                "client.register_plugin(atoll.dask.AtollPlugin())"
            )
        return plugin.run(worker.get_current_task(), self._func, args, kwargs)


def in_interpreter(func: Callable[..., Any]) -> Callable[..., Any]:
    """func, to be called in an interpreter of whichever Dask worker gets it.

    It needs AtollPlugin on the workers (submit() and map() see to that), and
    can be used outside of a Dask task nowhere.
    """
    return _InInterpreter(func)


_prepared: weakref.WeakSet[Client] = weakref.WeakSet()


def _prepare(client: Client) -> None:
    if client not in _prepared:
        if not client.asynchronous:  # else the caller awaits it: see submit()
            client.register_plugin(AtollPlugin())
        _prepared.add(client)


def submit(client: Client, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """client.submit(func, *args, **kwargs), run in an interpreter; its Dask future.

    Keyword arguments of Client.submit (key, workers, retries, priority, …)
    are Dask's.  With an asynchronous client, first ``await
    client.register_plugin(AtollPlugin())``.
    """
    _prepare(client)
    return client.submit(_InInterpreter(func), *args, **kwargs)


def map(client: Client, func: Callable[..., Any], /, *iterables: Iterable[Any], **kwargs: Any) -> Any:
    """client.map(func, *iterables, **kwargs), run in interpreters; a list of Dask futures."""
    _prepare(client)
    return client.map(_InInterpreter(func), *iterables, **kwargs)
