"""Ctrl-C typed at a terminal in every wait of atoll's: in the main interpreter, and inside another."""

from __future__ import annotations

import pytest
from children import run_child
from terminal import run_at_terminal

BEGIN = """
import atoll, os, signal, threading
from atoll import sync
def spin():
    while True:
        pass
queue, full, unfinished = atoll.create_queue(), atoll.create_queue(1), atoll.create_queue()
full.put(0)
unfinished.put(0)
lock, rlock, semaphore, event = sync.Lock(), sync.RLock(), sync.Semaphore(0), sync.Event()
condition, barrier = sync.Condition(), sync.Barrier(2)
lock.acquire()
held, done = threading.Event(), threading.Event()
def hold():
    with rlock:
        held.set()
        done.wait()
threading.Thread(target=hold).start()
held.wait()
names = "queue full unfinished lock rlock semaphore event condition barrier".split()
a = atoll.create()
a.prepare_main({name: globals()[name] for name in names})
a.exec("import atoll, os")
"""

#: What waits for ever, and what lets it go.
WAITS = {
    "get": ("queue.get()", "queue.put(1)"),
    "get_many": ("queue.get_many(3)", "queue.put(1)"),
    "put": ("full.put(1)", "full.get()"),
    "put_many": ("full.put_many([1, 2])", "full.get(); full.get()"),
    "join": ("unfinished.join()", "unfinished.get(); unfinished.task_done()"),
    "wait": ("atoll.wait([queue])", "queue.put(1)"),
    "Lock": ("lock.acquire()", "lock.release()"),
    "RLock": ("rlock.acquire()", "done.set()"),
    "Semaphore": ("semaphore.acquire()", "semaphore.release()"),
    "Event": ("event.wait()", "event.set()"),
    "Condition": ("condition.wait()", "condition.acquire(); condition.notify(); condition.release()"),
    "Barrier": ("barrier.wait()", "barrier.wait()"),
}
READY = r"os.write(1, b'READY\n'); "


def waiting(name: str) -> str:
    """One line that tells that it is ready, and waits."""
    before = "condition.acquire(); " if name == "Condition" else ""
    return f"{before}{READY}{WAITS[name][0]}"


def each(line: str, names: list[str]) -> str:
    """What was told: READY, then a line, for each."""
    return "".join(f"READY\n{name}{line}\n" for name in names)


@pytest.mark.parametrize("inside", [False, True])
def test_ends(inside: bool) -> None:
    """Each wait ends at once, and what it waited for is as it was."""
    body = "".join(
        f"""
try:
    {f"a.exec({waiting(name)!r})" if inside else waiting(name)}
    print("returned")
except KeyboardInterrupt:
    print({name!r}, flush=True)
"""
        for name in WAITS
    )
    text, status = run_at_terminal(f"""{BEGIN}{body}
done.set()
queue.put("item")
print(queue.get(), full.get(), full.qsize(), lock.locked(), semaphore.acquire(timeout=0), a.call(abs, -1))
""")
    assert (text, status) == (each("", list(WAITS)) + "item 0 0 True False 1\n", 0)


@pytest.mark.parametrize("inside", [False, True])
def test_goes_on(inside: bool) -> None:
    """With a handler that returns each wait goes on, until it gets what it waits for."""
    body = "".join(
        f"""
handled.clear()
thread = threading.Thread(target=let_go, args=({WAITS[name][1]!r},))
thread.start()
{f"a.exec({waiting(name)!r})" if inside else waiting(name)}
print({name!r}, handled.is_set(), flush=True)
thread.join()
while queue.qsize() > 0:
    queue.get()
"""
        for name in WAITS
    )
    text, status = run_at_terminal(f"""{BEGIN}
handled = sync.Event()
signal.signal(signal.SIGINT, lambda number, frame: handled.set())
def let_go(code):
    handled.wait()
    exec(code, globals())
{body}
""")
    assert (text, status) == (each(" True", list(WAITS)), 0)


#: Waits for pools, threads and the end of an interpreter; what they wait for spins.
OTHERS = {
    "result": ("task = pool.submit(spin)", "task.result()"),
    "map": ("", "list(pool.map(spin_on, [None]))"),
    "shutdown": ("pool.submit(spin)", "pool.shutdown()"),
    "thread": ("thread = interp.call_in_thread(spin)", "thread.join()"),
    "with": ("", "leave(interp)"),
    "close": ("", "interp.close()"),
}


def test_pools_threads_and_close() -> None:
    """What is not stopped by the way out of a with block is still there, and can be."""
    body = "".join(
        f"""
pool, interp = atoll.InterpreterPoolExecutor(1), atoll.create()
pool.submit(abs, 1).result()
if {name!r} == "close":
    event.clear()
    interp.prepare_main(event=event)
    interp.exec("import threading; threading.Thread(target=event.wait).start()")
{begin}
try:
    {"" if name == "with" else READY}{wait}
    print("returned")
except KeyboardInterrupt:
    print({name!r}, flush=True)
pool.terminate_workers()
if {name!r} != "with":
    event.set()
    interp.close(interrupt=True, timeout=60)
"""
        for name, (begin, wait) in OTHERS.items()
    )
    text, status = run_at_terminal(f"""{BEGIN}
def spin_on(_):
    while True:
        pass
def leave(interp):
    with interp:
        interp.call_in_thread(spin)  # Ctrl-C in Thread.start() may leave a lock of threading's taken
        {READY}
done.set()
threading.excepthook = lambda args: None
# All is imported before the first Ctrl-C: CPython drops one that comes in a callback of importlib's own.
try:
    with atoll.create() as first:
        first.call_in_thread(abs, -1).join()
        first.call_in_thread(abs, -1).future.result()
        1 / 0
except ZeroDivisionError:
    pass
with atoll.InterpreterPoolExecutor(1) as first:
    list(first.map(abs, [1]))
    first.submit(lambda: None).result()
{body}
""")
    assert (text, status) == (each("", list(OTHERS)), 0)


#: What is done first, and what waits.
INSTANT = {
    "get": ("", "queue.get()"),
    "thread": ("", "thread.join()"),
    "result": ("", "thread.future.result()"),
    "exception": ("", "thread.future.exception()"),
    "task": ("", "task.result()"),
    "Supervisor.wait": ("", "supervisor.wait()"),
    "Supervisor.stop": (
        "supervisor = atoll.Supervisor(grace=1e6); supervisor.start(); "
        "supervisor.add('worker', listen, (queue, event)); queue.get()",
        "supervisor.stop()",
    ),
}


@pytest.mark.parametrize("name", INSTANT)
def test_in_the_instant_before_the_sleep(name: str) -> None:
    """Another thread runs, and sends it, just when the main one has let go of the GIL.

    A lock of threading's lost one in some hundred of them.
    """
    begin, wait = INSTANT[name]
    rounds = 50 if begin else 300
    run_child(f"""
import atoll, os, queue, signal, threading
from atoll import sync
def listen(queue, event):
    atoll.stop_event()
    queue.put(1)
    event.wait()
go, queue, event = queue.SimpleQueue(), atoll.create_queue(), sync.Event()
def press():
    while go.get():
        os.kill(os.getpid(), signal.SIGINT)
pressing = threading.Thread(target=press)
pressing.start()
interp, pool = atoll.create(), atoll.InterpreterPoolExecutor(1)
thread, task = interp.call_in_thread(event.wait), pool.submit(event.wait)
supervisor = atoll.Supervisor()
supervisor.start()
supervisor.add("worker", listen, (queue, event))
queue.get()
signal.signal(signal.SIGINT, signal.default_int_handler)
told = 0
for _ in range({rounds}):
    {begin}
    try:
        go.put(True)
        {wait}
    except KeyboardInterrupt:
        told += 1
go.put(False)
print(told)
event.set()
supervisor.stop()
pool.shutdown()
""").check(f"{rounds}\n")


#: The same inside another interpreter, where locks of threading's may miss it.
INSIDE = {
    "join": (READY, "thread.join()"),
    "result": (READY, "thread.future.result()"),
    "exception": (READY, "thread.future.exception()"),
    "with": ("", "leave()"),
}


def test_threads_inside() -> None:
    body = "".join(
        f"""
try:
    a.exec({(begin + wait)!r})
    print("returned")
except KeyboardInterrupt:
    print({name!r}, flush=True)
"""
        for name, (begin, wait) in INSIDE.items()
    )
    text, status = run_at_terminal(f"""{BEGIN}
done.set()
a.exec('''
import threading
threading.excepthook = lambda args: None
inner = atoll.create()
def leave():
    with atoll.create() as one:
        one.call_in_thread(event.wait)
        os.write(1, b'READY{chr(92)}{chr(92)}n')
inner.call_in_thread(abs, -1).join()
inner.call_in_thread(abs, -1).future.result()
thread = inner.call_in_thread(event.wait)
''')
{body}
event.set()
a.exec("thread.join(60); print(thread.is_alive(), thread.future.result(60), flush=True)")
""")
    assert (text, status) == (each("", list(INSIDE)) + "False True\n", 0)


def test_close_inside() -> None:
    """In the middle of a close() inside: it ends with a KeyboardInterrupt there, and that is all."""
    text, status = run_at_terminal(f"""{BEGIN}
done.set()
a.prepare_main(event=event)
a.exec('''
closing = atoll.create()
closing.prepare_main(event=event)
closing.exec(\"\"\"if True:
    import os, threading
    told = []
    class Thread(threading.Thread):
        def join(self, timeout=None):  # as close() calls it
            if not told:
                told.append(True)
                os.write(1, b'READY' + bytes([10]))
            super().join(timeout)
    Thread(target=event.wait).start()
\"\"\")
''')
try:
    a.exec('''if True:
        try:
            closing.close()
        except KeyboardInterrupt:
            print("inside", flush=True)
            raise
    ''')
except KeyboardInterrupt:
    print("outside", flush=True)
event.set()
a.exec("closing.close(); print(closing in atoll.list_all(), flush=True)")
""")
    assert (text, status) == ("READY\ninside\noutside\nFalse\n", 0)
