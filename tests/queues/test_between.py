"""Queues between interpreters: hand-off, order, and every way a wait can end."""

from __future__ import annotations

import sys

import elsewhere
import pytest
from helpers import Thread, run_child, wait_for, waiting

import atoll


@pytest.fixture
def other(interp: atoll.Interpreter) -> atoll.Interpreter:
    """Another one, which has done what the first call does."""
    interp.call(elsewhere.drop)
    return interp


class TestHandOff:
    def test_both_ways(self, other: atoll.Interpreter) -> None:
        requests, answers = atoll.create_queue(), atoll.create_queue()
        thread = Thread(other.call, elsewhere.echo, requests, answers)
        for number in range(200):
            requests.put((number, "spam" * number))
            assert answers.get() == (number, "spam" * number)
        requests.shutdown()
        thread.result()

    def test_order(self, other: atoll.Interpreter) -> None:
        for maxsize in (0, 1, 7):
            queue = atoll.create_queue(maxsize)
            thread = Thread(other.call, elsewhere.put_range, queue, 0, 5000)
            assert elsewhere.get_count(queue, 5000) == list(range(5000))
            thread.result()

    def test_a_chain(self) -> None:
        queues = [atoll.create_queue(5) for _ in range(4)]
        interps = [atoll.create() for _ in range(3)]
        threads = [
            Thread(interp.call, elsewhere.pump, queues[i], queues[i + 1]) for i, interp in enumerate(interps)
        ]
        feeder = Thread(elsewhere.put_range, queues[0], 0, 2000)
        assert elsewhere.get_count(queues[3], 2000) == list(range(2000))
        feeder.result()
        for queue, thread in zip(queues, threads, strict=False):
            queue.shutdown()
            assert thread.result() == 2000
        for interp in interps:
            interp.close()

    def test_producers_and_consumers(self) -> None:
        """Every item exactly once, in each producer's order."""
        queue, each = atoll.create_queue(50), 3000
        interps = [atoll.create() for _ in range(6)]
        producers = [
            Thread(interp.call, elsewhere.put_range, queue, i * each, (i + 1) * each)
            for i, interp in enumerate(interps[:3])
        ]
        consumers = [Thread(interp.call, elsewhere.get_all, queue) for interp in interps[3:]]
        for thread in producers:
            thread.result()
        queue.shutdown()
        results = [thread.result() for thread in consumers]
        assert sorted(sum(results, [])) == list(range(3 * each))
        for got in results:
            for i in range(3):
                mine = [item for item in got if item // each == i]
                assert mine == sorted(mine)
        for interp in interps:
            interp.close()

    def test_a_waiter_elsewhere(self, other: atoll.Interpreter) -> None:
        queues = [atoll.create_queue() for _ in range(10)]
        thread = Thread(other.call, elsewhere.wait_and_get, queues, 50)
        for number in range(50):
            queues[number * 7 % 10].put(number)
        assert sorted(thread.result()) == list(range(50))

    def test_from_threads_of_an_interpreter(self, other: atoll.Interpreter) -> None:
        queue = atoll.create_queue()
        other.exec(f"""
            import threading, atoll
            queue = atoll.Queue({queue.id})
            threads = [threading.Thread(target=queue.put, args=(i,)) for i in range(10)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """)
        assert sorted(queue.get_many(20)) == list(range(10))


#: What waits, and on what kind of queue.
WAITS = {
    "get": (elsewhere.get_one, atoll.create_queue),
    "get_many": (elsewhere.get_some, atoll.create_queue),
    "iteration": (elsewhere.get_all, atoll.create_queue),
    "put": (elsewhere.put_one, lambda: full_queue()),
    "put_many": (elsewhere.put_some, lambda: full_queue()),
    "join": (elsewhere.join, lambda: full_queue()),
    "wait": (elsewhere.wait, atoll.create_queue),
}


def full_queue() -> atoll.Queue:
    queue = atoll.create_queue(1)
    queue.put("there")
    return queue


@pytest.mark.parametrize("kind", WAITS)
class TestEveryWaitEnds:
    def test_by_interrupt(self, other: atoll.Interpreter, kind: str) -> None:
        function, make = WAITS[kind]
        queue = make()
        thread = Thread(other.call, function, queue)
        wait_for(queue, **{{"get_many": "get", "iteration": "get", "put_many": "put"}.get(kind, kind): 1})
        assert other.interrupt()
        with pytest.raises(atoll.ExecutionInterrupted):
            thread.result()
        assert not any(waiting(queue).values())
        assert queue.qsize() == (kind in {"put", "put_many", "join"})
        # The next call is not disturbed.
        assert other.call(elsewhere.is_same, queue, queue.id)

    def test_by_a_deadline(self, other: atoll.Interpreter, kind: str) -> None:
        function, make = WAITS[kind]
        queue = make()
        with pytest.raises(atoll.ExecutionTimeout):
            other.options(timeout=0.05).call(function, queue)
        assert not any(waiting(queue).values())

    def test_by_closing(self, kind: str) -> None:
        function, make = WAITS[kind]
        queue, interp = make(), atoll.create()
        thread = Thread(interp.call, function, queue)
        wait_for(queue, **{{"get_many": "get", "iteration": "get", "put_many": "put"}.get(kind, kind): 1})
        interp.close(interrupt=True, timeout=60)
        with pytest.raises(atoll.InterpreterError):
            thread.result()
        assert not any(waiting(queue).values())

    @pytest.mark.parametrize("where", ["main", "inside"])
    def test_by_ctrl_c(self, kind: str, where: str) -> None:
        """In the main interpreter, and with the main thread inside another one."""
        printed = run_child(CTRL_C, kind, where)
        assert printed == "KeyboardInterrupt\n0\ngoes on\n"


CTRL_C = """
import os, signal, sys, threading
sys.path.insert(0, %r)
import atoll, elsewhere
from atoll import _core
kind, where = sys.argv[1:]
queue = atoll.create_queue(1)
if kind in ("put", "put_many", "join"):
    queue.put("there")
functions = {
    "get": elsewhere.get_one, "get_many": elsewhere.get_some, "iteration": elsewhere.get_all,
    "put": elsewhere.put_one, "put_many": elsewhere.put_some, "join": elsewhere.join, "wait": elsewhere.wait,
}

def interrupter():
    while not any(_core._queue_waiting(queue)):
        pass
    os.kill(os.getpid(), signal.SIGINT)

thread = threading.Thread(target=interrupter)
thread.start()
try:
    if where == "main":
        functions[kind](queue)
    else:
        with atoll.create() as interp:
            interp.call(functions[kind], queue)
except KeyboardInterrupt:
    print("KeyboardInterrupt")
thread.join()
print(sum(_core._queue_waiting(queue)))
queue.shutdown(immediate=True)
print("goes on")
""" % str(__file__).rpartition("/")[0]


def test_a_handler_that_returns_goes_on() -> None:
    """The wait keeps its place in line."""
    printed = run_child("""
import os, signal, threading
import atoll
from atoll import _core

handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
queue = atoll.create_queue()
second = []

def actor():
    while _core._queue_waiting(queue)[0] < 1:
        pass
    other = threading.Thread(target=lambda: second.append(queue.get()))
    other.start()
    while _core._queue_waiting(queue)[0] < 2:
        pass
    for count in range(5):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        while len(handled) <= count:
            pass
    while _core._queue_waiting(queue)[0] < 2:
        pass
    queue.put("first")
    queue.put("second")
    other.join()

thread = threading.Thread(target=actor)
thread.start()
print(queue.get())
thread.join()
print(second, len(handled))
""")
    assert printed == "first\n['second'] 5\n"


def test_exit_with_waiters() -> None:
    """Daemon threads and threads of interpreters wait while the process ends."""
    printed = run_child(
        """
import atexit, sys, threading
import atoll
from atoll import _core

queue = atoll.create_queue()
full = atoll.create_queue(1)
full.put(1)
for function in (queue.get, lambda: full.put(2), full.join, lambda: atoll.wait([queue])):
    threading.Thread(target=function, daemon=True).start()
interp = atoll.create()
interp.prepare_main(queue=queue)
threading.Thread(target=interp.exec, args=("queue.get()",), daemon=True).start()
while _core._queue_waiting(queue) != (2, 0, 1, 0) or _core._queue_waiting(full) != (0, 1, 0, 1):
    pass
print("waiting", flush=True)
sys.exit(7)
""",
        status=7,
    )
    assert printed == "waiting\n"


def test_fork() -> None:
    """The child keeps the queues and their items; who waited is gone."""
    printed = run_child("""
import os, sys, threading, warnings
import atoll
from atoll import _core
warnings.simplefilter("ignore")

queue, full = atoll.create_queue(), atoll.create_queue(1)
full.put("item")
threads = [threading.Thread(target=queue.get), threading.Thread(target=full.put, args=("more",)),
           threading.Thread(target=atoll.wait, args=([queue],))]
for thread in threads:
    thread.start()
while _core._queue_waiting(queue) != (1, 0, 1, 0) or _core._queue_waiting(full)[1] != 1:
    pass
pid = os.fork()
if pid == 0:
    assert _core._queue_waiting(queue) == (0, 0, 0, 0)
    assert full.get_many(9) == ["item"], full
    queue.put("child")
    assert queue.get() == "child"
    child = threading.Thread(target=lambda: queue.put("from a thread"))
    child.start()
    assert queue.get() == "from a thread"
    made = atoll.create_queue()
    made.put(made)
    with atoll.create() as interp:
        interp.prepare_main(queue=queue)
        interp.exec("queue.put('from an interpreter')")
    assert queue.get() == "from an interpreter"
    os._exit(5)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 5, status
assert full.get() == "item"
queue.put("parent")
queue.shutdown()
for thread in threads:
    thread.join()
print(full.get())
""")
    assert printed == "more\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_waiting_takes_no_memory() -> None:
    """A million items through a bounded queue: resident memory stays."""
    printed = run_child("""
import threading
import atoll

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

queue = atoll.create_queue(1000)
interp = atoll.create()
interp.prepare_main(queue=queue)
thread = threading.Thread(target=interp.exec, args=("for _ in queue: pass",))
thread.start()
def put(count):
    for _ in range(count // 1000):
        queue.put_many(range(1000))
put(50_000)
before = resident()
put(1_000_000)
grown = resident() - before
queue.shutdown()
thread.join()
interp.close()
print("flat" if grown < 4_000_000 else grown)
""")
    assert printed == "flat\n"
