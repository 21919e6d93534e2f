"""Functions that the tests run in other interpreters: a module that loads quickly."""

from __future__ import annotations

import sys

import atoll
from atoll import _core


def put_all(queue: atoll.Queue, items: list[tuple[object, str | None]]) -> None:
    """Runs elsewhere: puts each item with its policy."""
    for item, policy in items:
        queue.put(item, unbounditems=None if policy is None else getattr(atoll, policy))


def get_fails(queue: atoll.Queue) -> tuple[str, str, bool]:
    """Runs elsewhere: what get raises, and why; the item goes with the exception."""
    try:
        queue.get()
    except atoll.QueueItemError as error:
        return str(error), type(error.__cause__).__name__, error.queue is queue
    raise AssertionError("it was rebuilt")


def get_and_put_back(queue: atoll.Queue) -> str:
    try:
        queue.get()
    except atoll.QueueItemError as error:
        error.put_back()
        try:
            error.put_back()
        except atoll.QueueError as again:
            return str(again)
    raise AssertionError


def get_and_forward(queue: atoll.Queue, other: atoll.Queue, timeout: float | None) -> None:
    try:
        queue.get()
    except atoll.QueueItemError as error:
        try:
            error.forward(other, timeout)
        except atoll.QueueError:
            error.put_back()
            raise
    else:
        raise AssertionError


def drain(queue: atoll.Queue) -> list[object]:
    """Runs elsewhere: everything, as far as it can be rebuilt."""
    got: list[object] = []
    while not queue.empty():
        try:
            got.append(queue.get_many(100))
        except atoll.QueueItemError as error:
            got.append(type(error).__name__)
    return got


def add_to_path(folder: str) -> None:
    sys.path.insert(0, folder)


def iterate(queue: atoll.Queue) -> list[object]:
    got: list[object] = []
    while True:
        try:
            for item in queue:
                got.append(item)
            return got
        except atoll.QueueItemError:
            got.append("bad")


def same_marker(got: object) -> bool:
    return got is getattr(atoll, repr(got).split(".")[1])


def put_new_queue(queue: atoll.Queue) -> None:
    queue.put(atoll.create_queue())


def get_n(queue: atoll.Queue) -> object:
    return queue.get().n


def put_back_when_somebody_waits(queue: atoll.Queue, result: atoll.Queue) -> None:
    try:
        queue.get()
    except atoll.QueueItemError as error:
        result.put("have it")
        while not _core._queue_waiting(queue)[0]:
            pass
        error.put_back()


kept: list[object] = []


def keep(*things: object) -> None:
    kept.extend(things)


def drop() -> None:
    kept.clear()


def give_kept() -> object:
    return kept.pop()


def new_queue(maxsize: int = 0) -> atoll.Queue:
    return atoll.create_queue(maxsize)


def is_same(queue: atoll.Queue, number: int) -> bool:
    return queue is atoll.Queue(number) and queue.id == number


def is_known(number: int) -> bool:
    try:
        atoll.Queue(number)
    except atoll.QueueNotFoundError:
        return False
    return True


def hold_itself(queue: atoll.Queue) -> None:
    queue.put([queue, (queue, {"me": queue})])


def put_range(queue: atoll.Queue, start: int, stop: int) -> None:
    for number in range(start, stop):
        queue.put(number)


def get_count(queue: atoll.Queue, count: int) -> list[object]:
    return [queue.get() for _ in range(count)]


def get_all(queue: atoll.Queue) -> list[object]:
    return list(queue)


def pump(source: atoll.Queue, target: atoll.Queue) -> int:
    """Passes on what comes until the source is shut down."""
    count = 0
    for item in source:
        target.put(item)
        count += 1
    return count


def echo(requests: atoll.Queue, answers: atoll.Queue) -> None:
    for item in requests:
        answers.put(item)


def get_one(queue: atoll.Queue) -> object:
    return queue.get()


def put_one(queue: atoll.Queue) -> None:
    queue.put("too much")


def put_some(queue: atoll.Queue) -> None:
    queue.put_many(["one", "two", "three"])


def get_some(queue: atoll.Queue) -> list[object]:
    return queue.get_many(5)


def join(queue: atoll.Queue) -> None:
    queue.join()


def wait(queue: atoll.Queue) -> list[atoll.Queue]:
    return atoll.wait([queue])


def wait_and_get(queues: list[atoll.Queue], count: int) -> list[object]:
    """Takes `count` items from whichever has one."""
    got: list[object] = []
    while len(got) < count:
        for queue in atoll.wait(queues):
            try:
                got.append(queue.get_nowait())
            except atoll.QueueEmpty:
                continue
    return got


def run_async(source: atoll.Queue, target: atoll.Queue) -> int:
    import asyncio

    async def main() -> int:
        count = 0
        async for item in source:
            await target.aput(item)
            count += 1
        return count

    return asyncio.run(main())


def leave_a_loop_waiting(queue: atoll.Queue) -> None:
    """An event loop, not closed, with a task that waits; both are kept."""
    import asyncio

    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.aget())
    while not _core._queue_waiting(queue)[0]:
        loop.run_until_complete(asyncio.sleep(0))
    kept.extend([loop, task])
