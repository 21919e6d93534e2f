"""Many mixed tasks with failures, cancellations, interruptions and Ctrl-C: none is lost, and memory is flat.

    python tests/pools/pool_soak.py [--tasks N] [--seed N] [--workers N] [--only KIND...]

Three threads, the main one among them, submit at random and check each
outcome against what it must be.  The main thread is sent SIGINT all the time
and, where it waits for a result, lets itself be interrupted.  Exits 1, and
says what was wrong with which task, if an outcome is not as it should be, if
memory grows, or if something is left behind.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed
from typing import Any

import pool_tasks as tasks

import atoll
from atoll import ExecutionInterrupted, ExecutionTimeout, InterpreterPoolExecutor, NotShareableError, sync

#: Seconds for one outcome: a safety net.
LIMIT = 120
#: Futures that one thread has under way.
AHEAD = 300
#: Bytes that memory may grow by, from a fifth of the tasks to the last one.
GROWTH = 8 << 20
#: What CPython itself loses with each interpreter that ends, before 3.14.
LOSS = 3 << 20 if sys.version_info < (3, 14) else 0

Check = Callable[[Any, BaseException | None], bool]


class Wrong(Exception):
    """An outcome is not what it must be."""


class Interruptible:
    """Lets SIGINT raise KeyboardInterrupt in the main thread only inside a `with` of it."""

    def __init__(self) -> None:
        self.inside = False
        self.seen = 0

    def __enter__(self) -> None:
        self.inside = threading.current_thread() is threading.main_thread()

    def __exit__(self, *exc: object) -> None:
        self.inside = False

    def handle(self, *args: object) -> None:
        if self.inside:
            self.inside = False
            self.seen += 1
            raise KeyboardInterrupt


ctrl_c = Interruptible()


def outcome_of(future: Any) -> tuple[Any, BaseException | None]:
    """The outcome, asked for again as often as Ctrl-C comes in between."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            with ctrl_c:
                return future.result(end - time.monotonic()), None
        except KeyboardInterrupt as error:
            if future.done() and future._exception is error:
                return None, error
        except TimeoutError as error:
            if not future.done():
                raise Wrong(f"no outcome within {LIMIT} s: {future}") from None
            return None, error
        except BaseException as error:
            return None, error


def is_value(expected: Any) -> Check:
    return lambda value, error: error is None and value == expected


def is_error(kind: type[BaseException], *args: Any) -> Check:
    return lambda value, error: type(error) is kind and (not args or error.args == args)


def either(*checks: Check) -> Check:
    return lambda value, error: any(check(value, error) for check in checks)


class Submitter:
    """One thread's tasks."""

    def __init__(self, pool: InterpreterPoolExecutor, count: int, seed: int, only: list[str]) -> None:
        self.pool = pool
        self.count = count
        self.random = random.Random(seed)
        self.under_way: deque[tuple[str, Any, Check]] = deque()
        self.seen: Counter[str] = Counter()
        self.called_back = 0
        self.callbacks = 0
        self.trouble: BaseException | None = None
        kinds = [
            (self.square, 600),
            (self.fail, 80),
            (self.leave, 30),
            (self.unsendable_result, 20),
            (self.unsendable_argument, 20),
            (self.data, 80),
            (self.closure, 50),
            (self.cancelled, 60),
            (self.interrupted_at_random, 40),
            (self.spin, 2),
            (self.deadline, 1),
            (self.callback, 10),
            (self.gathered, 4),
            (self.mapped, 8),
        ]
        chosen = [(kind, weight) for kind, weight in kinds if not only or kind.__name__ in only]
        self.kinds = [kind for kind, _ in chosen]
        self.weights = [weight for _, weight in chosen]

    # -- kinds of tasks; each says how many it was

    def add(self, kind: str, future: Any, check: Check) -> int:
        self.under_way.append((kind, future, check))
        return 1

    def square(self, n: int) -> int:
        return self.add("square", self.pool.submit(tasks.square, n), is_value(n * n))

    def fail(self, n: int) -> int:
        return self.add("fail", self.pool.submit(tasks.fail, n), is_error(ValueError, n))

    def leave(self, n: int) -> int:
        return self.add("exit", self.pool.submit(tasks.exit_with, n), is_error(SystemExit, n))

    def unsendable_result(self, n: int) -> int:
        return self.add("unsendable result", self.pool.submit(tasks.unsendable), is_error(NotShareableError))

    def unsendable_argument(self, n: int) -> int:
        future = self.pool.submit(tasks.noop, [sys._getframe()])
        return self.add("unsendable argument", future, is_error(NotShareableError))

    def data(self, n: int) -> int:
        value = {
            "n": n,
            "rows": [(i, str(i)) for i in range(self.random.randrange(60))],
            "raw": b"x" * (n % 999),
        }
        return self.add("data", self.pool.submit(dict, value), is_value(value))

    def closure(self, n: int) -> int:
        return self.add("closure", self.pool.submit(lambda x: x + n, 1), is_value(n + 1))

    def cancelled(self, n: int) -> int:
        future = self.pool.submit(tasks.square, n)
        check = is_error(CancelledError) if future.cancel() else is_value(n * n)
        return self.add("cancelled", future, check)

    def interrupted_at_random(self, n: int) -> int:
        # One that was queued some time ago, if there is one: it may just be running.
        future = self.pool.submit(tasks.square, n)
        future.interrupt()
        return self.add("interrupted", future, either(is_value(n * n), is_error(ExecutionInterrupted)))

    def spin(self, n: int) -> int:
        started = sync.Event()
        future = self.pool.submit(tasks.spin, started)
        while not started.wait(LIMIT):
            raise Wrong(f"a task did not start within {LIMIT} s")
        if not future.interrupt():
            raise Wrong("a task that runs could not be interrupted")
        return self.add("spin", future, is_error(ExecutionInterrupted))

    def deadline(self, n: int) -> int:
        future = self.pool.options(timeout=0.01).submit(tasks.spin)
        return self.add("deadline", future, is_error(ExecutionTimeout))

    def callback(self, n: int) -> int:
        self.callbacks += 1

        def count(future: Any) -> None:
            self.called_back += 1

        future = self.pool.submit(tasks.square, n)
        future.add_done_callback(count)
        return self.add("callback", future, is_value(n * n))

    def gathered(self, n: int) -> int:
        """as_completed() beside all the others."""
        futures = {self.pool.submit(tasks.square, i): i for i in range(10)}
        for future in as_completed(futures, LIMIT):
            self.expect("as_completed", future, is_value(futures[future] ** 2))
        return 10

    def mapped(self, n: int) -> int:
        count = self.random.randrange(1, 300)
        bad = self.random.randrange(3 * count)
        chunksize = self.random.choice([None, None, 1, 7])
        buffersize = self.random.choice([None, 50])
        results = self.pool.map(
            tasks.fail_at,
            range(count),
            [bad] * count,
            timeout=LIMIT,
            chunksize=chunksize,
            buffersize=buffersize,
        )
        got = []
        try:
            for value in results:
                got.append(value)
                if n % 50 == 0 and len(got) == 5:
                    break  # the rest is dropped
            else:
                bad = max(bad, count)
        except ValueError as error:
            if error.args != (bad,) or len(got) != bad:
                raise Wrong(f"map failed at {error}, after {len(got)} of {bad}") from error
        if got != list(range(len(got))) or (n % 50 and len(got) != min(bad, count)):
            raise Wrong(f"map gave {len(got)} results for {count}, {bad}")
        self.seen["map"] += count
        return count

    # -- all of them

    def expect(self, kind: str, future: Any, check: Check) -> None:
        value, error = outcome_of(future)
        if not check(value, error):
            raise Wrong(f"{kind}: {value!r}, {error!r}") from error
        self.seen[kind if error is None else f"{kind}: {type(error).__name__}"] += 1

    def steps(self) -> Iterator[int]:
        """Submits and checks; how many tasks so far."""
        done = 0
        while done < self.count:
            (kind,) = self.random.choices(self.kinds, self.weights)
            done += kind(done)
            while len(self.under_way) > AHEAD:
                self.expect(*self.under_way.popleft())
            yield done
        while self.under_way:
            self.expect(*self.under_way.popleft())

    def run(self) -> None:
        try:
            for _ in self.steps():
                pass
        except BaseException as error:
            self.trouble = error


def rss() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pester(stop: threading.Event, seed: int) -> None:
    """SIGINT for the main thread, at random times."""
    dice = random.Random(seed)
    while not stop.wait(dice.uniform(0.0005, 0.02)):
        os.kill(os.getpid(), signal.SIGINT)


def stick(pool: InterpreterPoolExecutor) -> None:
    """One task that will not stop: its worker is given up, and the task ends later."""
    started, release = sync.Event(), sync.Event()
    future = pool.submit(tasks.stubborn, started, release)
    if not started.wait(LIMIT) or not future.interrupt():
        raise Wrong("the stubborn task does not run")
    value, error = outcome_of(future)
    release.set()
    if type(error) is not ExecutionInterrupted:
        raise Wrong(f"the stubborn task: {value!r}, {error!r}")


def soak(count: int, seed: int, workers: int, only: list[str]) -> None:
    before = {interp.id for interp in atoll.list_all()}
    signal.signal(signal.SIGINT, ctrl_c.handle)
    stop = threading.Event()
    pesterer = threading.Thread(target=pester, args=(stop, seed))
    marks: list[tuple[int, int]] = []
    start = time.monotonic()
    with InterpreterPoolExecutor(workers) as pool:
        submitters = [Submitter(pool, count // 3 + 1, seed + i, only) for i in range(3)]
        threads = [threading.Thread(target=one.run) for one in submitters[1:]]
        for thread in [*threads, pesterer]:
            thread.start()
        every = max(1, submitters[0].count // 5)
        try:
            for done in submitters[0].steps():
                if done >= every * (len(marks) + 1):
                    stick(pool)
                    marks.append((rss(), pool.stats()["restarts"]))
        finally:
            for one in submitters[1:]:
                one.count = one.count if sys.exception() is None else 0
            for thread in threads:
                thread.join()
            stop.set()
            pesterer.join()
        for one in submitters:
            if one.trouble is not None:
                raise one.trouble
        marks.append((rss(), pool.stats()["restarts"]))
        stats = pool.stats()
    seen: Counter[str] = sum((one.seen for one in submitters), Counter())
    print(
        f"{sum(seen.values())} tasks in {time.monotonic() - start:.0f} s, {ctrl_c.seen} times Ctrl-C; {stats}"
    )
    print("  " + ", ".join(f"{number} {kind}" for kind, number in sorted(seen.items())))
    print("  memory, MB: " + ", ".join(f"{size >> 20}" for size, _ in marks))
    for one in submitters:
        if one.called_back != one.callbacks:
            raise Wrong(f"{one.called_back} callbacks of {one.callbacks}")
    if stats["queued"] or stats["running"]:
        raise Wrong(f"something is left: {stats}")
    end = time.monotonic() + LIMIT
    gc.collect()
    while left := {interp.id for interp in atoll.list_all()} - before:
        if time.monotonic() > end:
            raise Wrong(f"interpreters are left: {left}")
        time.sleep(0.01)
        gc.collect()
    growth = marks[-1][0] - marks[0][0] - LOSS * (marks[-1][1] - marks[0][1])
    if growth > GROWTH:
        raise Wrong(f"memory grew by {growth >> 10} KB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="KIND", help="such as square or spin")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    try:
        soak(args.tasks, seed, args.workers, args.only)
    except Wrong as error:
        print(f"WRONG: {error}")
        if error.__cause__ is not None:
            raise
        return 1
    print("nothing was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
