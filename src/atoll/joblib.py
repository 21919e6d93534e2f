"""joblib: Parallel() in interpreters.

    import atoll.joblib
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="atoll"):
        print(Parallel(n_jobs=2)(delayed(pow)(2, n) for n in range(100)))

Importing this module registers the backend "atoll"; needs joblib 1.3 or
later (``pip install 'atoll[joblib]'``).  joblib itself stays in the
interpreter that calls Parallel(): only functions, their arguments and their
results cross, so that tasks run where joblib cannot be imported.  A Parallel()
inside a task runs its tasks one after the other.

The workers last as long as joblib keeps the backend: for one Parallel() call,
or for all of a ``with Parallel(...) as parallel:`` block.
"""

from __future__ import annotations

import os

from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
    register_parallel_backend,
)

from ._joblib_task import run_batch
from .futures import InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any

__all__ = ["AtollBackend"]

#: What Parallel() and parallel_config() may say of the pool.
_OPTIONS = ("initializer", "initargs", "max_tasks_per_child", "idle_timeout", "config")


class AtollBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """joblib's backend "atoll".

    Keyword arguments of parallel_config(backend="atoll", ...) or Parallel()
    go to InterpreterPoolExecutor: initializer, initargs, max_tasks_per_child,
    idle_timeout, config.  As with joblib's own backends, n_jobs=1 runs the
    tasks in the caller, and Parallel(require="sharedmem") takes threads.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    _pool: InterpreterPoolExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many interpreters n_jobs asks for: as joblib counts, -1 is one per CPU."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cpus + 1 + n_jobs) if n_jobs < 0 else n_jobs

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Make the pool; how many workers it has."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        # The others are joblib's own, about processes.
        ours = {name: options[name] for name in _OPTIONS if name in options}
        self._options = {**self.backend_kwargs, **ours}
        self._n_jobs = n_jobs
        self.parallel = parallel
        self._pool = self._make_pool()
        return n_jobs

    def _make_pool(self) -> InterpreterPoolExecutor:
        return InterpreterPoolExecutor(self._n_jobs, "atoll.joblib", **self._options)

    def submit(self, func: Any, callback: Callable[[Future[Any]], Any] | None = None) -> Future[Any]:
        """Queue a batch of joblib's."""
        if self._pool is None:
            raise RuntimeError("the backend is not configured")
        future: Future[Any] = self._pool.submit(run_batch, func.items)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        """The results of a batch."""
        return future.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop what runs, drop what waits."""
        self._stop()
        if ensure_ready:
            self._pool = self._make_pool()

    def terminate(self) -> None:
        """Close the interpreters."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
        self.reset_batch_stats()

    def _stop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate_workers()
            pool.shutdown(wait=True)


register_parallel_backend("atoll", AtollBackend)
