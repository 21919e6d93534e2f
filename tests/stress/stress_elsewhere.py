"""What the stress runs in other interpreters: found there by import."""

from __future__ import annotations

import atoll


def read(name: str) -> object:
    import __main__

    return getattr(__main__, name, None)


def echo(value: object) -> object:
    return value


def put(queue: atoll.Queue, value: object) -> None:
    queue.put(value)


def get(queue: atoll.Queue) -> object:
    try:
        return queue.get_nowait()
    except atoll.QueueEmpty:
        return None


def call_through(interp: atoll.Interpreter, name: str) -> object:
    return interp.call(read, name)


def move_until_told(number: object) -> None:
    while True:
        number.add(1)  # type: ignore[attr-defined]
