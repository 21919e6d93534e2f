"""`atoll bench`: queues, within one interpreter and between two."""

from __future__ import annotations

import queue
import threading
import time
from functools import partial

import atoll

from ._bench import _works, backport, standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._bench import Bench

SMALL_DICT = {"id": 1, "name": "spam", "tags": [1, 2, 3]}


def put_get(queue: Any, value: object) -> None:
    queue.put(value)
    queue.get()


def run(bench: Bench) -> None:
    """Measure the rows."""
    modules: dict[str, Any] = {"atoll": atoll}
    std, old = standard(), backport()
    if std is not None:
        modules["stdlib"] = std
    if old is not None and _works(old.create_queue):
        modules["interpreters-pep-734"] = old
    for name, value in (("int", 7), ("dict", SMALL_DICT)):
        if bench.wants(f"queue.putget.{name}"):
            queues = {kind: module.create_queue() for kind, module in modules.items()}
            queues["threads"] = queue.SimpleQueue()
            competitors: dict[str, Callable[[], object]]
            competitors = {kind: partial(put_get, one, value) for kind, one in queues.items()}
            title = f"put+get in one interpreter, small {name}"
            bench.compare(f"queue.putget.{name}", title, competitors)
    if bench.wants("queue.many"):
        several = atoll.create_queue()
        items = list(range(1000))

        def at_once() -> None:
            several.put_many(items)
            several.get_many(1000)

        def one_by_one() -> None:
            for item in items:
                several.put(item)
            for _ in items:
                several.get()

        rows: dict[str, Callable[[], object]] = {"atoll": at_once, "put, get": one_by_one}
        bench.compare("queue.many", "put_many, get_many, per int", rows, per=1000)
    if bench.wants("queue.pingpong"):
        _ping_pong(bench, modules, 8, "queue.pingpong", "there and back between two interpreters")
    for size in (10, 1000, 10_000, 100_000, 1_000_000):
        if bench.wants(f"queue.size.{size}"):
            _ping_pong(
                bench,
                {"atoll": atoll},
                size,
                f"queue.size.{size}",
                f"{size:,} bytes there and back",
                series="queue.size",
            )


def _answer(one: Any, two: Any, rounds: int) -> None:
    """The other side of the table."""
    for _ in range(rounds):
        two.put(one.get())


def _between_interpreters(module: Any, kind: str, data: bytes, rounds: int) -> float:
    one, two = module.create_queue(), module.create_queue()
    with_queues = f"one, two = find({one.id}), find({two.id})\n"
    find = {
        "atoll": "from atoll import Queue as find\n",
        "stdlib": "from concurrent.interpreters import Queue as find\n",
        "interpreters-pep-734": "from interpreters_backport.interpreters import Queue as find\n",
    }[kind]
    interp = module.create()
    code = f"for _ in range({rounds}):\n    two.put(one.get())\n"
    interp.exec(find + with_queues)
    thread = threading.Thread(target=interp.exec, args=(code,))
    thread.start()
    spent = _serve(one, two, data, rounds)
    thread.join()
    interp.close()
    return spent


def _serve(one: Any, two: Any, data: bytes, rounds: int) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        one.put(data)
        two.get()
    return (time.perf_counter() - start) / rounds


def _between_threads(data: bytes, rounds: int) -> float:
    one: Any = queue.SimpleQueue()
    two: Any = queue.SimpleQueue()
    thread = threading.Thread(target=_answer, args=(one, two, rounds))
    thread.start()
    spent = _serve(one, two, data, rounds)
    thread.join()
    return spent


def _echo(pipe: Any, rounds: int) -> None:
    for _ in range(rounds):
        pipe.send_bytes(pipe.recv_bytes())


def _between_processes(data: bytes, rounds: int) -> float:
    """Bytes through a pipe: the quickest that multiprocessing has."""
    import multiprocessing

    ours, theirs = multiprocessing.Pipe()
    # Not by fork: this process has threads.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_echo, args=(theirs, rounds + 1))
    process.start()
    ours.send_bytes(data)
    ours.recv_bytes()
    start = time.perf_counter()
    for _ in range(rounds):
        ours.send_bytes(data)
        ours.recv_bytes()
    spent = (time.perf_counter() - start) / rounds
    process.join()
    return spent


def _ping_pong(
    bench: Bench, modules: dict[str, Any], size: int, id: str, title: str, series: str = ""
) -> None:
    data = bytes(size)
    samples: dict[str, list[float]] = {}
    loops = 300 if bench.quick else 2000
    for _ in range(bench.rounds):
        for kind, module in modules.items():
            # The others sleep ten milliseconds between looks.
            count = loops if kind == "atoll" else 20
            samples.setdefault(kind, []).append(_between_interpreters(module, kind, data, count))
        samples.setdefault("threads", []).append(_between_threads(data, loops))
        if not bench.quick or not series:
            samples.setdefault("processes", []).append(_between_processes(data, loops))
    extra = {"series": series, "x": float(size), "x_unit": "bytes"} if series else {}
    bench.add(id, title, samples, **extra)  # type: ignore[arg-type]
