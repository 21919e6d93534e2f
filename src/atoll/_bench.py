"""`atoll bench`: the same work by atoll and its rivals, side by side, as a table and JSON.

Rivals: the standard library's interpreters, threads and processes, and where
they are installed the packages interpreters-pep-734 and extrainterpreters.

A row is one operation.  Its competitors take turns in one process: in each
round every one of them runs, in a loop of some milliseconds, and who begins
changes.  A value is the median of the rounds, a ratio is the ratio of two
medians.  A row with a series is one point of a plot.

The rows stand in _bench_calls, _bench_queues, _bench_life and _bench_pools.
What the project measures itself against (targets, the bare C API) is in its
bench/ folder.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any, TextIO

#: Modules with a function run(bench), by the first word of their rows' ids.
GROUPS = {
    "call": "_bench_calls",
    "queue": "_bench_queues",
    "life": "_bench_life",
    "stop": "_bench_stop",
    "pool": "_bench_pools",
}

SCHEMA = 1

#: Rivals that are not always there, nor for every Python.
PACKAGES = ("interpreters-pep-734", "extrainterpreters")


class Bench:
    """Measures rows, prints and keeps them."""

    def __init__(self, *, quick: bool = False, only: str = "", out: TextIO | None = None) -> None:
        self.rounds = 3 if quick else 9
        #: Seconds that a loop lasts at least.
        self.least = 0.004 if quick else 0.02
        self.quick = quick
        self.only = only
        self.out = out or sys.stdout
        self.rows: list[dict[str, Any]] = []
        self.rivals = _find_rivals()

    def wants(self, *ids: str) -> bool:
        """Whether one of the rows, or of those whose ids begin so, is asked for; ask before an expensive set-up."""
        return any(self.only in id or self.only.startswith(id) for id in ids)

    def compare(
        self,
        id: str,
        title: str,
        competitors: dict[str, Callable[[], object]],
        *,
        per: float = 1,
        series: str = "",
        x: float | None = None,
        x_unit: str = "",
        rounds: int | None = None,
    ) -> None:
        """A row of seconds; atoll first.  Each call of a competitor is `per` operations."""
        if self.only not in id:
            return
        competitors = {n: f for n, f in competitors.items() if n not in PACKAGES or _works(f)}
        samples: dict[str, list[float]] = {name: [] for name in competitors}
        loops = {name: loops_for(function, self.least) for name, function in competitors.items()}
        names = list(competitors)
        for turn in range(rounds or self.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                samples[name].append(timed(competitors[name], loops[name]) / per)
        self.add(id, title, samples, series=series, x=x, x_unit=x_unit)

    def add(
        self,
        id: str,
        title: str,
        samples: dict[str, list[float]],
        *,
        unit: str = "s",
        series: str = "",
        x: float | None = None,
        x_unit: str = "",
    ) -> None:
        """A row whose samples were taken in some other way; atoll first."""
        values = {name: statistics.median(taken) for name, taken in samples.items()}
        own = next(iter(values.values()))
        # Of a speed-up, more is better.
        ratios = {
            name: (own / value if unit == "x" else value / own)
            for name, value in values.items()
            if name != next(iter(values)) and own and value
        }
        row: dict[str, Any] = {"id": id, "title": title, "unit": unit, "values": values, "ratios": ratios}
        row["spread"] = {name: [min(taken), max(taken)] for name, taken in samples.items()}
        row["rounds"] = max(len(taken) for taken in samples.values())
        if series:
            row |= {"series": series, "x": x, "x_unit": x_unit}
        self.rows.append(row)
        print(line(row), file=self.out, flush=True)


def timed(function: Callable[[], object], loops: int) -> float:
    """Seconds for one call, out of so many, the loop's own cost taken off."""
    counter = range(loops)
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter_ns()
        for _ in counter:
            pass
        empty = time.perf_counter_ns() - start
        start = time.perf_counter_ns()
        for _ in counter:
            function()
        spent = time.perf_counter_ns() - start
    finally:
        if enabled:
            gc.enable()
    return max(spent - empty, 1) / loops / 1e9


def _works(function: Callable[[], object]) -> bool:
    """Whether a rival from a package can do it at all on this Python."""
    try:
        function()
    except Exception:
        return False
    return True


def loops_for(function: Callable[[], object], least: float) -> int:
    """How many calls take so many seconds at least; the first one is not counted."""
    function()
    loops = 1
    while (spent := timed(function, loops) * loops) < least and loops < 10_000_000:
        loops = max(loops * 2, min(loops * 20, int(loops * least / max(spent, 1e-9)) + 1))
    return loops


# ---------------------------------------------------------------- the rivals


def standard() -> Any:
    """The standard library's concurrent.interpreters, or None."""
    import atoll

    try:
        module = import_module("concurrent.interpreters")
    except ImportError:
        return None
    return None if module.create is atoll.create else module  # the alias on 3.12 and 3.13


def standard_pool() -> Any:
    """The standard library's InterpreterPoolExecutor, or None."""
    from .futures import InterpreterPoolExecutor

    try:
        found: Any = import_module("concurrent.futures.interpreter").InterpreterPoolExecutor
    except (ImportError, AttributeError):
        return None
    return None if found is InterpreterPoolExecutor else found


def backport() -> Any:
    """The module of the package interpreters-pep-734, or None.

    Not beside the standard library's module, which it breaks: it tells CPython
    to raise its own QueueEmpty.
    """
    if standard() is not None:
        return None
    try:
        return import_module("interpreters_backport.interpreters")
    except Exception:
        return None  # not there, or not for this Python


def extra() -> Any:
    """The module of the package extrainterpreters, or None."""
    try:
        return import_module("extrainterpreters")
    except Exception:
        return None


def _find_rivals() -> dict[str, str]:
    import multiprocessing
    from importlib.metadata import version

    python = platform.python_version()
    found = {"threads": f"threading, queue and concurrent.futures of {python}"}
    found["processes"] = f"multiprocessing of {python}, start method {multiprocessing.get_start_method()}"
    if standard() is not None:
        found["stdlib"] = f"concurrent.interpreters of {python}"
    for name, module in zip(PACKAGES, (backport(), extra()), strict=True):
        if module is not None:
            found[name] = version(name)
    return found


# ---------------------------------------------------------------- showing


def machine() -> dict[str, Any]:
    """What a number is worth nothing without."""
    import atoll

    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            for text in file:
                if text.startswith("model name"):
                    processor = text.partition(":")[2].strip()
                    break
    except OSError:
        pass
    return {
        "atoll": atoll.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }


_STEPS = {
    "bytes": [(1e6, "MB"), (1e3, "KB"), (1.0, "B")],
    "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
}


def human(value: float, unit: str) -> str:
    """The value with three digits and a unit that suits it."""
    if unit == "x":
        return f"{value:.2f}x"
    for size, name in _STEPS[unit]:
        if abs(value) >= size:
            break
    return f"{value / size:.3g} {name}"


def line(row: dict[str, Any]) -> str:
    """A row of the table: atoll's value, then each rival's and how many times it is that."""
    first, *rivals = row["values"]
    shown = f"{row['title']:50}{human(row['values'][first], row['unit']):>9}"
    for name in rivals:
        ratio = row["ratios"].get(name)
        times = "" if ratio is None else f" ({ratio:,.0f}x)" if ratio >= 100 else f" ({ratio:.2g}x)"
        shown += f"  {name} {human(row['values'][name], row['unit'])}{times}"
    return shown


def run_bench(args: argparse.Namespace) -> int:
    """The command `atoll bench`; its exit status."""
    out = sys.stderr if args.json == "-" else sys.stdout
    bench = Bench(quick=args.quick, only=args.only, out=out)
    facts = machine()
    print(
        f"atoll {facts['atoll']}, CPython {facts['python']}, {facts['cpus']} CPUs ({facts['processor']}), "
        f"{facts['platform']}",
        file=out,
    )
    print(f"{'':50}{'atoll':>9}  rivals, and how many times atoll's time they take", file=out, flush=True)
    for group, module in GROUPS.items():
        if args.only.startswith(tuple(f"{name}." for name in GROUPS)) and not args.only.startswith(
            f"{group}."
        ):
            continue
        import_module(f"atoll.{module}").run(bench)
    if not bench.rows:
        print(f"atoll bench: no row has {args.only!r} in its id", file=sys.stderr)
        return 2
    if args.json:
        data = {"schema": SCHEMA, "machine": facts, "rivals": bench.rivals, "rows": bench.rows}
        text = json.dumps(data, indent=1)
        if args.json == "-":
            print(text)
        else:
            with open(args.json, "w") as file:
                file.write(text + "\n")
    return 0
