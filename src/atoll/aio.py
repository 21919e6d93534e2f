"""asyncio: await calls in other interpreters.

    import asyncio
    from atoll import aio

    async def main():
        print(await aio.to_interpreter(pow, 2, 100))
        print(await aio.options(timeout=2).to_interpreter(sum, range(10**6)))

    asyncio.run(main())

to_interpreter() runs calls on a pool that belongs to the running loop.  The
pool is made at its first use, and starts threads: one for each worker and one
that collects results.  It is closed when the loop is closed.

Cancelling the task that awaits interrupts the call.
"""

from __future__ import annotations

import asyncio
import weakref

from ._carry import call_with, carried, check
from .futures import InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any

    from . import Interpreter

__all__ = ["Options", "call", "carried", "options", "to_interpreter"]

_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, InterpreterPoolExecutor]
_pools = weakref.WeakKeyDictionary()


def _close_pool(pool: InterpreterPoolExecutor) -> None:
    pool.terminate_workers()
    pool.shutdown(wait=True)


def _get_pool(loop: asyncio.AbstractEventLoop) -> InterpreterPoolExecutor:
    pool = _pools.get(loop)
    if pool is not None:
        return pool
    pool = _pools[loop] = InterpreterPoolExecutor(thread_name_prefix="atoll.aio")
    close = loop.close

    def close_with_pool() -> None:
        if not loop.is_running() and not loop.is_closed():
            _pools.pop(loop, None)
            _close_pool(pool)
        close()

    try:
        loop.close = close_with_pool  # type: ignore[method-assign]
    except AttributeError:
        # A loop in C, which does not let itself be changed: then with its last reference.
        weakref.finalize(loop, _close_pool, pool)
    return pool


async def _wait(future: Future[Any], interrupt: Callable[[], object]) -> Any:
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        if not future.cancel():
            interrupt()
        raise


async def to_interpreter[**P, R](func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Return func(*args, **kwargs), called in an interpreter of the loop's pool.

    Raises what the call raised.  If the awaiting task is cancelled, the call
    is interrupted.
    """
    return await _to_interpreter(None, None, func, args, kwargs)  # type: ignore[no-any-return]


async def call[**P, R](interp: Interpreter, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Return interp.call(func, *args, **kwargs), without blocking the loop.

    It runs in a thread of its own.  Raises ExecutionFailed for what the call
    raised.  If the awaiting task is cancelled, the call is interrupted.
    """
    return await _call(None, None, interp, func, args, kwargs)  # type: ignore[no-any-return]


def options(*, timeout: float | None = None, carry: dict[str, str] | None = None) -> Options:
    """A view of this module whose calls have a deadline, or carry text.

    timeout: seconds that a call may run; then it is stopped, and
    ExecutionTimeout raised.  carry: a dict of text, for tracing: code in the
    call finds it with atoll.aio.carried.get().
    """
    return Options(timeout, carry)


class Options:
    """What options() returns."""

    __slots__ = ("_carry", "_timeout")

    def __init__(self, timeout: float | None, carry: dict[str, str] | None) -> None:
        if timeout is not None:
            timeout = float(timeout)
            if not timeout >= 0:
                raise ValueError("timeout must not be negative or NaN")
        self._timeout = timeout
        self._carry = check(carry)

    async def to_interpreter[**P, R](self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Like atoll.aio.to_interpreter."""
        return await _to_interpreter(self._timeout, self._carry, func, args, kwargs)  # type: ignore[no-any-return]

    async def call[**P, R](
        self, interp: Interpreter, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Like atoll.aio.call."""
        return await _call(self._timeout, self._carry, interp, func, args, kwargs)  # type: ignore[no-any-return]


async def _to_interpreter(
    timeout: float | None,
    carry: dict[str, str] | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if carry is not None:
        func, args = call_with, (carry, func, *args)
    pool = _get_pool(asyncio.get_running_loop())
    future = pool._submit_timed(timeout, func, args, kwargs)
    return await _wait(future, future.interrupt)


async def _call(
    timeout: float | None,
    carry: dict[str, str] | None,
    interp: Interpreter,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not callable(func):
        raise TypeError(f"expected a callable, got {func!r}")
    if carry is not None:
        func, args = call_with, (carry, func, *args)
    thread = interp.options(timeout=timeout).call_in_thread(func, *args, **kwargs)
    return await _wait(thread.future, thread.interrupt)
