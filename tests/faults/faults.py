"""Fails the n-th allocation of atoll, for n = 1 until an operation needs no more.

    python faults.py GROUP

Each scenario is an operation.  It runs a few times as it is; then again and
again, with the n-th allocation failing (once, and from then on), until none
was reached.  Each time it may succeed, or raise one of the documented
exceptions; what it worked on must be usable afterwards.  All of this is done
twice: after the second time there must not be more in use than after the
first, by a single allocation of atoll's, queue, block, primitive, task or
interpreter.  Prints a line for each operation; a problem is an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import faults_elsewhere as there

import atoll
from atoll import _core, sync

os.environ["ATOLL_TESTING"] = "1"

#: More failures than any scenario has allocations.
MANY = 2000
#: Seconds until something that must happen counts as a hang.
LIMIT = 60.0
DOCUMENTED = (MemoryError, atoll.InterpreterError)

GROUPS: dict[str, list[Callable[[], None]]] = {}


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    group = function.__name__.partition("_")[0]
    GROUPS.setdefault(group, []).append(function)
    return function


#: Allocations of this round that were made before calm().
reached = 0


def calm() -> None:
    """For the rest of this round nothing fails."""
    global reached
    reached += _core._fail_allocation(0)


def settle() -> dict[str, int]:
    """What is in use, once everything that is on its way has arrived."""
    gc.collect()
    _core._check()
    _core._sweep()
    count = len(atoll.list_all())
    return {**_core._alive(), "interpreters": count}


def settled() -> dict[str, int]:
    """settle(), once workers and threads have come to rest."""
    last, same = settle(), 0
    while same < 10 or last["tasks"]:
        time.sleep(0.001)
        now = settle()
        same = same + 1 if now == last else 0
        last = now
    return last


def same(before: dict[str, int]) -> None:
    """No more in use than before; workers and threads get time to end."""
    until = time.monotonic() + 2
    now = settle()
    while any(now[key] > before[key] for key in now) and time.monotonic() < until:
        time.sleep(0.001)
        now = settle()
    assert all(now[key] <= before[key] for key in now), f"in use: {now}, before: {before}"


def survive(
    name: str,
    act: Callable[[], Any],
    *,
    usable: Callable[[], Any] | None = None,
    allowed: tuple[type[BaseException], ...] = DOCUMENTED,
    least: int = 1,
) -> None:
    """Runs act with each of its allocations failing; see the head of this file."""
    global reached
    _core._fail_allocation(0)
    for _ in range(3):
        act()
    if usable is not None:
        usable()
    failures = 0
    for sticky in (False, True):
        for number in range(1, MANY):
            problem = None
            reached = 0
            _core._fail_allocation(number, sticky)
            try:
                act()
            except allowed as error:
                problem = error
            finally:
                calm()
            if problem is not None:
                failures += 1
                is_clear(problem)
            del problem
            try:
                if usable is not None:
                    usable()
            except BaseException as error:
                error.add_note(f"{name}: after the failure of allocation {number}, sticky={sticky}")
                raise
            if reached < number:
                break
        else:
            raise AssertionError(f"{name}: it never succeeded")
    act()
    assert failures >= least, f"{name}: {failures} failures: nothing was tested"
    report(name, failures)


told: set[str] = set()


def report(name: str, failures: int) -> None:
    if name not in told:
        print(f"{name}: {failures} failures", flush=True)
    told.add(name)


def is_clear(error: BaseException) -> None:
    """Somebody who reads it knows that memory is the reason."""
    seen: BaseException | None = error
    texts = []
    while seen is not None:
        if isinstance(seen, MemoryError):
            return
        texts.append(f"{type(seen).__name__}: {seen}")
        seen = seen.__cause__ or seen.__context__
    if not any("memory" in text.lower() or "MemoryError" in text for text in texts):
        raise AssertionError(f"does not tell that memory was missing: {texts}") from error


@contextlib.contextmanager
def interpreter() -> Iterator[atoll.Interpreter]:
    interp = atoll.create()
    try:
        yield interp
    finally:
        interp.close()


def works(interp: atoll.Interpreter) -> Callable[[], None]:
    def check() -> None:
        assert interp.call(there.add, 2, 3) == 5

    return check


# ------------------------------------------------------------- interpreters


@scenario
def create_and_close() -> None:
    def act() -> None:
        atoll.create().close()

    survive("create and close", act)

    def named() -> None:
        with atoll.create(name="some name") as interp:
            assert interp.call(there.add, 1, 2) == 3

    survive("create, call and close", named)


@scenario
def create_dropped() -> None:
    def act() -> None:
        interp = atoll.create()
        interp.exec("pass")
        del interp
        atoll.list_all()

    survive("create and drop", act)


@scenario
def create_watched() -> None:
    added: list[int] = []
    heard: list[int] = []

    def act() -> None:
        interp = atoll.create()
        interp.add_close_callback(lambda closed: heard.append(1))
        added.append(1)
        interp.close()

    survive("add_close_callback", act)
    settle()
    assert len(heard) == len(added), "a callback is lost"


@scenario
def create_elsewhere() -> None:
    with interpreter() as interp:
        survive("create from inside", lambda: interp.call(there.make_and_close), usable=works(interp))


@scenario
def create_setup() -> None:
    """What the creator left for a new interpreter is not lost with the first try to apply it."""
    sys.path.append("/a/place/of/its/own")
    try:
        for number in range(1, MANY):
            interp = atoll.create()
            _core._fail_allocation(number)
            with contextlib.suppress(*DOCUMENTED):
                interp.call(there.add, 1, 2)
            made = _core._fail_allocation(0)
            assert "/a/place/of/its/own" in interp.call(there.path), number
            interp.close()
            if made < number:
                break
    finally:
        sys.path.pop()
    assert number > 1
    report("create and set up", number - 1)


@contextlib.contextmanager
def documented_in_threads() -> Iterator[None]:
    """What reaches threading.excepthook is one of the documented exceptions."""
    said: list[BaseException] = []

    def hook(args: Any) -> None:
        if not isinstance(args.exc_value, DOCUMENTED):
            said.append(args.exc_value)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = threading.__excepthook__
    assert not said


@scenario
def prewarm_spares() -> None:

    def act() -> None:
        with atoll.prewarm(1) as spares:
            spares.wait(LIMIT)
            with atoll.create() as interp:
                assert interp.call(there.add, 1, 2) == 3

    with documented_in_threads():
        survive("prewarm", act)


# ---------------------------------------------------------------- run in one


@scenario
def run_exec() -> None:
    with interpreter() as interp:
        usable = works(interp)
        survive("exec, short", lambda: interp.exec("x = 1"), usable=usable, least=0)
        survive("exec, long", lambda: interp.exec("x = 1\n" * 3000), usable=usable, least=0)
        code = compile("x = 1\n" * 200, "<test>", "exec")
        survive("exec, code", lambda: interp.exec(code), usable=usable, least=0)
        survive("prepare_main", lambda: interp.prepare_main(a=[1] * 300, b="x" * 500), usable=usable)


@scenario
def run_failures() -> None:
    def fails() -> None:
        try:
            interp.call(there.fail, "x" * 300)
        except atoll.ExecutionFailed as error:
            if isinstance(error.__cause__, there.Oddity):
                assert error.__cause__.args == ("x" * 300, [1, 2])
                raise_none(error)
            else:
                assert "MemoryError" in str(error) or "Oddity" in str(error), error
        else:
            raise AssertionError("it did not fail")

    def raise_none(error: BaseException) -> None:
        assert isinstance(error.__cause__, there.Oddity)

    def refused() -> None:
        try:
            interp.call(there.unsendable)
        except atoll.NotShareableError:
            return
        except atoll.ExecutionFailed as error:
            # There was no memory for the exception itself.
            assert "NotShareableError" in str(error) or "MemoryError" in str(error), error
            return
        raise AssertionError("it was sent")

    with interpreter() as interp:
        survive("an exception", fails, usable=works(interp), least=0)
        survive("a result that cannot cross", refused, usable=works(interp), least=0)


@scenario
def run_arguments() -> None:
    with interpreter() as interp:
        usable = works(interp)
        for name, value in VALUES.items():

            def act(value: Any = value) -> None:
                assert interp.call(there.echo, value) == value

            survive(f"call, {name}", act, usable=usable, least=0)

        def many() -> None:
            args, kwargs = interp.call(there.echo, *range(300), **{f"k{i}": i for i in range(300)})
            assert args == tuple(range(300)) and kwargs["k299"] == 299

        survive("call, many arguments", many, usable=usable)


VALUES: dict[str, Any] = {
    "an int": 1,
    "large text": "x" * 200_000,
    "large bytes": b"x" * 200_000,
    "lists": [[i, {"i": i}] for i in range(500)],
    "records": [there.Record(i) for i in range(20)],
    "a large int": 7**5000,
}


@scenario
def supervisor_run() -> None:
    def act() -> None:
        with atoll.Supervisor(max_restarts=0) as supervisor:
            supervisor.add("worker", there.add, (1, 2), restart="on_failure")
            assert supervisor.wait(LIMIT)
        assert supervisor.state == "stopped"

    logging.getLogger("atoll.supervisor").setLevel(logging.CRITICAL)
    with documented_in_threads():
        survive("a supervisor", act)


@scenario
def run_threads() -> None:
    def act() -> None:
        thread = interp.call_in_thread(there.add, 1, 2)
        try:
            future = thread.future
        finally:
            thread.join(LIMIT)
        assert future.result(LIMIT) == 3

    with interpreter() as interp, documented_in_threads():
        survive("call_in_thread", act, usable=works(interp))


@scenario
def run_deadlines() -> None:
    def deadline() -> None:
        assert interp.options(timeout=LIMIT).call(there.add, 1, 2) == 3

    def ends() -> None:
        try:
            interp.options(timeout=0.001).exec("while True: pass")
        except atoll.ExecutionTimeout:
            return
        raise AssertionError("it ended")

    with interpreter() as interp:
        survive("call with a deadline", deadline, usable=works(interp), least=0)
        # A deadline that cannot be set is an error, never a call without one.
        survive("a deadline that passes", ends, usable=works(interp), least=0)


@scenario
def run_limits() -> None:
    def within() -> None:
        with interp.limits(cpu_seconds=LIMIT, wall_seconds=LIMIT):
            assert interp.call(there.add, 1, 2) == 3
            interp.call(there.in_a_thread)

    def over() -> None:
        try:
            interp.limits(cpu_seconds=0.001).exec("while True: pass")
        except atoll.ExecutionInterrupted:
            return  # from LimitExceeded, or what there was memory for
        finally:
            calm()
            interp.limits()
        raise AssertionError("it ended")

    with interpreter() as interp:
        survive("call within limits", within, usable=works(interp))
        survive("call over its limits", over, usable=works(interp))


@scenario
def run_handles() -> None:
    with interpreter() as interp:
        usable = works(interp)

        def act() -> None:
            interp.name = "a name"
            assert atoll.Interpreter(interp.id) == interp
            assert interp in atoll.list_all()
            assert interp.call(there.echo, interp) == interp
            assert not interp.is_running() and not interp.interrupt()

        survive("handles", act, usable=usable)


# ------------------------------------------------------------------- by value


@scenario
def byvalue_functions() -> None:
    with interpreter() as interp:
        usable = works(interp)
        factor = 7

        def known(x: int) -> int:
            return x * factor

        survive("by value, known", lambda: interp.call(known, 6), usable=usable, least=0)

        def fresh() -> None:
            numbers = list(range(50))

            def helper(x: int) -> int:
                return x + len(numbers)

            assert interp.call(lambda x: helper(x) * factor, 6) == 392

        survive("by value, made anew", fresh, usable=usable)

        def returned() -> None:
            def maker(x: int) -> Callable[[], int]:
                def inner() -> int:
                    return x

                return inner

            assert interp.call(maker, 5)() == 5

        survive("by value, returned", returned, usable=usable)


@scenario
def byvalue_classes() -> None:
    with interpreter() as interp:
        usable = works(interp)

        def act() -> None:
            class Base:
                def twice(self) -> int:
                    return 2 * self.x

            class Point(Base):
                __slots__ = ("x",)

                def __init__(self, x: int) -> None:
                    self.x = x

            def move(point: Any) -> Any:
                return type(point)(point.twice() + 1)

            got = interp.call(move, Point(3))
            assert type(got) is Point and got.x == 7

        survive("classes by value", act, usable=usable)

        def raising() -> None:
            class Odd(Exception):
                pass

            def fail() -> None:
                raise Odd("x" * 300)

            try:
                interp.call(fail)
            except atoll.ExecutionFailed as error:
                told = isinstance(error.__cause__, Odd) or "Memory" in str(error) or "Odd" in str(error)
                assert told, error
            else:
                raise AssertionError("it did not fail")

        survive("exceptions by value", raising, usable=usable)


# --------------------------------------------------------------------- queues


@scenario
def queue_life() -> None:
    def act() -> None:
        queue = atoll.create_queue(3)
        queue.put([1, 2])
        assert atoll.Queue(queue.id) is queue
        queue.shutdown()

    survive("create_queue", act)

    def nested() -> None:
        outer, inner = atoll.create_queue(), atoll.create_queue()
        inner.put("x")
        outer.put(inner)
        assert outer.get().get() == "x"

    survive("a queue in a queue", nested)


@scenario
def queue_items() -> None:
    queue = atoll.create_queue()
    for name, value in VALUES.items():

        def act(value: Any = value) -> None:
            before = queue.qsize()
            try:
                queue.put(value)
            except MemoryError:
                assert queue.qsize() == before
                raise
            assert queue.qsize() == before + 1
            assert take(queue) == value

        survive(f"put and get, {name}", act, usable=lambda: drained(queue))


def take(queue: atoll.Queue) -> Any:
    """An item that cannot be rebuilt is not lost: it is put back."""
    before = queue.qsize()
    try:
        return queue.get_nowait()
    except atoll.QueueItemError as error:
        calm()
        error.put_back()
        assert queue.qsize() == before
        raise MemoryError from error
    except MemoryError:
        assert queue.qsize() == before
        raise


def drained(queue: atoll.Queue) -> None:
    """Whatever a failure left in the queue can be had."""
    while queue.qsize():
        queue.get_nowait()


@scenario
def queue_many() -> None:
    queue = atoll.create_queue()
    items = [[i, str(i)] for i in range(70)]

    def act() -> None:
        try:
            assert queue.put_many(items) == len(items)
        except MemoryError:
            assert queue.qsize() == 0
            raise
        try:
            assert queue.get_many(100) == items
        except atoll.QueueItemError as error:
            raise MemoryError from error
        except MemoryError:
            assert queue.qsize() == len(items)
            raise

    survive("put_many and get_many", act, usable=lambda: drained(queue))


@scenario
def queue_between() -> None:
    with interpreter() as interp:
        queue = atoll.create_queue()

        def act() -> None:
            interp.call(there.put, queue, ["x", 1])
            assert interp.call(there.get, queue) == ["x", 1]

        def usable() -> None:
            drained(queue)
            works(interp)()

        survive("put and get elsewhere", act, usable=usable, least=0)

        def make() -> Any:
            return [queue, lambda: queue.qsize()]

        def carried() -> None:
            queue.put(make())
            queue.get()

        survive("an item with attachments", carried, usable=usable)

        ended = atoll.create_queue(unbounditems=atoll.UNBOUND)

        def unbound() -> None:
            with atoll.create() as other:
                other.call(there.put, ended, "x")
            assert ended.get() is atoll.UNBOUND

        survive("an item whose sender is gone", unbound, usable=lambda: drained(ended))


@scenario
def queue_waits() -> None:
    queues = [atoll.create_queue() for _ in range(5)]

    def act() -> None:
        queues[3].put(1)
        try:
            assert atoll.wait(queues, LIMIT) == [queues[3]]
        finally:
            drained(queues[3])
        assert atoll.wait(queues, 0) == []

    survive("wait", act, usable=lambda: drained(queues[3]), least=0)

    def blocked() -> None:
        """One waits to get while another puts."""
        got: list[object] = []

        def consume() -> None:
            try:
                got.append(queues[0].get(timeout=LIMIT))
            except DOCUMENTED as error:
                got.append(error)

        thread = threading.Thread(target=consume)
        thread.start()
        try:
            queues[0].put("x")
        except MemoryError:
            calm()
            queues[0].put("again")
            raise
        finally:
            thread.join(LIMIT)
        assert got and not thread.is_alive()
        if isinstance(got[0], BaseException):
            raise MemoryError from got[0]

    survive("a blocked get", blocked, usable=lambda: drained(queues[0]))


@scenario
def queue_async() -> None:
    queue = atoll.create_queue(1)
    loop = asyncio.new_event_loop()

    async def get() -> object:
        return await queue.aget()

    async def put() -> None:
        await queue.aput(["x"])

    async def both() -> object:
        tasks = [loop.create_task(get()), loop.create_task(put())]  # they begin in this order
        # Where one of them fails the other may wait for what will not come.
        await asyncio.wait(tasks, timeout=LIMIT, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        got, done = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(done, Exception):
            raise done
        if isinstance(got, atoll.QueueItemError):
            raise MemoryError from got
        if isinstance(got, BaseException):
            raise got
        return got

    def act() -> None:
        assert loop.run_until_complete(both()) == ["x"]

    survive("aget and aput", act, usable=lambda: drained(queue))
    loop.close()


# ---------------------------------------------------- shared memory, primitives


@scenario
def shared_buffers() -> None:
    with interpreter() as interp:
        usable = works(interp)

        def act() -> None:
            for size in (100, 1 << 20):
                buffer = atoll.SharedBuffer(size)
                assert interp.call(there.fill, buffer, 7) == size
                assert bytes(memoryview(buffer)[:3]) == b"\7\7\7"
                buffer.release()

        survive("SharedBuffer", act, usable=usable)

        def views() -> None:
            data = bytearray(100)
            with memoryview(data) as view:
                assert interp.call(there.fill, view, 7) == 100
            assert data[99] == 7

        survive("memoryview", views, usable=usable)


@scenario
def sync_primitives() -> None:
    with interpreter() as interp:
        usable = works(interp)
        makers: list[Callable[[], Any]] = [
            sync.Lock,
            sync.RLock,
            lambda: sync.Semaphore(2),
            lambda: sync.BoundedSemaphore(2),
            sync.Condition,
        ]
        for make in makers:

            def act(make: Any = make) -> None:
                lock = make()
                assert interp.call(there.hold, lock)
                with lock:
                    pass

            survive(f"sync, {type(make()).__name__}", act, usable=usable)

        def rest() -> None:
            event, number, barrier = sync.Event(), sync.AtomicInt(3), sync.Barrier(1)
            event.set()
            assert interp.call(there.echo, [event, number, barrier]) is not None
            assert event.wait(LIMIT) and number.add(1) in (3, 4) and barrier.wait(LIMIT) == 0

        survive("sync, the others", rest, usable=usable)

        condition = sync.Condition()

        def waits() -> None:
            with condition:
                assert condition.wait(0) is False
                condition.notify()

        survive("sync, a wait", waits, usable=usable, least=0)


# ----------------------------------------------------------------------- pools


@scenario
def pool_tasks() -> None:
    with atoll.InterpreterPoolExecutor(1) as pool:

        def usable() -> None:
            assert pool.submit(there.add, 2, 3).result(LIMIT) == 5

        def act() -> None:
            assert pool.submit(there.add, 1, 2).result(LIMIT) == 3

        survive("pool, submit", act, usable=usable)

        def large() -> None:
            assert pool.submit(there.echo, VALUES["lists"]).result(LIMIT) == VALUES["lists"]

        survive("pool, submit much", large, usable=usable)

        def fails() -> None:
            error = pool.submit(there.fail, "x").exception(LIMIT)
            if isinstance(error, MemoryError):
                raise error
            # There was no memory for the exception itself.
            as_text = isinstance(error, atoll.ExecutionFailed) and (
                "Oddity" in str(error) or "out of memory" in str(error)
            )
            assert isinstance(error, there.Oddity) or as_text, repr(error)

        survive("pool, an exception", fails, usable=usable)

        def mapped() -> None:
            assert list(pool.map(there.echo, range(40), timeout=LIMIT, chunksize=7)) == list(range(40))

        survive("pool, map", mapped, usable=usable)


@scenario
def pool_life() -> None:
    def act() -> None:
        with atoll.InterpreterPoolExecutor(1) as pool:
            assert pool.submit(there.add, 1, 2).result(LIMIT) == 3

    broken = (*DOCUMENTED, atoll.BrokenInterpreterPool)
    survive("pool, from start to end", act, allowed=broken)


# ------------------------------------------------------------------------ main


def main() -> None:
    import faulthandler  # no other interpreter can import it everywhere

    faulthandler.dump_traceback_later(4 * LIMIT, exit=True)
    for function in GROUPS[sys.argv[1]]:
        function()
        before = settled()
        # A frame that is kept for the next one is there or not, as threads
        # happened to run, and something may be made once, by the second pass.
        # What leaks is more each time.
        for again in range(10):
            function()
            try:
                same(before)
                break
            except AssertionError as error:
                if again == 9:
                    error.add_note(function.__name__)
                    raise
                before = settled()


if __name__ == "__main__":
    main()
