"""anyio: await a call in an interpreter, on asyncio and on Trio.

    import anyio
    from atoll.anyio import run_sync

    async def main():
        print(await run_sync(pow, 2, 100))

    anyio.run(main)

In the manner of anyio.to_interpreter, but a cancelled call is stopped, what
it raised keeps its type, and functions need not be importable.  Needs anyio
4.11 or later (``pip install 'atoll[anyio]'``).

The calls of one event loop run on one pool of interpreters, made at the first
call; it starts a thread for each worker and one that collects results.  A
worker that has had nothing to do for 30 seconds ends.
"""

from __future__ import annotations

import os

from anyio import CancelScope, CapacityLimiter, Event, get_cancelled_exc_class
from anyio.lowlevel import RunVar, checkpoint_if_cancelled, current_token

from .futures import InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["current_default_interpreter_limiter", "run_sync"]

#: Seconds after which a worker without work ends.
IDLE_TIMEOUT = 30.0
#: More workers than that, no limiter can have at once.
MAX_WORKERS = 4096

_pools: RunVar[InterpreterPoolExecutor] = RunVar("_atoll_pool")
_limiters: RunVar[CapacityLimiter] = RunVar("_atoll_limiter")


def current_default_interpreter_limiter() -> CapacityLimiter:
    """The limiter of run_sync() in this event loop where none is given: as many calls at once as CPUs."""
    try:
        return _limiters.get()
    except LookupError:
        limiter = CapacityLimiter(os.cpu_count() or 1)
        _limiters.set(limiter)
        return limiter


def _get_pool() -> InterpreterPoolExecutor:
    try:
        pool: InterpreterPoolExecutor = _pools.get()
    except LookupError:
        # Workers start on demand: the limiters say how many there are.
        pool = InterpreterPoolExecutor(MAX_WORKERS, "atoll.anyio", idle_timeout=IDLE_TIMEOUT)
        _pools.set(pool)
    return pool


def _scheduler() -> Callable[[Callable[[], object]], object]:
    """What has a function called in this event loop, from any thread."""
    token: Any = current_token().native_token
    schedule: Any = getattr(token, "run_sync_soon", None) or token.call_soon_threadsafe
    return schedule  # type: ignore[no-any-return]


async def run_sync[*Args, T](
    func: Callable[[*Args], T], *args: *Args, limiter: CapacityLimiter | None = None
) -> T:
    """Return func(*args), called in an interpreter.

    limiter: bounds how many calls run at once; None: that of the event loop.
    Raises what the call raised.  If the awaiting task is cancelled, the call
    is interrupted, and has stopped (or has been given up, see
    InterpreterPoolExecutor) when the cancellation goes on.
    """
    await checkpoint_if_cancelled()
    async with limiter or current_default_interpreter_limiter():
        done = Event()
        schedule = _scheduler()

        def report(_: object) -> None:
            try:
                schedule(done.set)
            except RuntimeError:
                pass  # the event loop has ended: nobody waits

        future = _get_pool().submit(func, *args)
        future.add_done_callback(report)
        try:
            await done.wait()
        except get_cancelled_exc_class():
            if not future.cancel():
                future.interrupt()
                with CancelScope(shield=True):
                    await done.wait()
            raise
        result: T = future.result()
        return result
