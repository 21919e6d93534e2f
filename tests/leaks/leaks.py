"""Cycles of create, exec, call, put, get and close, and what each leaves in memory.

    python leaks.py heap|references

heap: bytes that malloc has given out (mallinfo2) after so many cycles of
atoll's and after as many of a bare interpreter that loads the same modules of
the standard library, in one process, by turns: CPython itself loses memory
with each interpreter that ends.  PYTHONMALLOC=malloc, so that all is counted.
references: sys.gettotalrefcount() of a debug build, for the main interpreter,
and what of atoll's is alive.

Prints one line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

os.environ["ATOLL_TESTING"] = "1"

import leaks_elsewhere as there

import atoll
from atoll import _core, sync

CYCLES = int(os.environ.get("ATOLL_LEAK_CYCLES", "8"))


def use(interp: atoll.Interpreter) -> None:
    """Of everything a little, ten times: what is lost with each use shows, too."""
    queue, buffer, lock = atoll.create_queue(), atoll.SharedBuffer(1000), sync.Lock()
    for number in range(10):
        interp.exec("x = 1")
        interp.prepare_main(y=[1, 2])
        assert interp.call(there.echo, [1, {"a": "b"}, b"x" * 10_000]) is not None
        assert interp.call(lambda: number) == number

        class Point:
            x = number

        assert type(interp.call(there.echo, Point())) is Point
        interp.call(there.put, queue, (1, "a"))
        assert queue.get() == (1, "a")
        queue.put_many([1, [2]])
        assert len(queue.get_many(2)) == 2
        interp.call(there.echo, (queue, buffer, lock, interp))
        try:
            interp.call(there.fail)
        except atoll.ExecutionFailed as error:
            assert type(error.__cause__) is ValueError
        try:
            interp.options(timeout=0.001).exec("while True: pass")
        except atoll.ExecutionTimeout:
            pass
        with interp.limits(cpu_seconds=100, wall_seconds=100):
            interp.call(there.echo, number)
        with interp.call(there.echo, buffer) as same:
            assert len(same) == 1000
        buffer = atoll.SharedBuffer(1000)


def cycle() -> None:
    with atoll.create(name="a name") as interp:
        use(interp)


def bare(source: str) -> None:
    if sys.version_info >= (3, 13):
        import _interpreters

        number = _interpreters.create("isolated")
        assert _interpreters.exec(number, source) is None
        _interpreters.destroy(number)
    else:
        import _xxsubinterpreters

        number = _xxsubinterpreters.create()
        _xxsubinterpreters.run_string(number, source)
        _xxsubinterpreters.destroy(number)


def heap() -> int:
    """Bytes in use, of all arenas of malloc."""
    import ctypes

    class Info(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

    function = ctypes.CDLL(None).mallinfo2
    function.restype = Info
    for _ in range(3):
        gc.collect()
    info = function()
    return int(info.uordblks + info.hblkhd)


def measure_heap() -> dict[str, Any]:
    with atoll.create() as interp:
        use(interp)
        names = interp.call(there.modules)
    source = "".join(f"try:\n    import {name}\nexcept ImportError:\n    pass\n" for name in names)
    lost = {"atoll": 0, "bare": 0}
    for turn in range(-2, CYCLES):
        for name, function in ("atoll", cycle), ("bare", lambda: bare(source)):
            before = heap()
            function()
            if turn >= 0:
                lost[name] += heap() - before
    return {"cycles": CYCLES, **lost}


def measure_references() -> dict[str, Any]:
    total: Any = sys.gettotalrefcount  # type: ignore[attr-defined]
    counts = []
    _core._fail_allocation(0)
    for _ in range(CYCLES):
        cycle()
        gc.collect()
        _core._sweep()
        counts.append([total(), _core._alive()["allocations"]])
    return {"counts": counts}


if __name__ == "__main__":
    found = {"heap": measure_heap, "references": measure_references}[sys.argv[1]]()
    print(json.dumps(found))
