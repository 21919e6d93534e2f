"""aget, aput and `async for` of queues; the other half is ext/queue_async.c.

Each event loop that waits on a queue has one descriptor, a reader in the loop,
whatever the number of queues and waits.  No thread is used.  In an interpreter
that is not the main one every event loop has it: by that reader it is woken
when its code is interrupted, too (_setup.py).

The reader's callback, a _Bell, is referenced by the event loop alone.  An
event loop that is closed drops its readers, so the _Bell goes, and with it
the C half, which leaves all lines and hands what it had been granted to
others: a closed loop takes no item along, even if its tasks are never
finished.

The item of a wait that is over stays in the C half until the task that waits
takes it, by finish().  A task that is cancelled in between therefore loses
nothing.
"""

from __future__ import annotations

from asyncio import get_running_loop
from weakref import WeakKeyDictionary, ref

from ._core import _QueueLoop
from ._errors import QueueShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from typing import Any

    from ._core import Queue

__all__ = ["AsyncIterator", "aget", "aput"]


class _Bell:
    """The reader of one event loop: tells the futures whose waits are over."""

    __slots__ = ("__weakref__", "futures", "waits")

    def __init__(self) -> None:
        self.waits = _QueueLoop()
        #: Those of all waits: the event loop keeps the tasks that wait, as it
        #: does for other kinds of waiting, even if nobody else does.
        self.futures: set[Future[None]] = set()

    def __call__(self) -> None:
        for future in self.waits.take():
            if not future.done():
                future.set_result(None)


_bells: WeakKeyDictionary[AbstractEventLoop, ref[_Bell]] = WeakKeyDictionary()


def _bell_of(loop: AbstractEventLoop) -> _Bell:
    known = _bells.get(loop)
    bell = None if known is None else known()
    # After a fork the child's descriptor is closed.
    if bell is None or bell.waits.fileno() < 0:
        bell = _Bell()
        loop.add_reader(bell.waits.fileno(), bell)
        _bells[loop] = ref(bell)
    return bell


def wake_when_interrupted(loop: AbstractEventLoop) -> None:
    """Have interrupt() and Ctrl-C wake the loop from now on, whatever it waits for; if it can be."""
    try:
        _bell_of(loop)
    except Exception:
        pass  # it has no readers, or there is no descriptor left: it works as ever


async def aget(queue: Queue[Any]) -> Any:
    """Queue.aget()."""
    loop = get_running_loop()
    bell = _bell_of(loop)
    future: Future[None] = loop.create_future()
    pending = bell.waits.get(queue, future)
    if pending.ready:
        return pending.finish()
    futures = bell.futures
    del bell  # see above
    futures.add(future)
    try:
        await future
        return pending.finish()
    finally:
        futures.discard(future)
        pending.cancel()


async def aput(queue: Queue[Any], obj: Any) -> None:
    """Queue.aput()."""
    loop = get_running_loop()
    bell = _bell_of(loop)
    future: Future[None] = loop.create_future()
    pending = bell.waits.put(queue, future, obj)
    if pending.ready:
        return
    futures = bell.futures
    del bell
    futures.add(future)
    try:
        await future
        pending.finish()
    finally:
        futures.discard(future)
        pending.cancel()


class AsyncIterator:
    """Items until the queue is shut down."""

    __slots__ = ("_queue",)

    def __init__(self, queue: Queue[Any]) -> None:
        self._queue = queue

    def __aiter__(self) -> AsyncIterator:
        return self

    async def __anext__(self) -> Any:
        try:
            return await aget(self._queue)
        except QueueShutDown:
            raise StopAsyncIteration from None
