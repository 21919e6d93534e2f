"""Functions that the tests of operations run in other interpreters."""

from __future__ import annotations

import threading
import time
from itertools import chain, repeat
from operator import call
from typing import Any

import atoll
from atoll.sync import Event

left: list[Any] = []


def noop() -> None:
    pass


def fail() -> None:
    raise ValueError("as wanted")


def echo(value: Any) -> Any:
    return value


def burn(seconds: float) -> None:
    """Uses so much CPU time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def burn_for_ever() -> None:
    while True:
        pass


def wait_for(started: Event, release: Event) -> None:
    started.set()
    release.wait(120)


def wait_deep(started: Event, release: Event, depth: int) -> None:
    if depth:
        wait_deep(started, release, depth - 1)
    else:
        wait_for(started, release)


def leave_blocks(count: int) -> None:
    left.append([object() for _ in range(count)])


def start_thread(started: Event, release: Event, name: str, daemon: bool = False) -> None:
    thread = threading.Thread(target=wait_for, args=(started, release), name=name, daemon=daemon)
    thread.start()


def burn_in_thread(seconds: float, started: Event, release: Event) -> None:
    def work() -> None:
        burn(seconds)
        wait_for(started, release)

    threading.Thread(target=work).start()


def keep_gil(started: Event, release: Event) -> None:
    """C code that keeps its interpreter's GIL, from before `started` is set until `release` is."""
    any(map(call, chain((started.set,), repeat(release.is_set))))


def burn_in_threads_and_join() -> None:
    threading.excepthook = lambda args: None  # they are told as well
    threads = [threading.Thread(target=burn_for_ever) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def burn_in_one_thread_after_the_other() -> None:
    """Each lives for less time than passes until they are looked at without threads."""
    threading.excepthook = lambda args: None
    while True:
        thread = threading.Thread(target=burn, args=(0.05,))
        thread.start()
        thread.join()


def burn_in_stubborn_thread() -> None:
    """A thread that catches LimitExceeded twice, in a call that waits for its end."""
    caught: list[BaseException] = []

    def work() -> None:
        while len(caught) < 2:
            try:
                burn_for_ever()
            except atoll.LimitExceeded as error:
                caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    told: BaseException | None = None
    while thread.is_alive():
        try:
            thread.join()
        except atoll.LimitExceeded as error:
            told = error
    assert told is not None
    raise told


def limit_oneself() -> None:
    atoll.get_current().limits()


def call_other(other: atoll.Interpreter, func: Any) -> None:
    other.call(func)


def other_goes_over(other: atoll.Interpreter) -> str:
    try:
        other.call(burn_for_ever)
    except atoll.ExecutionInterrupted as error:
        assert isinstance(error.__cause__, atoll.LimitExceeded)
        return error.__cause__.limit
    raise AssertionError


def catch_limit() -> tuple[str, float]:
    try:
        burn_for_ever()
    except atoll.LimitExceeded as error:
        return error.limit, error.allowed
    raise AssertionError


def catch_exceptions() -> None:
    while True:
        try:
            burn_for_ever()
        except Exception:
            pass


def call_inside(burn_here: float, burn_there: float) -> dict[str, Any]:
    """Calls another interpreter from this one; its stats."""
    with atoll.create() as inner:
        inner.call(noop)
        burn(burn_here)
        inner.call(burn, burn_there)
        return inner.stats()
