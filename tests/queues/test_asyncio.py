"""aget, aput, async for: no thread, no lost item, whatever is cancelled or closed."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import elsewhere
import pytest
from helpers import Thread, run_child, wait_for, waiting

import atoll

ELSEWHERE = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import atoll, elsewhere
from helpers import Thread, waiting
"""


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(60):
            return await main

    return asyncio.run(limited())


async def until_waiting(queue: atoll.Queue, **lines: int) -> None:
    while not all(waiting(queue)[line] == count for line, count in lines.items()):
        await asyncio.sleep(0)


class TestGet:
    def test_there_already(self, queue: atoll.Queue) -> None:
        async def main() -> list[object]:
            return [await queue.aget(), await queue.aget()]

        queue.put_many([1, [2]])
        assert run(main()) == [1, [2]]

    def test_waits(self, queue: atoll.Queue) -> None:
        async def main() -> object:
            task = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=1)
            queue.put("item")
            return await task

        assert run(main()) == "item"

    def test_from_another_interpreter(self, queue: atoll.Queue, interp: atoll.Interpreter) -> None:
        async def main() -> list[object]:
            return [await queue.aget() for _ in range(500)]

        thread = Thread(interp.call, elsewhere.put_range, queue, 0, 500)
        assert run(main()) == list(range(500))
        thread.result()

    def test_first_come_first_served(self, queue: atoll.Queue) -> None:
        """Tasks and threads stand in one line."""

        async def main() -> list[object]:
            tasks = []
            threads = []
            for count in range(3):
                tasks.append(asyncio.create_task(queue.aget()))
                await until_waiting(queue, get=2 * count + 1)
                threads.append(Thread(queue.get))
                await until_waiting(queue, get=2 * count + 2)
            queue.put_many(range(6))
            return [*await asyncio.gather(*tasks), *(thread.result() for thread in threads)]

        assert run(main()) == [0, 2, 4, 1, 3, 5]

    def test_many_waits_one_descriptor(self) -> None:
        async def main() -> None:
            queues = [atoll.create_queue() for _ in range(100)]
            first = asyncio.create_task(queues[0].aget())
            await until_waiting(queues[0], get=1)
            before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
            tasks = [asyncio.create_task(queue.aget()) for queue in queues for _ in range(5)]
            await until_waiting(queues[-1], get=5)
            assert len(os.listdir("/proc/self/fd")) == before
            assert threading.active_count() == threads
            queues[0].put("for the first wait")
            assert await first == "for the first wait"
            for queue in queues:
                queue.put_many(range(5))
            assert await asyncio.gather(*tasks) == list(range(5)) * 100

        run(main())

    def test_shut_down(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            tasks = [asyncio.create_task(queue.aget()) for _ in range(3)]
            await until_waiting(queue, get=3)
            queue.put(1)
            queue.shutdown()
            first, *rest = await asyncio.gather(*tasks, return_exceptions=True)
            assert first == 1
            assert [type(error) for error in rest] == [atoll.QueueShutDown] * 2
            with pytest.raises(atoll.QueueShutDown):
                await queue.aget()

        run(main())

    def test_cannot_be_rebuilt(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            task = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=1)
            queue.put(Bad())
            with pytest.raises(atoll.QueueItemError) as caught:
                await task
            caught.value.put_back()
            with pytest.raises(atoll.QueueItemError):
                await queue.aget()
            assert queue.empty()

        run(main())

    def test_unbound(self) -> None:
        queue = atoll.create_queue(unbounditems=atoll.UNBOUND)

        async def main() -> list[object]:
            return [await queue.aget(), await queue.aget()]

        with atoll.create() as interp:
            interp.call(elsewhere.put_range, queue, 0, 2)
        assert run(main()) == [atoll.UNBOUND, atoll.UNBOUND]


def fail() -> None:
    raise ValueError("cannot be rebuilt")


class Bad:
    def __reduce__(self) -> tuple[Any, ...]:
        return fail, ()


class TestPut:
    def test_room(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            assert await queue.aput(1) is None
            await queue.aput(obj=[2])

        run(main())
        assert queue.get_many(9) == [1, [2]]

    def test_waits(self) -> None:
        small = atoll.create_queue(1)

        async def main() -> None:
            await small.aput(1)
            tasks = [asyncio.create_task(small.aput(number)) for number in (2, 3)]
            await until_waiting(small, put=2)
            assert small.get() == 1
            await tasks[0]
            assert not tasks[1].done()
            assert await small.aget() == 2
            await tasks[1]

        run(main())
        assert small.get() == 3

    def test_shut_down(self) -> None:
        small = atoll.create_queue(1)

        async def main() -> None:
            await small.aput(1)
            task = asyncio.create_task(small.aput(2))
            await until_waiting(small, put=1)
            small.shutdown()
            with pytest.raises(atoll.QueueShutDown):
                await task
            with pytest.raises(atoll.QueueShutDown):
                await small.aput(3)

        run(main())
        assert small.get() == 1

    def test_what_cannot_cross(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            with pytest.raises(atoll.NotShareableError, match=r"obj\[0\]"):
                await queue.aput([threading.Lock()])

        run(main())
        assert queue.empty()

    def test_arguments(self, queue: atoll.Queue) -> None:
        for call in (lambda: queue.aput(), lambda: queue.aput(1, 2), lambda: queue.aput(item=1)):
            with pytest.raises(TypeError):
                call()


class TestFor:
    def test_until_shut_down(self, queue: atoll.Queue) -> None:
        async def main() -> list[object]:
            queue.put_many(range(3))
            thread = Thread(finish)
            return [[item async for item in queue], [item async for item in queue], thread.result()]

        def finish() -> None:
            wait_for(queue, get=1)
            queue.put(3)
            wait_for(queue, get=1)
            queue.shutdown()

        assert run(main()) == [[0, 1, 2, 3], [], None]

    def test_leaving_takes_no_further_item(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            async for item in queue:
                if item == 1:
                    break

        queue.put_many(range(4))
        run(main())
        assert queue.get_many(9) == [2, 3]

    def test_many_loops(self, queue: atoll.Queue) -> None:
        async def worker() -> list[object]:
            return [item async for item in queue]

        async def main() -> list[list[object]]:
            workers = [asyncio.create_task(worker()) for _ in range(5)]
            for number in range(200):
                await queue.aput(number)
                if number % 7 == 0:
                    await asyncio.sleep(0)
            queue.shutdown()
            return await asyncio.gather(*workers)

        assert sorted(sum(run(main()), [])) == list(range(200))


class TestCancel:
    def test_a_waiting_get(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            task = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert waiting(queue)["get"] == 0

        run(main())
        queue.put(1)
        assert queue.get() == 1

    def test_a_get_that_has_its_item(self, queue: atoll.Queue) -> None:
        """The item is granted, the task is cancelled before it runs: the item is in front again."""

        async def main() -> None:
            task = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=1)
            queue.put_many(["first", "second"])
            assert queue.qsize() == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(main())
        assert queue.get_many(9) == ["first", "second"]

    def test_a_get_whose_future_is_done(self, queue: atoll.Queue) -> None:
        """One step later: the loop has told the future, and the task is about to run."""

        async def main() -> int:
            cancelled = 0
            for _ in range(50):
                task = asyncio.create_task(queue.aget())
                await until_waiting(queue, get=1)
                queue.put("item")
                for _ in range(cancelled % 4):
                    await asyncio.sleep(0)
                if task.done():
                    assert task.result() == "item"
                    continue
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                cancelled += 1
                assert queue.get_nowait() == "item"
            return cancelled

        assert run(main()) > 0
        assert queue.empty()

    def test_it_goes_to_the_next(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            first = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=1)
            second = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=2)
            queue.put("item")
            first.cancel()
            assert await second == "item"
            with pytest.raises(asyncio.CancelledError):
                await first

        run(main())

    def test_timeout(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            for delay in (0, 0.001):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(delay):
                        await queue.aget()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(queue.aget(), delay)

        run(main())
        assert waiting(queue)["get"] == 0

    def test_nothing_is_lost_whenever_it_happens(self, queue: atoll.Queue, interp: atoll.Interpreter) -> None:
        """Items stream in while getters are cancelled at any moment."""
        count = 2000

        async def main() -> list[object]:
            got: list[object] = []
            turn = 0
            while len(got) < count:
                task = asyncio.create_task(queue.aget())
                for _ in range(turn % 5):
                    await asyncio.sleep(0)
                turn += 1
                task.cancel()
                try:
                    got.append(await task)
                except asyncio.CancelledError:
                    pass
            return got

        thread = Thread(interp.call, elsewhere.put_range, queue, 0, count)
        assert run(main()) == list(range(count))
        thread.result()
        assert queue.empty()

    def test_a_waiting_put(self) -> None:
        small = atoll.create_queue(1)
        small.put(1)

        async def main() -> None:
            task = asyncio.create_task(small.aput(2))
            await until_waiting(small, put=1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(main())
        assert small.get() == 1 and small.empty()
        small.task_done()
        small.join()

    def test_a_put_that_is_in(self) -> None:
        """Room came, the task is cancelled before it runs: nobody has got it, so it comes out again."""
        small = atoll.create_queue(1)
        small.put(1)

        async def main() -> None:
            task = asyncio.create_task(small.aput(2))
            await until_waiting(small, put=1)
            assert small.get() == 1 and small.qsize() == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(main())
        assert small.empty()
        small.task_done()
        small.join()

    def test_a_put_that_was_got(self) -> None:
        small = atoll.create_queue(1)
        small.put(1)

        async def main() -> None:
            task = asyncio.create_task(small.aput(2))
            await until_waiting(small, put=1)
            assert [small.get(), small.get()] == [1, 2]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(main())
        assert small.empty()


class TestLoops:
    def test_one_after_the_other(self, queue: atoll.Queue) -> None:
        async def main() -> object:
            task = asyncio.create_task(queue.aget())
            await until_waiting(queue, get=1)
            queue.put("item")
            return await task

        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            assert run(main()) == "item"
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 1

    def test_several_at_once(self, queue: atoll.Queue) -> None:
        answers = atoll.create_queue()

        async def main() -> int:
            count = 0
            async for number in queue:
                await answers.aput(number)
                count += 1
            return count

        threads = [Thread(asyncio.run, main()) for _ in range(4)]
        for start in range(0, 400, 4):
            queue.put_many(range(start, start + 4))
        got = [answers.get() for _ in range(400)]
        queue.shutdown()
        assert sum(thread.result() for thread in threads) == 400
        assert sorted(got) == list(range(400))

    def test_closed_with_a_wait(self, queue: atoll.Queue) -> None:
        """A loop that is closed leaves the line, even if its tasks are never finished."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(queue.aget())
        while not waiting(queue)["get"]:
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert waiting(queue)["get"] == 0
        queue.put("item")
        assert queue.get_nowait() == "item"
        task.get_coro().close()
        task._log_destroy_pending = False

    def test_closed_with_an_item(self, queue: atoll.Queue) -> None:
        """What it was granted goes to the next in line."""
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(queue.aget()) for _ in range(2)]
        while waiting(queue)["get"] < 2:
            loop.run_until_complete(asyncio.sleep(0))
        thread = Thread(queue.get)
        wait_for(queue, get=3)
        queue.put("item")
        assert thread.is_alive()
        loop.close()
        assert thread.result() == "item"
        for task in tasks:
            task.get_coro().close()
            task._log_destroy_pending = False

    def test_a_coroutine_that_is_dropped(self, queue: atoll.Queue) -> None:
        async def main() -> None:
            coroutine = queue.aget()
            coroutine.close()  # never begun
            begun = queue.aget()
            assert begun.send(None) is not None
            queue.put("item")
            assert queue.empty()
            begun.close()
            assert queue.get() == "item"

        run(main())

    def test_the_loop_is_not_kept(self, queue: atoll.Queue) -> None:
        async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
            queue.put(1)
            await queue.aget()
            return weakref.ref(asyncio.get_running_loop())

        ref = run(main())
        gc.collect()
        assert ref() is None

    def test_a_waiting_task_is_kept(self, queue: atoll.Queue) -> None:
        """By its event loop, if by nobody else."""
        got: list[object] = []

        async def worker() -> None:
            got.append(await queue.aget())

        async def main() -> None:
            ref = weakref.ref(asyncio.create_task(worker()))
            await until_waiting(queue, get=1)
            gc.collect()
            assert ref() is not None
            queue.put("item")
            while not got:
                await asyncio.sleep(0)

        run(main())
        assert got == ["item"]

    def test_needs_a_loop(self, queue: atoll.Queue) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            queue.aget().send(None)

    # In child processes that leave by os._exit(): CPython 3.12.1 aborts at exit
    # after an isolated interpreter has imported asyncio (its ssl, in fact).

    def test_in_another_interpreter(self) -> None:
        printed = run_child(
            ELSEWHERE
            + """
queue, answers = atoll.create_queue(), atoll.create_queue(2)
interp = atoll.create()
thread = Thread(interp.call, elsewhere.run_async, queue, answers)
for number in range(100):
    queue.put(number)
    assert answers.get() == number
queue.shutdown()
print(thread.result(), flush=True)
os._exit(0)
"""
        )
        assert printed == "100\n"

    def test_the_interpreter_ends_with_a_wait(self) -> None:
        printed = run_child(
            ELSEWHERE
            + """
queue, interp = atoll.create_queue(), atoll.create()
interp.call(elsewhere.leave_a_loop_waiting, queue)
assert waiting(queue)["get"] == 1
queue.put("item")
assert queue.empty()
interp.close()
assert waiting(queue)["get"] == 0
print(queue.get_nowait(), flush=True)
os._exit(0)
"""
        )
        assert printed == "item\n"

    def test_both_ends_in_one_loop(self) -> None:
        """An aput and an aget of the same loop hand over without a thread."""
        small = atoll.create_queue(1)

        async def producer() -> None:
            for number in range(300):
                await small.aput(number)
            small.shutdown()

        async def main() -> list[object]:
            task = asyncio.create_task(producer())
            got = [item async for item in small]
            await task
            return got

        assert run(main()) == list(range(300))

    @pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
    def test_descriptors_do_not_pass_to_programs(self) -> None:
        printed = run_child("""
import asyncio, os, subprocess, sys
import atoll

async def main():
    queue = atoll.create_queue()
    task = asyncio.create_task(queue.aget())
    await asyncio.sleep(0)
    child = subprocess.run([sys.executable, "-c",
        "import os; print([os.readlink(f'/proc/self/fd/{f}') for f in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{f}')])"],
        capture_output=True, text=True, close_fds=False)
    print("eventfd" in child.stdout, child.returncode)
    task.cancel()

asyncio.run(main())
""")
        assert printed == "False 0\n"

    def test_fork(self) -> None:
        printed = run_child("""
import asyncio, os, warnings
import atoll
from atoll import _core
warnings.simplefilter("ignore")
queue = atoll.create_queue()

async def ping(text):
    task = asyncio.create_task(queue.aget())
    while not _core._queue_waiting(queue)[0]:
        await asyncio.sleep(0)
    queue.put(text)
    return await task

async def main():
    waits = asyncio.create_task(queue.aget())
    while not _core._queue_waiting(queue)[0]:
        await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        os._exit(child())
    _, status = os.waitpid(pid, 0)
    queue.put("for the parent")
    print(os.waitstatus_to_exitcode(status), await waits)

def child():
    assert _core._queue_waiting(queue)[0] == 0
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(None)
    assert loop.run_until_complete(ping("in the child")) == "in the child"
    return 5

asyncio.run(main())
""")
        assert printed == "5 for the parent\n"


class TestInterrupted:
    """A loop in another interpreter that sleeps in its poll, waiting for an item, ends as other waits do."""

    BEGIN = (
        ELSEWHERE
        + """
import signal, threading
from helpers import wait_for, wait_until
queue, interp = atoll.create_queue(), atoll.create()

# Past the registration of its wait, nothing else lets the thread sleep: it has its GIL for itself.
def wait_for_poll(thread):
    wait_for(queue, get=1)
    if sys.platform == "linux":
        wait_until(lambda: is_asleep(thread.native_id))

def is_asleep(number):
    with open(f"/proc/self/task/{number}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"

def end(got):
    assert not any(waiting(queue).values())
    queue.put("not lost")
    print(got, queue.get_nowait(), flush=True)
    os._exit(0)
"""
    )

    def test_by_interrupt(self) -> None:
        printed = run_child(
            self.BEGIN
            + """
for _ in range(20):
    thread = Thread(interp.call, elsewhere.await_one, queue)
    wait_for_poll(thread)
    assert interp.interrupt()
    try:
        got = thread.result()
    except atoll.ExecutionInterrupted:
        got = "interrupted"
    assert got == "interrupted", got
end(got)
"""
        )
        assert printed == "interrupted not lost\n"

    def test_by_a_deadline(self) -> None:
        printed = run_child(
            self.BEGIN
            + """
# If its time is up in the instant before it sleeps, asyncio logs that; it is told again.
interp.exec("import logging; logging.getLogger('asyncio').disabled = True")
try:
    interp.options(timeout=0.3).call(elsewhere.await_one, queue)
except atoll.ExecutionTimeout:
    end("late")
"""
        )
        assert printed == "late not lost\n"

    def test_by_closing(self) -> None:
        printed = run_child(
            self.BEGIN
            + """
thread = Thread(interp.call, elsewhere.await_one, queue)
wait_for_poll(thread)
interp.close(interrupt=True, timeout=60)
try:
    thread.result()
except atoll.InterpreterError:
    end("closed")
"""
        )
        assert printed == "closed not lost\n"

    @pytest.mark.parametrize("to", ["process", "other thread"])
    @pytest.mark.parametrize("where", ["inside", "main"])
    def test_by_ctrl_c(self, where: str, to: str) -> None:
        """Whichever thread the signal comes to: only in the main one does it end the poll by itself."""
        printed = run_child(
            self.BEGIN
            + """
def press():
    wait_for(queue, get=1)
    if sys.argv[2] == "process":
        os.kill(os.getpid(), signal.SIGINT)
    else:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    if sys.argv[1] == "inside":
        interp.call(elsewhere.await_one, queue)
    else:
        elsewhere.await_one(queue)
except KeyboardInterrupt:
    end("pressed")
""",
            where,
            to,
        )
        assert printed == "pressed not lost\n"
