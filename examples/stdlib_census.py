"""Parses every file of the standard library four ways, and compares them.

    python examples/stdlib_census.py [--jobs N] [--limit N] [--json FILE]

Counts functions, classes, lines and the longest function of each .py file of
the running Python's standard library: in N interpreters, in N processes, in N
threads and in one thread.  The results must agree; the table tells seconds,
speed-up and peak memory.

This is a script, and it has no `if __name__ == "__main__"`.  The function that
works, the dataclass that it returns and the exception that it raises are
defined right here, and go to the interpreters by value: the script never runs
a second time.  Processes cannot do that: their way is in census_processes.py.

Each way runs in a process of its own (`--way`), so that its memory can be
told apart, and reports a line for each file that is done.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

# What the library's test data has to warn of is not asked for.
warnings.simplefilter("ignore")

# ---- the work


@dataclass
class Census:
    """What a file, or many, hold."""

    files: int = 0
    skipped: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    longest: tuple[int, str] = (0, "")

    def add(self, other: "Census") -> None:
        self.files += other.files
        self.skipped += other.skipped
        self.lines += other.lines
        self.functions += other.functions
        self.classes += other.classes
        self.longest = max(self.longest, other.longest)


class Unparsable(Exception):
    """A file that is no Python of this version, as some test data is not."""


def census_of(path: str) -> Census:
    with open(path, "rb") as file:
        source = file.read()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise Unparsable(path) from error
    census = Census(files=1, lines=source.count(b"\n"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            census.functions += 1
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            census.longest = max(census.longest, (length, f"{os.path.basename(path)}:{node.name}"))
        elif isinstance(node, ast.ClassDef):
            census.classes += 1
    return census


def files_of_the_library(limit):
    library = Path(sysconfig.get_path("stdlib"))
    paths = sorted(
        str(p) for p in library.rglob("*.py") if not {"site-packages", "dist-packages"} & set(p.parts)
    )
    return paths[:limit]


# ---- the ways


def in_threads(paths, jobs, tick, census_in=None):
    """Shares the files among N threads; census_in(k) is how thread k counts one."""
    total, todo, lock, errors = Census(), iter(paths), threading.Lock(), []

    def work(count):
        while not errors:
            with lock:
                path = next(todo, None)
            if path is None:
                return
            try:
                census = count(path)
            except Unparsable:
                census = Census(skipped=1)
            except BaseException as error:
                errors.append(error)
                return
            with lock:
                total.add(census)
            tick()

    counters = [census_in(k) if census_in else census_of for k in range(jobs)]
    threads = [threading.Thread(target=work, args=(count,)) for count in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return total


def in_interpreters(paths, jobs, tick):
    """The same threads; each calls into an interpreter of its own."""
    import atoll

    interpreters = [atoll.create(name=f"census {k}") for k in range(jobs)]

    def census_in(k):
        def count(path):
            try:
                return interpreters[k].call(census_of, path)
            except atoll.ExecutionFailed as failed:
                # The original exception, of the class defined above.
                if isinstance(failed.__cause__, Unparsable):
                    raise failed.__cause__ from None
                raise

        return count

    total = in_threads(paths, jobs, tick, census_in)
    for interpreter in interpreters:
        interpreter.close()
    return total


def in_one_thread(paths, jobs, tick):
    return in_threads(paths, 1, tick)


WAYS = {
    "one thread": in_one_thread,
    "threads": in_threads,
    "processes": None,  # census_processes.py
    "interpreters": in_interpreters,
}


def run_way(way, paths, jobs):
    """In the child: does the work, one line for each file, then the result."""
    started = time.perf_counter()
    total = way(paths, jobs, lambda: os.write(1, b".\n"))
    seconds = time.perf_counter() - started
    print(json.dumps({"census": vars(total), "seconds": seconds}), flush=True)


# ---- measuring and showing


def memory_of(pid):
    """Bytes of a process and all below it; shared pages count in parts (PSS)."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    family, size = {pid}, -1
    while len(family) != size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    total = 0
    for member in family:
        try:
            with open(f"/proc/{member}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total * 1024


def watch_memory(process, peak, stop):
    while os.path.exists("/proc/self/smaps_rollup") and not stop.wait(0.05):
        peak[0] = max(peak[0], memory_of(process.pid))


def progress_bar(total, title):
    """(advance, finish): rich's or tqdm's where there is a terminal, else plain."""
    if not sys.stderr.isatty():
        return (lambda: None), (lambda: None)
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        pass
    else:
        bar = Progress(console=Console(stderr=True), transient=True)
        task = bar.add_task(title, total=total)
        bar.start()
        return (lambda: bar.advance(task)), bar.stop
    try:
        from tqdm import tqdm
    except ImportError:
        pass
    else:
        meter = tqdm(total=total, desc=title, leave=False, file=sys.stderr)
        return meter.update, meter.close
    done = 0

    def advance():
        nonlocal done
        done += 1
        if done % 16 == 0 or done == total:
            filled = 40 * done // total
            sys.stderr.write(f"\r{title:14} [{'#' * filled}{' ' * (40 - filled)}] {done}/{total}")
            sys.stderr.flush()

    return advance, (lambda: sys.stderr.write("\r" + " " * 79 + "\r"))


def measure(name, total, options):
    """Runs one way in a process of its own: its result, seconds and peak memory."""
    script = Path(__file__).resolve()
    if WAYS[name] is None:
        command = [sys.executable, str(script.with_name("census_processes.py")), *options]
    else:
        command = [sys.executable, str(script), "--way", name, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=watch_memory, args=(process, peak, stop))
    watcher.start()
    advance, finish = progress_bar(total, name)
    report = None
    for line in process.stdout:
        if line == ".\n":
            advance()
        elif line.startswith("{"):
            report = json.loads(line)
        else:
            print(line, end="")
    status = process.wait()
    stop.set()
    watcher.join()
    finish()
    if status or report is None:
        sys.exit(f"{name}: failed with exit status {status}")
    return {"way": name, "memory": peak[0], **report}


def table(rows, jobs):
    alone = rows[0]["seconds"]
    lines = [
        f"{'':16}{'files':>7}{'functions':>11}{'classes':>9}{'lines':>10}{'seconds':>9}{'speed-up':>10}{'memory':>9}"
    ]
    for row in rows:
        census = row["census"]
        name = row["way"] if row["way"] == "one thread" else f"{jobs} {row['way']}"
        memory = f"{row['memory'] / 1e6:6.0f} MB" if row["memory"] else "?"
        lines.append(
            f"{name:16}{census['files']:>7,}{census['functions']:>11,}{census['classes']:>9,}{census['lines']:>10,}"
            f"{row['seconds']:>9.2f}{alone / row['seconds']:>9.2f}x{memory:>9}"
        )
    return "\n".join(lines)


def demo(args, paths):
    options = ["--jobs", str(args.jobs), *(["--limit", str(args.limit)] if args.limit else [])]
    print(
        f"Python {sys.version.split()[0]}: {len(paths):,} files of {sysconfig.get_path('stdlib')}\n",
        flush=True,
    )
    rows = [measure(name, len(paths), options) for name in WAYS]
    print(table(rows, args.jobs))
    census = rows[0]["census"]
    lines, longest = census["longest"]
    print(
        f"\nLongest function: {longest}, {lines:,} lines. Not parsable, left out: {census['skipped']} files."
    )
    agree = all(row["census"] == census for row in rows)
    print("All four agree." if agree else "The results DIFFER.")
    if args.json:
        Path(args.json).write_text(
            json.dumps({"python": sys.version, "jobs": args.jobs, "rows": rows}, indent=1)
        )
    sys.exit(not agree)


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--jobs", type=int, default=max(2, len(os.sched_getaffinity(0))))
parser.add_argument("--limit", type=int, help="only so many files")
parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
arguments = parser.parse_args()
the_paths = files_of_the_library(arguments.limit)
if arguments.way:
    run_way(WAYS[arguments.way], the_paths, arguments.jobs)
else:
    demo(arguments, the_paths)
