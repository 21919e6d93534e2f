"""What the cycles run in other interpreters: found there by import."""

from __future__ import annotations

import sys

import atoll


def modules() -> list[str]:
    """What is loaded here and is not atoll's, in the order of loading."""
    return [
        name for name in sys.modules if name.partition(".")[0] not in {"atoll", "leaks_elsewhere", "__main__"}
    ]


def echo(value: object) -> object:
    return value


def put(queue: atoll.Queue, value: object) -> None:
    queue.put(value)


def fail() -> None:
    raise ValueError("x")
