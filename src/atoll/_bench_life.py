"""`atoll bench`: what an interpreter costs: its creation, its end, its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import atoll

from ._bench import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._bench import Bench


def run(bench: Bench) -> None:
    """Measure the rows."""
    if bench.wants("life.create") or bench.wants("life.close"):
        _create(bench)
    if bench.wants("life.prewarmed"):
        taken = []
        with atoll.prewarm(2) as spares:
            for _ in range(bench.rounds):
                spares.wait()
                start = time.perf_counter()
                interp = atoll.create()
                taken.append(time.perf_counter() - start)
                interp.close()
        bench.add("life.prewarmed", "create() after prewarm()", {"atoll": taken})
    for row, code in (
        ("import", "import atoll"),
        ("import.pool", "from atoll import InterpreterPoolExecutor"),
    ):
        if bench.wants(f"life.{row}"):
            bench.add(f"life.{row}", code, {"atoll": [_seconds_of(code) for _ in range(bench.rounds)]})
    for count in (1, 2, 4, 8, 16):
        if bench.wants(f"life.memory.{count}"):
            samples = {"atoll": [_memory_of("interpreters", count) for _ in range(3)]}
            samples["processes"] = [_memory_of("processes", count) for _ in range(3)]
            bench.add(
                f"life.memory.{count}",
                f"memory of {count} idle interpreters" if count > 1 else "memory of 1 idle interpreter",
                samples,
                unit="bytes",
                series="life.memory",
                x=count,
                x_unit="interpreters",
            )


def _nothing() -> None:
    pass


def _create(bench: Bench) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    makers: dict[str, Callable[[], Any]] = {"atoll": atoll.create}
    std = standard()
    if std is not None:
        makers["stdlib"] = std.create
    made: dict[str, list[float]] = {}
    ended: dict[str, list[float]] = {}
    for _ in range(bench.rounds):
        for name, make in makers.items():
            start = time.perf_counter()
            interp = make()
            made.setdefault(name, []).append(time.perf_counter() - start)
            interp.exec("pass")
            start = time.perf_counter()
            interp.close()
            ended.setdefault(name, []).append(time.perf_counter() - start)
        start = time.perf_counter()
        thread = threading.Thread(target=_nothing)
        thread.start()
        thread.join()
        made.setdefault("threads", []).append(time.perf_counter() - start)
        start = time.perf_counter()
        process = context.Process(target=_nothing)
        process.start()
        process.join()
        made.setdefault("processes", []).append(time.perf_counter() - start)
    bench.add("life.create", "create()", made)
    bench.add("life.close", "close()", ended)


def _seconds_of(code: str) -> float:
    """What a statement takes in a fresh Python."""
    script = f"import time; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
    return float(_child(script))


_MEMORY = """
import os, sys
sys.path[:] = {path!r}
def pages(pid):
    # Of its own, and its part of what is shared with others.
    with open(f"/proc/{{pid}}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
if {kind!r} == "interpreters":
    import atoll
    keep = [atoll.create()]
    keep[0].exec("pass")
    before = pages("self")
    for _ in range({count}):
        keep.append(atoll.create())
        keep[-1].exec("pass")
    print(pages("self") - before)
else:
    import subprocess
    children = [
        subprocess.Popen([sys.executable, "-c", "print(); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range({count} + 1)
    ]
    for child in children:
        child.stdout.readline()
    print(sum(pages(child.pid) for child in children[1:]))
    for child in children:
        child.communicate(b"\\n")
sys.stdout.flush()
os._exit(0)
"""


def _memory_of(kind: str, count: int) -> float:
    """Bytes that so many more of them take (Linux)."""
    if not os.path.exists("/proc/self/smaps_rollup"):
        return float("nan")
    return float(_child(_MEMORY.format(kind=kind, count=count, path=sys.path)))


def _child(script: str) -> str:
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if out.returncode:
        raise RuntimeError(out.stderr)
    return out.stdout
