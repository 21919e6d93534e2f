"""What the scenarios run in other interpreters: found there by import."""

from __future__ import annotations

import sys
import threading

import atoll


class Oddity(Exception):
    """Crosses by reference, with its arguments."""


class Record:
    """Crosses through pickle's protocol."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.more = [number, {"n": number}]

    def __eq__(self, other: object) -> bool:
        return type(other) is Record and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]


def echo(*args: object, **kwargs: object) -> object:
    return (args, kwargs) if kwargs else args[0] if len(args) == 1 else args


def path() -> list[str]:
    return sys.path


def add(a: int, b: int) -> int:
    return a + b


def in_a_thread() -> None:
    thread = threading.Thread(target=add, args=(1, 2))
    thread.start()
    thread.join()


def fail(text: str) -> None:
    try:
        raise KeyError(text)
    except KeyError as error:
        error.add_note("a note")
        raise Oddity(text, [1, 2]) from error


def unsendable() -> object:
    return (number for number in ())


def put(queue: atoll.Queue, value: object) -> None:
    queue.put(value)


def get(queue: atoll.Queue) -> object:
    return queue.get_nowait()


def fill(buffer: object, value: int) -> int:
    view = memoryview(buffer)  # type: ignore[arg-type]
    view[:] = bytes([value]) * len(view)
    return len(view)


def hold(lock: object) -> bool:
    with lock:  # type: ignore[attr-defined]
        return True


def make_and_close() -> int:
    """An interpreter made by one that is not the main one."""
    with atoll.create() as interp:
        return interp.call(add, 1, 1)
