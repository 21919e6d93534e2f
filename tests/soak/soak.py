"""Everything at random, for a while: interpreters, threads, queues, pools, faults.

    make soak [SECONDS=600] [SEED=n] [PYTHON=3.13]
    python tests/soak/soak.py [--seconds S] [--seed N] [--threads N]

Threads of the main interpreter take operations at random and do them on
interpreters, queues, locks, buffers and a pool that they share; others close
and interrupt the same interpreters meanwhile, and now and then an allocation
fails, wherever in the process it happens to be.  Operations may end in the
documented exceptions.  At the end every item that was put into a queue must
have come out, once; every future must be settled; every count under a lock
must be right; and nothing may be left in use.

Prints a line of progress every few seconds and a summary; the exit status is
1 if anything was lost or wrong.  A thread that does nothing for two minutes
is a hang: the stacks of all threads are printed, and the status is 1, too.
The seed fixes the operations of each thread, not how the system schedules
them.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import gc
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

os.environ["ATOLL_TESTING"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import soak_elsewhere as there

import atoll
from atoll import _core, sync

#: Seconds without progress of a thread that count as a hang.
HANG = 120.0
#: What an operation may end in, whoever else closes, interrupts and faults.
DOCUMENTED = (MemoryError, atoll.InterpreterError, atoll.QueueError, atoll.OwnerDiedError)
POOL = (*DOCUMENTED, atoll.BrokenInterpreterPool, CancelledError)
#: Types that code inside an interpreter may fail with.
INSIDE = {"MemoryError", "Interrupted", "InterpreterNotFoundError", "InterpreterError", "QueueShutDown"}


class World:
    """What the threads share.  Each container is replaced or changed in one step, under lock."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.end = 0.0  # set when the threads begin
        self.begun = time.monotonic()
        self.lock = threading.Lock()
        self.operations: collections.Counter[str] = collections.Counter()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.faults = 0
        self.problems: list[str] = []
        self.beats: dict[int, float] = {}
        self.interps: list[atoll.Interpreter] = []
        self.made = 0
        # Items are numbers, each put at most once.  What was put and has not
        # come out yet; what came out before its put() returned; what may have
        # been put, or not; and how many were put.
        self.numbers = iter(range(1, 1 << 62))
        self.inside: set[int] = set()
        self.early: set[int] = set()
        self.perhaps: set[int] = set()
        self.put = 0
        self.queues = [atoll.create_queue(size) for size in (0, 0, 3, 50)]
        self.lock_pairs = [(sync.Lock(), sync.AtomicInt()), (sync.RLock(), sync.AtomicInt())]
        self.counted = [0, 0]
        self.perhaps_counted = [0, 0]
        self.pool = atoll.InterpreterPoolExecutor(2)

    def running(self) -> bool:
        # However slow the machine is, something is put.
        return not self.problems and (time.monotonic() < self.end or not self.put)

    def may_create(self) -> bool:
        """CPython 3.12 and 3.13 lose 2 to 4 MB with each interpreter that ends."""
        if sys.version_info >= (3, 14):
            return True
        seconds = time.monotonic() - self.begun
        return self.made < 40 + min(seconds, 300) / 2 + seconds / 20

    def was_put(self, numbers: Iterable[int]) -> None:
        with self.lock:
            for number in numbers:
                self.put += 1
                self.perhaps.discard(number)
                if number in self.early:
                    self.early.remove(number)
                else:
                    self.inside.add(number)

    def came_out(self, number: int) -> None:
        with self.lock:
            if number in self.inside:
                self.inside.remove(number)
            elif number in self.early:
                self.problems.append(f"item {number} came out twice")
            else:
                self.early.add(number)


# ---------------------------------------------------------------- operations


def pick(world: World, dice: random.Random) -> atoll.Interpreter:
    with world.lock:
        if world.interps:
            return dice.choice(world.interps)
    return create(world, dice)


def create(world: World, dice: random.Random) -> atoll.Interpreter:
    with world.lock:
        if len(world.interps) > 6 or not world.may_create():
            if world.interps:
                return dice.choice(world.interps)
        world.made += 1
    interp = atoll.create(name=dice.choice([None, "soak", "a name " * 20]))
    with world.lock:
        world.interps.append(interp)
    return interp


def close(world: World, dice: random.Random) -> None:
    with world.lock:
        if len(world.interps) < 3 or not world.may_create():
            return
        interp = dice.choice(world.interps)
        how = dice.randrange(3)
        if how == 0:
            world.interps.remove(interp)
            return  # the last reference, unless somebody is in it
    try:
        interp.close(interrupt=how == 1, timeout=5.0)
    except atoll.InterpreterNotFoundError:
        pass
    with world.lock:
        if interp in world.interps:
            world.interps.remove(interp)


def value(dice: random.Random) -> Any:
    return dice.choice(
        [
            dice.randrange(1 << 40),
            "text" * dice.randrange(100),
            b"x" * dice.randrange(100_000),
            [[i, {"k": str(i)}] for i in range(dice.randrange(50))],
            (None, 1.5, {1, 2}, frozenset("ab")),
        ]
    )


def call(world: World, dice: random.Random) -> None:
    sent = value(dice)
    assert pick(world, dice).call(there.echo, sent) == sent


def execute(world: World, dice: random.Random) -> None:
    pick(world, dice).exec(f"x = {dice.randrange(300)}\ny = [x] * 10")


def prepare(world: World, dice: random.Random) -> None:
    pick(world, dice).prepare_main(a=value(dice), b=2)


def by_value(world: World, dice: random.Random) -> None:
    factor = dice.randrange(100)

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    def helper(point: Any) -> int:
        return point.x * factor

    got = pick(world, dice).call(lambda p: (type(p), helper(p)), Point(3))
    assert got == (Point, 3 * factor), got


def failure(world: World, dice: random.Random) -> None:
    text = "x" * dice.randrange(500)
    try:
        pick(world, dice).call(there.fail, text)
    except atoll.ExecutionFailed as error:
        cause = error.__cause__
        if type(cause) is there.Oddity:
            assert cause.args == (text,)
            return
        if "Oddity" in str(error):
            return  # there was no memory for the exception itself
        raise
    raise AssertionError("it did not fail")


def deadline(world: World, dice: random.Random) -> None:
    try:
        pick(world, dice).options(timeout=dice.choice([0.001, 0.01])).call(there.for_ever)
    except atoll.ExecutionTimeout:
        return
    raise AssertionError("it ended")


def interrupted(world: World, dice: random.Random) -> None:
    interp = pick(world, dice)
    thread = interp.call_in_thread(*dice.choice([(there.for_ever,), (there.wait_for_ever, IDLE)]))
    future = thread.future
    time.sleep(dice.choice([0, 0.001]))
    until = time.monotonic() + HANG
    while not future.done():
        try:
            # An interruption may lack memory for itself.
            thread.interrupt()
        except MemoryError:
            continue
        thread.join(0.05)
        assert time.monotonic() < until, "it does not stop"
    error = future.exception()
    assert isinstance(error, DOCUMENTED), repr(error)


def thread_call(world: World, dice: random.Random) -> None:
    thread = pick(world, dice).call_in_thread(there.spin, dice.randrange(10_000))
    thread.future.result(HANG)


def inner_thread(world: World, dice: random.Random) -> None:
    assert pick(world, dice).call(there.run_thread) == 1


def nested(world: World, dice: random.Random) -> None:
    assert pick(world, dice).call(there.nested, pick(world, dice), 1) == 2


def interrupt(world: World, dice: random.Random) -> None:
    pick(world, dice).interrupt()


def listing(world: World, dice: random.Random) -> None:
    for interp in atoll.list_all():
        repr(interp)


def new_number(world: World) -> int:
    with world.lock:
        return next(world.numbers)


def put(world: World, dice: random.Random) -> None:
    number = new_number(world)
    try:
        dice.choice(world.queues).put(("item", number), timeout=0.01)
    except (MemoryError, atoll.QueueFull):
        return  # it is not in
    world.was_put([number])


def put_many(world: World, dice: random.Random) -> None:
    numbers = [new_number(world) for _ in range(dice.randrange(20))]
    # All or none: a number of one that failed must not come out.
    assert world.queues[dice.randrange(2)].put_many([("item", n) for n in numbers]) == len(numbers)
    world.was_put(numbers)


def get(world: World, dice: random.Random) -> None:
    try:
        world.came_out(there.take(dice.choice(world.queues))[1])
    except atoll.QueueEmpty:
        pass


def get_many(world: World, dice: random.Random) -> None:
    try:
        items = dice.choice(world.queues).get_many(dice.randrange(1, 60), timeout=0)
    except atoll.QueueEmpty:
        return
    except atoll.QueueItemError as error:
        error.put_back()
        return
    for _, number in items:
        world.came_out(number)


def wait_for(world: World, dice: random.Random) -> None:
    for queue in atoll.wait(world.queues, 0.001):
        queue.qsize()


#: Used by who is never closed nor interrupted: what an interruption hits just
#: after get() is lost, as with Ctrl-C; the soak counts what must not be.
HOUSEKEEPERS: list[atoll.Interpreter] = []
#: Nobody puts anything into it.
IDLE = atoll.create_queue()


def far_put(world: World, dice: random.Random) -> None:
    with world.lock:
        first = next(world.numbers)
        for _ in range(9):
            next(world.numbers)
        numbers = range(first, first + 10)
        world.perhaps.update(numbers)
    # The interpreter may run something else: then none was put.  An outcome
    # that lacks memory says nothing.
    dice.choice(HOUSEKEEPERS).call(there.produce, world.queues[dice.randrange(2)], first, 10)
    world.was_put(numbers)


def far_move(world: World, dice: random.Random) -> None:
    source = dice.choice(world.queues)
    dice.choice(HOUSEKEEPERS).call(there.move, source, world.queues[dice.randrange(2)], 20)


def lock_count(world: World, dice: random.Random) -> None:
    which = dice.randrange(2)
    lock, number = world.lock_pairs[which]
    if dice.randrange(2):
        there.count_under(lock, number, 5)
    else:
        try:
            dice.choice(HOUSEKEEPERS).call(there.count_under, lock, number, 5)
        except atoll.ExecutionFailed:
            with world.lock:
                world.perhaps_counted[which] += 5
            raise
    with world.lock:
        world.counted[which] += 5


def buffers(world: World, dice: random.Random) -> None:
    size = dice.choice([10, 5000, 1 << 19])
    with atoll.SharedBuffer(size) as buffer:
        fills = dice.randrange(256)
        assert pick(world, dice).call(there.fill, buffer, fills) == size
        with memoryview(buffer) as view:
            assert view[0] == view[-1] == fills


def views(world: World, dice: random.Random) -> None:
    data = bytearray(1000)
    with memoryview(data) as view:
        assert pick(world, dice).call(there.fill, view, 3) == 1000
    assert data[0] == data[999] == 3


def primitives(world: World, dice: random.Random) -> None:
    lock = dice.choice([sync.Lock, sync.RLock, sync.Semaphore, sync.Condition])()
    got = pick(world, dice).call(there.echo, lock)
    assert got is lock
    with lock:
        pass


def pool_submit(world: World, dice: random.Random) -> None:
    if world.pool._broken:  # no memory for a worker
        pool_replace(world, dice)
    pool = world.pool
    kind = dice.randrange(5)
    if kind == 0:
        future = pool.submit(there.for_ever)
        time.sleep(dice.choice([0, 0.002]))
        until = time.monotonic() + HANG
        while not future.done():
            with contextlib.suppress(MemoryError):
                if not future.interrupt():
                    future.cancel()
            time.sleep(0.002)
            assert time.monotonic() < until, "a task does not stop"
        return
    if kind == 1:
        results = pool.map(there.echo, range(50), timeout=HANG)
        assert list(results) == list(range(50))
        return
    future = pool.submit(there.fail if kind == 2 else there.echo, "x")
    if kind == 3:
        future.cancel()
    error = future.exception(HANG)
    if error is None:
        assert kind != 2 and future.result() == "x"
    elif not isinstance(error, (*POOL, there.Oddity)):
        raise error


def pool_replace(world: World, dice: random.Random) -> None:
    with world.lock:
        if not world.may_create() and not world.pool._broken:
            return
        world.made += 2
    fresh = atoll.InterpreterPoolExecutor(2)
    with world.lock:
        old, world.pool = world.pool, fresh
    old.shutdown(wait=dice.randrange(2) == 1, cancel_futures=dice.randrange(2) == 1)


def fault(world: World, dice: random.Random) -> None:
    """One of the next allocations of the process fails."""
    number = dice.randrange(1, 60)
    with world.lock:
        made = _core._fail_allocation(number)
        if made >= world_fault[0] > 0:
            world.faults += 1
        world_fault[0] = number


#: The number of the allocation that was to fail since the last call.
world_fault = [0]

#: Operation -> how often it is chosen.
WEIGHTS: dict[Callable[[World, random.Random], Any], float] = {
    call: 20,
    execute: 6,
    prepare: 3,
    by_value: 8,
    failure: 4,
    create: 1,
    close: 1,
    deadline: 2,
    interrupted: 2,
    thread_call: 2,
    inner_thread: 1,
    nested: 4,
    interrupt: 1,
    listing: 1,
    put: 20,
    put_many: 6,
    get: 20,
    get_many: 10,
    wait_for: 2,
    far_put: 4,
    far_move: 8,
    lock_count: 4,
    buffers: 3,
    views: 3,
    primitives: 3,
    pool_submit: 5,
    pool_replace: 0.1,
    fault: 12,
}


# ------------------------------------------------------------------- threads


def is_documented(error: BaseException, name: str) -> bool:
    """Whether an operation may end in it, given what the others do."""
    if name == "pool_submit":
        if isinstance(error, RuntimeError) and "shutdown" in str(error):
            return True  # it was replaced
        if isinstance(error, POOL):
            return True
    if isinstance(error, atoll.ExecutionInterrupted):
        return True
    if isinstance(error, atoll.ExecutionFailed):
        kind = getattr(error.excinfo.type, "__name__", None)
        text = str(error)
        return kind in INSIDE or "MemoryError" in text or "out of memory" in text or "Interrupted" in text
    return isinstance(error, DOCUMENTED)


def drive(world: World, index: int) -> None:
    """One thread's work.  Nothing of atoll's may reach it outside of an operation."""
    try:
        operate(world, index)
    except BaseException:
        world.problems.append(f"a driving thread ended: {traceback.format_exc()}")
    finally:
        world.beats.pop(index, None)


def operate(world: World, index: int) -> None:
    dice = random.Random(f"{world.seed}-{index}")
    functions, weights = list(WEIGHTS), list(WEIGHTS.values())
    while world.running():
        function = dice.choices(functions, weights)[0]
        name = function.__name__
        world.beats[index] = time.monotonic()
        outcome = "ok"
        try:
            function(world, dice)
        except BaseException as error:
            outcome = type(error).__name__
            if not is_documented(error, name):
                text = "".join(traceback.format_exception(error))
                world.problems.append(f"{name}: {text}")
        with world.lock:
            world.operations[name] += 1
            world.outcomes[outcome] += 1


def rss() -> float:
    """MB that are resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(world: World, threads: list[threading.Thread]) -> None:
    """Prints progress; ends the process where a thread hangs."""
    told = 0.0
    seen = 0
    while any(thread.is_alive() for thread in threads):
        now = time.monotonic()
        if all(now - beat < HANG for beat in list(world.beats.values())):
            # Fires in a C thread of its own, whatever hangs.
            faulthandler.dump_traceback_later(HANG, exit=True)
        if now - told > 5:
            told = now
            for text in world.problems[seen:]:
                print(f"WRONG (seed {world.seed}): {text}", file=sys.stderr, flush=True)
            seen = len(world.problems)
            print(
                f"{now - world.begun:6.0f} s  {sum(world.operations.values()):8} operations, "
                f"{world.faults} faults, {world.put} items put, {world.made} interpreters made, "
                f"RSS {rss():.0f} MB",
                flush=True,
            )
        threads[0].join(0.5)
        time.sleep(0.1)


def settle(world: World) -> list[str]:
    """Takes everything down; what was found wrong."""
    _core._fail_allocation(0)
    wrong = []
    world.pool.shutdown()
    for queue in world.queues:
        while queue.qsize():
            world.came_out(there.take(queue)[1])
        del queue
    if world.inside:
        wrong.append(f"items lost: {sorted(world.inside)}")
    ghosts = world.early - world.perhaps
    if ghosts:
        wrong.append(f"items that were not put, or came out twice: {sorted(ghosts)}")
    for which, (_, number) in enumerate(world.lock_pairs):
        least = world.counted[which]
        if not least <= number.load() <= least + world.perhaps_counted[which]:
            wrong.append(f"a count under a lock is {number.load()}, not {least}")
        del _, number
    for interp in [*world.interps, *HOUSEKEEPERS]:
        with contextlib.suppress(atoll.InterpreterNotFoundError):
            interp.close(interrupt=True, timeout=HANG)
    del interp
    world.interps.clear()
    HOUSEKEEPERS.clear()
    world.queues.clear()
    world.lock_pairs.clear()
    gc.collect()
    atoll.list_all()
    until = time.monotonic() + 30
    # One queue is left: IDLE.
    wanted = {"queues": 1, "blocks": 0, "primitives": 0, "tasks": 0}
    while True:
        gc.collect()
        _core._check()
        alive = {name: count for name, count in _core._alive().items() if name in wanted}
        alive["interpreters"] = len(atoll.list_all())
        if alive == {**wanted, "interpreters": 1}:
            break
        if time.monotonic() > until:
            wrong.append(f"still in use: {alive}")
            break
        time.sleep(0.05)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="ATOLL_SOAK_SECONDS and ATOLL_SOAK_SEED say the same as --seconds and --seed.",
    )
    env = os.environ
    parser.add_argument("--seconds", type=float, default=float(env.get("ATOLL_SOAK_SECONDS") or 600))
    parser.add_argument("--seed", type=int, default=int(env.get("ATOLL_SOAK_SEED") or time.time_ns() % 10**9))
    parser.add_argument("--threads", type=int, default=4, help="that choose operations (4)")
    parser.add_argument("--lose", action="store_true", help="lose one item, to see that it is noticed")
    args = parser.parse_args()
    faulthandler.enable()
    threading.excepthook = lambda _: None  # calls in threads are judged by their futures
    version = ".".join(map(str, sys.version_info[:3]))
    print(
        f"soak: seed {args.seed}, {args.seconds:.0f} s, {args.threads} threads, Python {version}", flush=True
    )
    begun = time.monotonic()
    world = World(args.seed)
    HOUSEKEEPERS.extend(atoll.create(name=f"housekeeper {i}") for i in range(2))
    for interp in HOUSEKEEPERS:
        interp.call(there.add, 1, 1)
    at_start = rss()
    world.end = time.monotonic() + args.seconds
    threads = [threading.Thread(target=drive, args=(world, i), daemon=True) for i in range(args.threads)]
    for thread in threads:
        thread.start()
    watch(world, threads)
    if args.lose:
        world.was_put([new_number(world)])
    wrong = [*world.problems, *settle(world)]
    faulthandler.cancel_dump_traceback_later()
    print(", ".join(f"{name} {count}" for name, count in world.operations.most_common()))
    print("outcomes: " + ", ".join(f"{name} {count}" for name, count in world.outcomes.most_common()))
    print(
        f"soak: {sum(world.operations.values())} operations in {time.monotonic() - begun:.0f} s, "
        f"{world.faults} faults survived, {world.put} items put, {len(world.inside)} items lost, "
        f"{world.made} interpreters made, RSS {at_start:.0f} MB at the start, {rss():.0f} MB at the end"
    )
    for text in wrong:
        print(f"WRONG (seed {args.seed}): {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
