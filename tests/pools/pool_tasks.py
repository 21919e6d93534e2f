"""Functions that workers import."""

from __future__ import annotations

import sys
import time
from collections import deque
from itertools import chain
from typing import Any

initialized: list[Any] = []


def square(n: int) -> int:
    return n * n


def add(a: int, b: int) -> int:
    return a + b


def noop(*args: object) -> None:
    pass


def fail(n: object) -> None:
    raise ValueError(n)


def fail_at(n: int, bad: int) -> int:
    if n == bad:
        raise ValueError(n)
    return n


def where() -> int:
    import atoll

    return atoll.get_current().id


def initialize(*args: Any) -> None:
    initialized.append(args)


def get_initialized() -> list[Any]:
    return initialized


def fail_to_initialize() -> None:
    raise LookupError("no such thing")


def unsendable(*args: object) -> Any:
    return sys.stdout.__class__.__mro__ and sys._getframe()


def unsendable_at(n: int, bad: int) -> Any:
    return sys._getframe() if n == bad else n


def spin(started: Any = None, counter: Any = None) -> None:
    """Never returns; counts meanwhile."""
    if started is not None:
        started.set()
    while True:
        if counter is not None:
            counter.add(1)


def wait_for(event: Any, started: Any = None) -> str:
    if started is not None:
        started.set()
    event.wait()
    return "done"


def stubborn(started: Any, release: Any) -> str:
    """Cannot be interrupted, from the moment it says that it has started until it is released.

    From there on no bytecode runs, and only that would look: all is one loop
    in C, which first sets the one event, then asks for the other.
    """
    announce = map(type(started).set, [started])
    deque(chain(announce, iter(release.is_set, True)), 0)
    return "released"


def sleep(seconds: float, started: Any = None) -> None:
    if started is not None:
        started.set()
    time.sleep(seconds)


def exit_with(code: object) -> None:
    sys.exit(code)


def recurse(n: int = 0) -> int:
    return recurse(n + 1) + 1


def leave_thread(event: Any) -> None:
    import threading

    threading.Thread(target=event.wait).start()


def close_stdout() -> None:
    sys.stdout.close()
    print("still there")


def mixed(n: int) -> int:
    """Fails for every seventh number, takes long for some."""
    if n % 7 == 3:
        raise KeyError(n)
    if n % 101 == 0:
        time.sleep(0.001)
    return -n


class Unsendable(Exception):
    """An exception that cannot cross."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.frame = sys._getframe()

    def __reduce__(self) -> Any:
        raise TypeError("this one stays where it is")


def fail_unsendably() -> None:
    raise Unsendable("it failed")


def fail_with_chain() -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        outer = ValueError("outer")
        outer.add_note("a note")
        raise outer from error


def stop_here() -> None:
    """Interrupts the very task that runs it, through the waits of Python."""
    raise KeyboardInterrupt


def make_loud(value: int) -> Any:
    """An object that raises SIGINT as it is rebuilt: see test_pool_luck.py."""
    from test_pool_luck import Loud

    loud = Loud()
    loud.value = value  # type: ignore[attr-defined]
    return loud
