"""The end of the process, beyond the table of docs/internals/lifecycle.md: each in a child process."""

from __future__ import annotations

import pytest
from children import LONG, run_child

BEGIN = """
import atoll, os, sys, threading
from atoll import sync
def start(text, **names):
    "Runs code in a new interpreter, by a daemon thread, until it sets `started`."
    started = sync.Event()
    interp = atoll.create()
    interp.prepare_main(started=started, **names)
    def run():
        try:
            interp.exec(text)
        except atoll.ExecutionFailed:
            pass
    threading.Thread(target=run, daemon=True).start()
    started.wait()
    return interp
"""

#: Catches every interruption, and uses much of what CPython takes apart at its end.
STUBBORN = """
import collections, re
class A:
    def method(self):
        return [str(n) for n in range(10)], {}, re.sub("a", "b", "abc")
started.set()
while True:
    try:
        while True:
            A().method()
            type("B", (A,), {})().method()
            collections.namedtuple("C", "x y")(1, 2)
    except BaseException:
        pass
"""


def test_python_that_will_not_stop() -> None:
    """It is stopped for good before CPython takes apart what it uses."""
    for _ in range(30 if LONG else 2):
        run_child(f"{BEGIN}\nstart({STUBBORN!r})\nsys.exit(7)").check(status=7)


def test_several_that_will_not_stop() -> None:
    """The grace is for all of them together, threads inside and C code included."""
    run_child(f"""{BEGIN}
read, write = os.pipe()
for _ in range(3):
    start({STUBBORN!r})
    start("import os; started.set(); os.read(fd, 1)", fd=read)
    start("import threading; threading.Thread(target=exec, args=(code, globals())).start()", code={STUBBORN!r})
sys.exit(7)
""").check(status=7)


def test_call_in_thread_is_waited_for() -> None:
    """As for every thread that is no daemon; its prints come out, its errors are told."""
    outcome = run_child(f"""{BEGIN}
ended = sync.Event()
def work(ended):
    import time
    ended.wait()
    time.sleep(0.2)
    print("done")
def fail():
    raise ValueError("told")
atoll.create().call_in_thread(work, ended)
atoll.create().call_in_thread(fail)
print("end of main", flush=True)
ended.set()
sys.exit(7)
""")
    assert (outcome.status, outcome.out) == (7, "end of main\ndone\n"), outcome
    assert outcome.err.count("ValueError: told") >= 1, outcome


def test_a_thread_that_waits_for_another() -> None:
    """Threads of both kinds are waited for, whichever waits for the other."""
    run_child(f"""{BEGIN}
first, second = sync.Event(), sync.Event()
def inside(first, second):
    first.wait()
    second.set()
atoll.create().call_in_thread(inside, first, second)
def outside():
    first.set()
    second.wait()
    print("both", flush=True)
threading.Thread(target=outside).start()
""").check("both\n")


def test_past_its_deadline() -> None:
    """What was told to stop, and is stuck, does not keep the process."""
    run_child(f"""{BEGIN}
from collections import deque
from functools import partial
from operator import call
def work(started, read):
    # No Python runs between the call of set() and what follows.
    deque(map(call, [started.set, partial(os.read, read, 1)]), maxlen=0)
threading.excepthook = lambda args: None  # it may end before its future is asked for
view = atoll.create().options(timeout=0.05)
while True:
    started, (read, write) = sync.Event(), os.pipe()
    thread = view.call_in_thread(work, started, read)
    error = thread.future.exception()
    if started.is_set() and "unresponsive" in str(error):
        break
    os.write(write, b"x")
    thread.join()
print(type(error) is atoll.ExecutionTimeout, thread.is_alive(), thread.daemon, flush=True)
sys.exit(7)
""").check("True True False\n", status=7)


def test_left_by_an_exception() -> None:
    outcome = run_child(f"""{BEGIN}
from collections import deque
from functools import partial
from operator import call
read, write = os.pipe()
def work(started):
    # No Python runs between the call of set() and what follows.
    deque(map(call, [started.set, partial(os.read, read, 1)]), maxlen=0)
started = sync.Event()
with atoll.create() as interp:
    interp.call_in_thread(work, started)
    started.wait()
    raise ValueError("mine")
""")
    assert outcome.status == 1
    assert outcome.err.count("Traceback") == 1, outcome
    assert outcome.err.endswith("ValueError: mine\nInterpreter(1) stays open: interpreter 1 is running\n"), (
        outcome
    )


def test_ctrl_c_while_it_waits() -> None:
    """The second thing that Python says of it is the last: what runs is interrupted, and the process ends."""
    outcome = run_child(f"""{BEGIN}
import atoll._threads, signal, time
def spin(started):
    started.set()
    while True:
        pass
started = sync.Event()
atoll.create().call_in_thread(spin, started)
started.wait()
def kill():
    while atoll._threads._ended is None:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=kill, daemon=True).start()
sys.exit(7)
""")
    assert outcome.status == 7, outcome
    assert "KeyboardInterrupt" in outcome.err, outcome


def test_a_thread_that_closes_meanwhile() -> None:
    """A daemon thread is about to end an interpreter when the process ends."""
    for _ in range(20 if LONG else 4):
        run_child(f"""{BEGIN}
def work():
    try:
        while True:
            interp = atoll.create()
            interp.call(abs, -1)
            going.set()
            interp.close()
    except atoll.InterpreterError:
        pass  # the process was first
going = threading.Event()
threading.Thread(target=work, daemon=True).start()
going.wait()
sys.exit(7)
""").check(status=7)


def test_atexit_functions_of_main() -> None:
    """Those registered after atoll was imported still find every interpreter open."""
    run_child("""
        import atexit
        ask = None
        atexit.register(lambda: print(ask()))
        import atoll
        interp = atoll.create()
        ask = lambda: interp in atoll.list_all()
        atexit.register(lambda: print(interp.call(abs, -1)))
    """).check("1\nFalse\n")


def test_an_atexit_function_that_fails() -> None:
    outcome = run_child(f"""{BEGIN}
interp = atoll.create()
interp.exec("import atexit; atexit.register(lambda: 1 / 0); atexit.register(lambda: print('ran'))")
sys.exit(7)
""")
    assert (outcome.status, outcome.out) == (7, "ran\n"), outcome
    assert "ZeroDivisionError" in outcome.err, outcome


def test_exit_inside() -> None:
    """sys.exit() there ends the call; os._exit() the process."""
    run_child(f"""{BEGIN}
interp = atoll.create()
try:
    interp.exec("import sys; sys.exit(3)")
except atoll.ExecutionFailed as error:
    print(error.excinfo.type.__name__, flush=True)
interp.exec("import os; os._exit(9)")
""").check("SystemExit\n", status=9)


@pytest.mark.parametrize("count", [1, 50])
def test_many_left_open(count: int) -> None:
    run_child(f"import atoll, sys\nkept = [atoll.create() for _ in range({count})]\nsys.exit(7)").check(
        status=7
    )


#: What a worker of a ThreadPoolExecutor inside does at the end, and what is written then.
WORKERS = {
    "nothing": ("executor.submit(abs, -1).result()", "atexit\n"),
    "never anything": ("", "atexit\n"),
    "Python": ("executor.submit(spin)\nstarted.wait()", "finally\natexit\n"),
    "several": ("[executor.submit(spin) for _ in range(9)]\nstarted.wait()", None),
    "queue": ("executor.submit(wait)\nstarted.wait()", "finally\natexit\n"),
    "C": ("executor.submit(read)\nstarted.wait()", ""),
}
EXECUTOR = """
import atexit, os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import call
atexit.register(os.write, 1, b"atexit\\n")
executor = ThreadPoolExecutor(3)
def loop():
    while True:
        pass
def spin():
    try:
        started.set()
        loop()
    finally:
        os.write(1, b"finally\\n")
def wait():
    try:
        started.set()
        queue.get()
    finally:
        os.write(1, b"finally\\n")
def read():
    # No Python runs between the call of set() and what follows.
    deque(map(call, [started.set, partial(os.read, fd, 1)]), maxlen=0)
"""


@pytest.mark.parametrize("ender", ["exit", "close"])
@pytest.mark.parametrize("work", WORKERS)
def test_workers_of_threads_inside(work: str, ender: str) -> None:
    """They end without a word; one that is stuck in C is not waited for."""
    code, told = WORKERS[work]
    refused = ender == "close" and work == "C"
    outcome = run_child(f"""{BEGIN}
read, write = os.pipe()
interp = atoll.create()
interp.prepare_main(started=sync.Event(), queue=atoll.create_queue(), fd=read)
interp.exec({EXECUTOR!r} + {code!r})
try:
    if {ender!r} == "close":
        interp.close(interrupt=True, timeout={0.5 if refused else 60})
except atoll.InterpreterError as error:
    print(error, flush=True)
sys.exit(7)
""")
    refusal = "cannot close interpreter 1: thread 'ThreadPoolExecutor-0_0' still runs in it\n"
    assert (outcome.status, outcome.err) == (7, ""), outcome
    if told is not None:
        assert outcome.out == (refusal if refused else "") + told
    else:
        lines = outcome.out.splitlines()
        assert lines[-1] == "atexit" and set(lines[:-1]) == {"finally"}, outcome


#: Its tasks wait in C before they begin: the worker's own frame is the innermost.
TAKEN = """
import threading
from queue import SimpleQueue
go = threading.Lock()
go.acquire()
class Task(filter):
    run = property(next)
class Queue(SimpleQueue):
    def put(self, task):
        if task is not None:
            steps = map(call, [started.set, go.acquire, partial(getattr, task, "run")])
            future, task = task.future, Task(callable, steps)
            task.future = future
        super().put(task)
executor._work_queue = Queue()
executor.submit(spin)
started.wait()
threading._register_atexit(go.release)
"""


def test_a_worker_that_has_just_taken_something() -> None:
    """It begins it no more."""
    run_child(f"""{BEGIN}
interp = atoll.create()
interp.prepare_main(started=sync.Event())
interp.exec({EXECUTOR!r} + {TAKEN!r})
interp.close(interrupt=True, timeout=60)
sys.exit(7)
""").check("atexit\n", status=7)


#: Who sees whose memory at the end.
VIEWS = {
    "a sibling": "show(a, b)",
    "a sibling, closed": "show(a, b); a.close()",
    "one after the other": "show(a, b); show(b, c)",
    "one after the other, closed": "show(a, b); show(b, c); b.close(); a.close()",
    "one before the other": "show(c, b); show(b, a)",
    "each other": "show(a, b); show(b, a)",
    "each other, closed": "show(a, b); show(b, a); a.close(); b.close()",
    "main": "show(a, atoll.get_main())",
    "main, closed": "show(a, atoll.get_main()); a.close()",
    "all": "show(a, b); show(a, c); show(a, atoll.get_main()); show(b, c); a.close()",
}


@pytest.mark.parametrize("views", VIEWS)
def test_views_of_memory(views: str) -> None:
    """The last view goes when its own interpreter ends, or with main's last objects, while Python runs."""
    run_child(f"""
import atexit
def use():
    "An atexit function of before: runs when all are closed."
    for interp in (a, b, c):
        try:
            interp.close()
        except (atoll.InterpreterNotFoundError, ImportError):
            pass
        else:
            print("not closed", flush=True)
atexit.register(use)
import atoll, sys
queue = atoll.create_queue()
a, b, c = (atoll.create() for _ in range(3))
def show(owner, viewer):
    name = f"view{{owner.id}}"
    owner.prepare_main(queue=queue)
    owner.exec("data = bytearray(1000); queue.put(memoryview(data))")
    view = queue.get()
    if viewer is atoll.get_main():
        globals()[name] = view
    else:
        viewer.prepare_main(**{{name: view}})
{VIEWS[views]}
class Last:
    def __del__(self):
        view = None
        for _ in range(1000):
            view = [view]
last = [Last() for _ in range(10)]
sys.exit(7)
""").check(status=7)
