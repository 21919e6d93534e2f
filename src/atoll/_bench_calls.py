"""`atoll bench`: calls, and how their cost grows with what crosses."""

from __future__ import annotations

import pickle
import threading
from functools import partial

import atoll

from ._bench import backport, extra, standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._bench import Bench


def noop(*args: object) -> None:
    pass


def run(bench: Bench) -> None:
    """Measure the rows."""
    if not bench.wants("call.noop", "call.exec", "call.ints", "call.bytes", "call.view"):
        return
    interps: dict[str, Any] = {"atoll": atoll.create()}
    std = standard()
    if std is not None:
        interps["stdlib"] = std.create()
    for interp in interps.values():
        interp.call(len, ())
    others: dict[str, Any] = {}
    old = backport()
    if old is not None:
        others["interpreters-pep-734"] = old.create()
    ei = extra()
    entered = None
    if ei is not None:
        entered = ei.Interpreter()
        entered.__enter__()
    try:
        _simple(bench, interps, others, entered)
        _growing(bench, interps)
    finally:
        for interp in [*interps.values(), *others.values()]:
            interp.close()
        if entered is not None:
            entered.__exit__(None, None, None)


def _simple(bench: Bench, interps: dict[str, Any], others: dict[str, Any], entered: Any) -> None:
    calls: dict[str, Callable[[], object]]
    calls = {name: partial(interp.call, noop) for name, interp in interps.items()}
    calls |= {name: partial(interp.call, noop) for name, interp in others.items()}
    if entered is not None:
        calls["extrainterpreters"] = partial(entered.run, pow, 1, 1)
    bench.compare("call.noop", "call(noop), main thread", calls)
    if bench.wants("call.noop.thread"):
        thread = threading.Thread(
            target=bench.compare,
            args=("call.noop.thread", "call(noop), another thread"),
            kwargs={"competitors": {name: partial(i.call, noop) for name, i in interps.items()}},
        )
        thread.start()
        thread.join()
    runs: dict[str, Callable[[], object]]
    runs = {name: partial(interp.exec, "x=1") for name, interp in (interps | others).items()}
    bench.compare("call.exec", 'exec("x=1"), main thread', runs)


def _growing(bench: Bench, interps: dict[str, Any]) -> None:
    def competitors(value: Any) -> dict[str, Callable[[], object]]:
        return {name: partial(interp.call, len, value) for name, interp in interps.items()}

    for count in (1, 10, 100, 1000, 10_000, 100_000):
        value = list(range(1000, 1000 + count))
        rows = competitors(value)
        rows["pickle there and back"] = lambda value=value: pickle.loads(pickle.dumps(value, 5))  # type: ignore[misc]
        bench.compare(
            f"call.ints.{count}",
            f"call(len, list of {count:,} ints)",
            rows,
            series="call.ints",
            x=count,
            x_unit="ints",
        )
    for size in (10, 1000, 100_000, 1_000_000, 10_000_000):
        data = bytes(size)
        rows = competitors(data)
        rows["a plain copy"] = lambda data=data: bytes(memoryview(data))  # type: ignore[misc]
        bench.compare(
            f"call.bytes.{size}",
            f"call(len, {size:,} bytes)",
            rows,
            series="call.bytes",
            x=size,
            x_unit="bytes",
        )
    for size in (10, 1000, 100_000, 10_000_000):
        view = memoryview(bytearray(size))
        bench.compare(
            f"call.view.{size}",
            f"call(len, memoryview of {size:,} bytes)",
            competitors(view),
            series="call.view",
            x=size,
            x_unit="bytes",
        )
