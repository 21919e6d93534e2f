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


def crack(number: int) -> None:
    raise ValueError(number)


class Fragile:
    """Can be sent, but nowhere be rebuilt."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[object, ...]:
        return crack, (self.number,)


def do(
    queue: atoll.Queue, name: str, arguments: tuple[object, ...], bad: object = "drop"
) -> tuple[object, ...]:
    """One operation of the stress test: ("ok", value) or (the exception's name, detail).

    bad: what becomes of an item that cannot be rebuilt: "drop", "put back", or
    a queue to forward it to.
    """
    try:
        if name == "put":
            value, policy = arguments
            marker = None if policy is None else getattr(atoll, str(policy))
            queue.put_nowait(make(value), unbounditems=marker)
            return "ok", None
        if name == "put_many":
            return "ok", queue.put_many([make(value) for value in arguments], timeout=0)
        if name == "get_many":
            return "ok", queue.get_many(*arguments, timeout=0)
        if name == "ready":
            return "ok", bool(atoll.wait([queue], 0))
        return "ok", getattr(queue, name)(*arguments)
    except atoll.QueueItemError as error:
        if bad == "put back":
            error.put_back()
        elif bad != "drop":
            try:
                error.forward(bad, 0)
            except (atoll.QueueFull, atoll.QueueShutDown):
                error.put_back()
        return "QueueItemError", None
    except (atoll.QueueError, ValueError) as error:
        return type(error).__name__, getattr(error, "items_put", None)


def make(value: object) -> object:
    return Fragile(value[1]) if type(value) is tuple and value[0] == "fragile" else value


def produce(queue: atoll.Queue, name: int, count: int, seed: int) -> None:
    """Puts (name, 0), (name, 1), ... in every way there is."""
    import random

    dice = random.Random(seed)
    number = 0
    while number < count:
        some = [(name, n) for n in range(number, min(count, number + dice.randrange(1, 8)))]
        timeout = dice.choice([None, 0, 0.0001, 0.01, 5])
        try:
            if dice.random() < 0.5:
                queue.put(some[0], timeout=timeout)
                number += 1
            else:
                number += queue.put_many(some, timeout)
        except atoll.QueueFull as error:
            number += getattr(error, "items_put", 0)


def consume(queue: atoll.Queue, seed: int) -> list[object]:
    """Gets until the queue is shut down, in every way there is."""
    import random

    dice = random.Random(seed)
    got: list[object] = []
    while True:
        timeout = dice.choice([None, 0, 0.0001, 0.01, 5])
        way = dice.randrange(4)
        try:
            if way == 0:
                got.append(queue.get(timeout=timeout))
            elif way == 1:
                got += queue.get_many(dice.randrange(1, 8), timeout)
            elif way == 2:
                for _ in atoll.wait([queue], timeout):
                    got.append(queue.get_nowait())
            else:
                for item in queue:
                    got.append(item)
                    if dice.random() < 0.2:
                        break
                else:
                    return got
        except atoll.QueueEmpty:
            continue
        except atoll.QueueShutDown:
            return got


def consume_async(queue: atoll.Queue, seed: int) -> list[object]:
    """The same in an event loop, with gets that are cancelled."""
    import asyncio
    import random

    dice = random.Random(seed)
    got: list[object] = []

    async def worker() -> None:
        while True:
            try:
                if dice.random() < 0.5:
                    got.append(await queue.aget())
                else:
                    async with asyncio.timeout(dice.choice([0, 0.0001, 0.005])):
                        item = await queue.aget()
                        got.append(item)
            except TimeoutError:
                continue
            except atoll.QueueShutDown:
                return

    async def main() -> None:
        await asyncio.gather(*(worker() for _ in range(3)))

    asyncio.run(main())
    return got


def move_all(queue: atoll.Queue, results: atoll.Queue) -> None:
    for item in queue:
        results.put(item)


def await_one(queue: atoll.Queue) -> object:
    import asyncio

    async def main() -> object:
        return await queue.aget()

    return asyncio.run(main())
