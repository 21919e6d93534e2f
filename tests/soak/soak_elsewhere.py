"""What the soak runs in other interpreters: found there by import."""

from __future__ import annotations

import atoll


class Oddity(Exception):
    pass


def echo(value: object) -> object:
    return value


def add(a: int, b: int) -> int:
    return a + b


def fail(text: str) -> None:
    raise Oddity(text)


def spin(count: int) -> int:
    for _ in range(count):
        pass
    return count


def for_ever() -> None:
    while True:
        try:
            while True:
                pass
        finally:
            echo(None)


def take(queue: atoll.Queue) -> object:
    """An item of the queue; one that lacked memory to be rebuilt stays in it."""
    while True:
        try:
            return queue.get_nowait()
        except MemoryError:
            continue
        except atoll.QueueItemError as error:
            error.put_back()


def give(queue: atoll.Queue, item: object) -> None:
    while True:
        try:
            return queue.put(item)
        except MemoryError:
            continue


def move(source: atoll.Queue, target: atoll.Queue, count: int) -> int:
    """From one queue to another, whatever fails; the items that were there."""
    moved = 0
    while moved < count:
        try:
            item = take(source)
        except atoll.QueueEmpty:
            break
        give(target, item)
        moved += 1
    return moved


def produce(queue: atoll.Queue, first: int, count: int) -> None:
    for number in range(first, first + count):
        give(queue, ("item", number))


def wait_for_ever(queue: atoll.Queue) -> object:
    return queue.get()


def count_under(lock: object, number: object, times: int) -> None:
    """load and store, which only the lock makes one step."""
    for _ in range(times):
        with lock:  # type: ignore[attr-defined]
            number.store(number.load() + 1)  # type: ignore[attr-defined]


def fill(buffer: object, value: int) -> int:
    view = memoryview(buffer)  # type: ignore[arg-type]
    view[:] = bytes([value]) * len(view)
    return len(view)


def nested(interp: atoll.Interpreter, a: int) -> int:
    return interp.call(add, a, 1)


def run_thread() -> int:
    import threading

    found: list[int] = []
    thread = threading.Thread(target=found.append, args=(1,))
    thread.start()
    thread.join()
    return found[0]
