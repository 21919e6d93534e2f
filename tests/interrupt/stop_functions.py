"""Functions that the tests of interruption run in other interpreters."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain
from operator import call
from typing import Any

import atoll
from atoll.sync import AtomicInt, Event

#: What a function leaves in its interpreter for the next call to see.
seen: list[str] = []


def noop() -> None:
    pass


def what_was_seen() -> list[str]:
    return seen


def spin(counter: AtomicInt) -> None:
    while True:
        counter.add(1)


def spin_and_clean_up(counter: AtomicInt, cleaned: AtomicInt) -> None:
    try:
        spin(counter)
    finally:
        for _ in range(1000):
            cleaned.add(1)


def catch_and_go_on(counter: AtomicInt, caught: AtomicInt, times: int) -> None:
    while caught.load() < times:
        try:
            spin(counter)
        except BaseException:
            caught.add(1)
    spin(counter)


def catch_and_return(counter: AtomicInt) -> str:
    try:
        spin(counter)
    except BaseException as error:
        return type(error).__name__
    return "not interrupted"


def catch_then_fail(counter: AtomicInt) -> None:
    try:
        spin(counter)
    except atoll.Interrupted:
        pass
    raise ValueError("of its own")


def fail_while_cleaning_up(counter: AtomicInt) -> None:
    try:
        spin(counter)
    finally:
        raise ValueError("in finally")


def except_exception(counter: AtomicInt) -> None:
    while True:
        try:
            spin(counter)
        except Exception:
            pass


def call_other(interp: atoll.Interpreter, func: Callable[..., Any], *args: Any) -> Any:
    return interp.call(func, *args)


def call_other_and_note(interp: atoll.Interpreter, func: Callable[..., Any], *args: Any) -> None:
    try:
        interp.call(func, *args)
    except BaseException as error:
        seen.append(type(error).__name__)
        raise


def call_other_and_go_on(
    interp: atoll.Interpreter, func: Callable[..., Any], counter: AtomicInt, after: AtomicInt
) -> None:
    try:
        interp.call(func, counter)
    except Exception:
        pass
    spin(after)


def call_others(interps: list[atoll.Interpreter], counter: AtomicInt) -> None:
    if len(interps) > 1:
        interps[0].call(call_others, interps[1:], counter)
    else:
        interps[0].call(spin, counter)


def announce_and(started: Event, func: Callable[..., Any], *args: Any) -> Any:
    started.set()
    return func(*args)


def get_item(queue: atoll.Queue) -> Any:
    return queue.get()


def put_item(queue: atoll.Queue, item: Any) -> None:
    queue.put(item)


def iterate(queue: atoll.Queue) -> None:
    for _ in queue:
        pass


def join_queue(queue: atoll.Queue) -> None:
    queue.join()


def get_many(queue: atoll.Queue) -> Any:
    return queue.get_many(10)


def wait_queues(queues: list[atoll.Queue]) -> Any:
    return atoll.wait(queues)


def acquire(lock: Any) -> None:
    lock.acquire()


def wait_for(thing: Any) -> None:
    thing.wait()


def wait_condition(condition: Any) -> None:
    with condition:
        condition.wait()


def sleep_long(seconds: float) -> None:
    time.sleep(seconds)


def spin_beside_threads(counter: AtomicInt, stop: Event) -> None:
    """The interpreter has a thread of its own that runs Python all the time."""

    def other() -> None:
        while not stop.is_set():
            for _ in range(1000):
                pass

    thread = threading.Thread(target=other)
    thread.start()
    try:
        spin(counter)
    finally:
        stop.set()
        thread.join()


def drive(interp: atoll.Interpreter, enough: AtomicInt, made: AtomicInt, interrupted: AtomicInt) -> list[str]:
    """Makes short calls until there are enough; what failed in another way."""
    other = []
    while not enough.load():
        try:
            interp.call(noop)
        except atoll.ExecutionInterrupted:
            interrupted.add(1)
        except BaseException as error:
            other.append(repr(error))
        made.add(1)
    return other


def drive_deadlines(interp: atoll.Interpreter, calls: int, timeout: float) -> tuple[int, int]:
    """Calls under deadlines that pass while, before and after they run."""
    late = other = 0
    view = interp.options(timeout=timeout)
    for number in range(calls):
        try:
            view.call(count_to, number % 100)
        except atoll.ExecutionTimeout:
            late += 1
        try:
            interp.call(count_to, 100)
        except BaseException:
            other += 1
    return late, other


def count_to(number: int) -> int:
    total = 0
    for step in range(number):
        total += step
    return total


def interrupt_it(interp: atoll.Interpreter) -> bool:
    return interp.interrupt()


def interrupt_when_moving(interp: atoll.Interpreter, counter: AtomicInt) -> bool:
    while counter.load() < 1000:
        pass
    return interp.interrupt()


def unshareable_slowly(counter: AtomicInt) -> Any:
    class Slow:
        def __reduce__(self) -> Any:
            spin(counter)

    return Slow()


class Custom(Exception):
    def __init__(self, number: int, text: str) -> None:
        super().__init__(number, text)
        self.number = number
        self.text = text


def drop_in_finalizer(counter: AtomicInt) -> None:
    """Runs a loop whose exceptions are dropped: CPython does not pass on those of __del__."""

    class Dropping:
        def __del__(self) -> None:
            spin(counter)

    Dropping()


def finalize_and_return(counter: AtomicInt) -> str:
    drop_in_finalizer(counter)
    return "went on"


class DroppedWhileBuilt:
    """While it is built, and its builder passes on nothing."""

    def __init__(self, counter: AtomicInt) -> None:
        self.counter = counter

    def __reduce__(self) -> Any:
        return build_and_drop, (self.counter,)


def build_and_drop(counter: AtomicInt) -> str:
    try:
        spin(counter)
    except BaseException:
        pass
    return "built"


def add_to(counter: AtomicInt, _: Any) -> None:
    counter.add(1)


class DroppedWhileSent:
    """While it is taken apart."""

    def __init__(self, counter: AtomicInt) -> None:
        self.counter = counter

    def __reduce__(self) -> Any:
        return str, (build_and_drop(self.counter),)


def result_that_drops(counter: AtomicInt) -> DroppedWhileSent:
    return DroppedWhileSent(counter)


def import_again(counter: AtomicInt) -> None:
    while True:
        counter.add(1)
        sys.modules.pop("colorsys", None)
        importlib.import_module("colorsys")


def identify_and_drop(counter: AtomicInt) -> None:
    from atoll import _core, _rebuild

    class Known:
        pass

    while True:
        counter.add(1)
        for _ in range(100):
            _rebuild.identify(Known(), _core._unique_id(), True)


def counter_add(counter: AtomicInt) -> None:
    counter.add(1)


def call_with_deadline(
    interp: atoll.Interpreter, timeout: float, func: Callable[..., Any], *args: Any
) -> Any:
    return interp.options(timeout=timeout).call(func, *args)


def wait_for_thread(started: Event, how: str) -> None:
    with atoll.create() as inner:
        thread = inner.call_in_thread(started.set)
        thread.join()
        forever = Event()
        thread = inner.call_in_thread(forever.wait)
        try:
            if how == "join":
                thread.join()
            else:
                getattr(thread.future, how)()
        finally:
            forever.set()


def stuck_in_c(entered: Event, pipe: int, release: AtomicInt) -> None:
    """In os.read() until a byte comes through the pipe."""
    # No Python runs between the call of set() and what follows.
    deque(map(call, [entered.set, partial(os.read, pipe, 1)]), maxlen=0)


def keep_gil(entered: Event, pipe: int, release: AtomicInt) -> None:
    """C code that keeps its interpreter's GIL until release is 1."""
    deque(chain(map(call, [entered.set]), iter(release.load, 1)), maxlen=0)


def sleep_in_event_loop(started: Event, cleaned: AtomicInt) -> None:
    """In an event loop that has nothing to do."""
    import asyncio

    async def main() -> None:
        try:
            asyncio.get_running_loop().call_later(0.05, started.set)
            await asyncio.sleep(3600)
        finally:
            cleaned.add(1)

    asyncio.run(main())
