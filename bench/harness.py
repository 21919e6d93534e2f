"""What every benchmark here shares: measuring side by side, a table, JSON.

A row is one operation: atoll's way and its rivals', measured in turns in one
process, so that whatever slows the machine slows them all.  The number is the
median of the rounds; the ratio is the median of the ratios within a round.
README.md states the method.

    from harness import Suite

    suite = Suite("interpreters")
    suite.compare("call(noop)", {"atoll": (call, noop), "stdlib": ...}, wants={"stdlib": 150}, at_most=0.8e-6)
    suite.main()
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from atoll._bench import loops_for, timed

ROOT = Path(__file__).resolve().parent.parent
#: A measurement lasts this long at least, in seconds, before it is divided.
LEAST = 0.02


@dataclass
class Row:
    name: str
    unit: str  # "s" or "bytes"
    #: The median of each competitor, atoll first.
    values: dict[str, float]
    #: For each rival, how many times faster (or smaller) atoll is.
    ratios: dict[str, float] = field(default_factory=dict)
    rounds: int = 1
    #: The targets, and whether they were met; None: nothing to compare with.
    wants: dict[str, float] = field(default_factory=dict)
    at_most: float | None = None
    met: bool | None = None
    note: str = ""


def judge(row: Row) -> None:
    """Sets row.met from what the row wants."""
    verdicts = [row.ratios[rival] >= want for rival, want in row.wants.items() if rival in row.ratios]
    if row.at_most is not None:
        verdicts.append(next(iter(row.values.values())) <= row.at_most)
    row.met = all(verdicts) if verdicts else None


def in_turns(competitors: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each competitor in each round; who begins changes."""
    loops = {name: loops_for(function, LEAST) for name, function in competitors.items()}
    samples: dict[str, list[float]] = {name: [] for name in competitors}
    names = list(competitors)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name].append(timed(competitors[name], loops[name]))
    return samples


class Suite:
    """The rows of one bench_*.py."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.todo: list[tuple[str, Callable[[], Row]]] = []
        self.rows: list[Row] = []
        self.rounds = 15

    def compare(
        self,
        name: str,
        make: Callable[[], dict[str, Callable[[], object]]],
        *,
        wants: dict[str, float] | None = None,
        at_most: float | None = None,
        note: str = "",
        rounds: int | None = None,
    ) -> None:
        """A row of times.  make() sets up and returns name -> function, atoll's first."""

        def measure() -> Row:
            competitors = make()
            taken = in_turns(competitors, rounds or self.rounds)
            values = {rival: statistics.median(samples) for rival, samples in taken.items()}
            first, *rivals = taken
            ratios = {
                rival: statistics.median(b / a for a, b in zip(taken[first], taken[rival], strict=True))
                for rival in rivals
            }
            return Row(name, "s", values, ratios, rounds or self.rounds, wants or {}, at_most, note=note)

        self.todo.append((name, measure))

    def measure(self, name: str, function: Callable[[], Row]) -> None:
        """A row that is measured in a way of its own."""
        self.todo.append((name, function))

    def main(self) -> None:
        parser = argparse.ArgumentParser(description=f"Benchmarks of atoll: {self.name}")
        parser.add_argument("--quick", action="store_true", help="three rounds")
        parser.add_argument("--json", metavar="FILE")
        parser.add_argument("--only", metavar="WORD", default="", help="only the rows with this word")
        args = parser.parse_args()
        if args.quick:
            self.rounds = 3
        print(f"{self.name}, {describe()}", flush=True)
        print(head(), flush=True)
        for name, function in self.todo:
            if args.only in name:
                row = function()
                judge(row)
                self.rows.append(row)
                print(line(row), flush=True)
        missed = [row.name for row in self.rows if row.met is False]
        print(f"{sum(row.met is True for row in self.rows)} targets met, {len(missed)} missed")
        if args.json:
            Path(args.json).write_text(
                json.dumps(
                    {"suite": self.name, "machine": machine(), "rows": [asdict(r) for r in self.rows]},
                    indent=1,
                )
            )
        # Straight out: the benchmark leaves interpreters open on purpose.
        sys.stdout.flush()
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(1 if missed else 0)


# ---------------------------------------------------------------- showing


def machine() -> dict[str, str]:
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cores": str(len(os.sched_getaffinity(0))),
    }


def describe() -> str:
    facts = machine()
    return f"CPython {facts['python']}, {facts['cores']} cores, {facts['system']}"


def human(value: float, unit: str) -> str:
    if unit == "bytes":
        steps = [(1e6, "MB"), (1e3, "KB"), (1, "B")]
    else:
        steps = [(1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")]
    for size, name in steps:
        if abs(value) >= size or name in ("B", "ns"):
            return f"{value / size:.3g} {name}"
    raise AssertionError


def head() -> str:
    return f"{'':46}{'time':>9}{'atoll is':>16}  wanted"


def line(row: Row) -> str:
    """A line for atoll's number, and one for each rival's below it."""
    first, *rivals = row.values
    wants = f"at most {human(row.at_most, row.unit)}" if row.at_most is not None else ""
    verdict = {True: "met", False: "MISSED", None: ""}[row.met]
    lines = [f"{row.name:46}{human(row.values[first], row.unit):>9}{'':16}  {wants:24}{verdict}"]
    for rival in rivals:
        ratio = row.ratios.get(rival)
        times = "" if ratio is None else f"{ratio:,.0f}x faster" if ratio >= 100 else f"{ratio:.3g}x faster"
        want = f"{row.wants[rival]:.3g}x" if rival in row.wants else ""
        lines.append(f"    {rival:42}{human(row.values[rival], row.unit):>9}{times:>16}  {want}")
    if row.note:
        lines.append(f"    {row.note}")
    return "\n".join(text.rstrip() for text in lines)


# ---------------------------------------------------------------- helpers


def c_extension(name: str) -> object:
    """Compiles bench/NAME.c against the running Python, and imports it."""
    import importlib.util

    folder = ROOT / "build" / "bench" / str(sys.implementation.cache_tag)
    folder.mkdir(parents=True, exist_ok=True)
    source = ROOT / "bench" / f"{name}.c"
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        include = sysconfig.get_path("include")
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", "-pthread", f"-I{include}", str(source), "-o", str(target)],
            check=True,
        )
    spec = importlib.util.spec_from_file_location(name, target)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rss() -> int:
    """Bytes of memory that this process has resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def child(code: str) -> float:
    """The number that a fresh Python prints for a piece of code."""
    return child_numbers(code)[-1]


def child_numbers(code: str) -> list[float]:
    """The numbers in the last line that it prints."""
    env = dict(os.environ, PYTHONPATH=str(ROOT / "bench"))
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    if out.returncode:
        raise RuntimeError(out.stderr)
    return [float(word) for word in out.stdout.splitlines()[-1].split()]
