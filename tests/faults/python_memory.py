"""Fails the n-th allocation of Python, for n = 1 to 300: in the caller, in the target and in between.

By _testcapi.set_nomemory(), which replaces the process's allocators while
others might use them: so there is one thread here, and nothing but calls
that need no other.  Left out is what ends the process inside CPython when
memory is missing: creating and ending interpreters, and, on 3.13.0, making a
function (PyFunction_NewWithQualName), as tracebacks and what crosses by value
do.

Each operation may succeed, or raise MemoryError or a documented exception
that says so; what it worked on must be usable afterwards.  Prints a line for
each operation.
"""

from __future__ import annotations

import _testcapi
import collections
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["ATOLL_TESTING"] = "1"
import faults
import faults_elsewhere as there

import atoll
from atoll import sync

#: Allocations; no operation here needs more.
MANY = 300
ALLOWED = (MemoryError, atoll.InterpreterError, atoll.QueueError, atoll.NotShareableError)


def operations(interp: atoll.Interpreter, queue: atoll.Queue) -> dict[str, Callable[[], Any]]:
    def puts_and_gets() -> None:
        queue.put([1, "a"])
        queue.get_nowait()

    def many() -> None:
        queue.put_many([1, [2], "c"])
        queue.get_many(3)

    def far() -> None:
        interp.call(there.put, queue, "x")
        interp.call(there.get, queue)

    return {
        "call": lambda: interp.call(there.add, 1, 2),
        "containers": lambda: interp.call(there.echo, [[1, {"a": 2}], "x" * 300, b"y" * 9000]),
        "exec": lambda: interp.exec("x = 1"),
        "prepare_main": lambda: interp.prepare_main(a=[1, 2]),
        "put and get": puts_and_gets,
        "put_many and get_many": many,
        "put and get elsewhere": far,
        "SharedBuffer": lambda: interp.call(there.fill, atoll.SharedBuffer(100), 3),
        "handles": lambda: interp.call(there.echo, [queue, interp]),
        "a lock": lambda: interp.call(there.hold, sync.Lock()),
        "pickled": lambda: interp.call(there.echo, there.Record(1)),
        "list_all": atoll.list_all,
    }


def attempt(operation: Callable[[], object], number: int, outcomes: collections.Counter[str]) -> None:
    """Run it while the number-th allocation from now fails; count what it raises, which must be allowed."""
    problem = None
    _testcapi.set_nomemory(number, number + 1)
    try:
        operation()
    except BaseException as error:
        problem = error
    finally:
        _testcapi.remove_mem_hooks()
    if problem is not None:
        outcomes[type(problem).__name__] += 1
        if not isinstance(problem, ALLOWED):
            raise problem
        faults.is_clear(problem)


def cold(outcomes: collections.Counter[str]) -> None:
    """What has to be loaded in the target first, and is only half loaded when memory is missing."""
    interp = atoll.create()
    interp.call(there.echo, 1)
    for value in (sync.Lock(), atoll.SharedBuffer(10), atoll.create_queue(), memoryview(b"x")):
        for number in range(1, MANY):
            attempt(lambda: interp.call(there.echo, value), number, outcomes)
        interp.call(there.echo, value)
    interp.close()


def drain(queue: atoll.Queue) -> None:
    while queue.qsize():
        try:
            queue.get_nowait()
        except atoll.QueueItemError:
            pass


def main() -> None:
    interp, queue = atoll.create(), atoll.create_queue()
    for name, operation in operations(interp, queue).items():
        for _ in range(3):
            operation()
        outcomes: collections.Counter[str] = collections.Counter()
        for number in range(1, MANY):
            attempt(operation, number, outcomes)
            drain(queue)
            assert interp.call(there.add, 2, 3) == 5, (name, number)
        print(f"{name}: {dict(outcomes)}", flush=True)
    interp.close()
    outcomes = collections.Counter()
    # 3.13.0 crashes within PyType_FromModuleAndSpec: dictresize() takes a key that is NULL.
    if sys.version_info[:3] != (3, 13, 0):
        cold(outcomes)
    print(f"cold: {dict(outcomes)}", flush=True)
    assert len(atoll.list_all()) == 1
    print("all usable", flush=True)


if __name__ == "__main__":
    main()
    sys.exit()
